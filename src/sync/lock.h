/*
 * The lock, for the rest of sync.
 *
 *     FREE --acquire--> HELD --release--> FREE
 *       ^                 |
 *       |                 +--the holder dies--> ABANDONED --acquire--> HELD, recovered
 *       |                                            ^                     |   |
 *       +--------------------------release-----------|---------------------+   |
 *                                                    +-----the holder dies-----+
 *     HELD --poison--> POISONED, for good
 *
 * The state is the mutex's own word, changed by one store of the C library's or the kernel's;
 * `recovered` says that the mutex is still marked as inconsistent, which it stays until the
 * repair is over: until the hook has returned, or without a hook until the release.
 *
 * Who writes what: the holder, all but `noted`, `since` and `watchers`. Those who wait set
 * `since`, by compare-exchange, and then `noted`; the holder clears both, acquiring and
 * releasing. Without `noted` what `since` says does not count.
 */
#ifndef BROOD__SYNC_LOCK_H
#define BROOD__SYNC_LOCK_H

#include "shm/robust.h"
#include "sync/object.h"

#include <brood/lock.h>

/* All that makes a lock other than plain and free of trouble, to be looked at at once. */
union brood__lock_marks {
    struct {
        _Atomic uint8_t flags; /* never change */
        _Atomic uint8_t recovered;
        _Atomic uint8_t poisoned;
        _Atomic uint8_t noted;  /* `since` is set */
        _Atomic uint32_t depth; /* further acquisitions of a recursive one */
    };
    _Atomic uint64_t all;
};

struct brood_lock {
    struct brood__object object;
    pthread_mutex_t mutex;
    union brood__lock_marks marks;
    _Atomic int64_t since; /* 0: nobody has looked in this tenure */
};

/* For nouns that are used with a lock. The thread has entered the segment. */
int brood__lock_acquire(brood_lock *lock, int64_t deadline);
void brood__lock_release(brood_lock *lock);

/* Whether the calling thread holds it. All threads that have ever entered a segment know
 * their id; the others hold nothing. */
static inline bool brood__lock_held(const brood_lock *lock)
{
    uint32_t word =
        atomic_load_explicit(brood__robust_word(&lock->mutex), memory_order_relaxed);

    return (word & BROOD__TID_MASK) == (uint32_t)brood__here.tid && brood__here.tid != 0;
}

/* Releases all levels of a recursive lock, to be taken again by brood__lock_restore(). */
uint32_t brood__lock_release_all(brood_lock *lock);
int brood__lock_restore(brood_lock *lock, uint32_t depth, int64_t deadline);

#endif
