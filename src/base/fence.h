/*
 * Fences, also in the eyes of the thread sanitizer, which knows none: there each is an
 * exchange that orders as much.
 */
#ifndef BROOD__FENCE_H
#define BROOD__FENCE_H

#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define BROOD__THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BROOD__THREAD_SANITIZER 1
#endif
#endif
#ifndef BROOD__THREAD_SANITIZER
#define BROOD__THREAD_SANITIZER 0
#endif

static inline void brood__fence(memory_order order)
{
#if BROOD__THREAD_SANITIZER
    static _Atomic int all;

    (void)order;
    (void)atomic_fetch_add(&all, 0);
#else
    atomic_thread_fence(order);
#endif
}

#endif
