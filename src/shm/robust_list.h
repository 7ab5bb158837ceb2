/*
 * Taking and giving back a free robust mutex in line, without the calls of the C library.
 * Those cost more than the two atomic operations they make.
 *
 * The kernel finds the locks of a dying thread by a list whose head each thread registers
 * (man 2 get_robust_list). glibc keeps its mutexes in that list, linked both ways through
 * two fields of theirs; the layout of the head is the kernel's interface, that of the fields
 * is in glibc's public headers. What is done here is exactly what glibc's functions do, so
 * a mutex may be taken one way and given back the other. A thread checks that its glibc does
 * so, on the first mutex it takes in each segment; if not, and with any other C library, the
 * functions of the C library are called (docs/decisions/0006).
 *
 * Dying: `pending` names the mutex before its word changes and until the list agrees again,
 * so the kernel finds it at every instruction. A thread killed between the word and its wake
 * is seen by the kernel as well: it finds the word pending and free, and wakes one waiter.
 */
#ifndef BROOD__SHM_ROBUST_LIST_H
#define BROOD__SHM_ROBUST_LIST_H

#include "base/fence.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The thread sanitizer wants to see the calls. */
#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__)) &&                     \
    !BROOD__THREAD_SANITIZER
#define BROOD__ROBUST_LIST 1
#else
#define BROOD__ROBUST_LIST 0
#endif

/* What the kernel walks: <linux/futex.h>, struct robust_list_head. */
struct brood__robust_list {
    void *_Atomic next;
    long word_offset;
    void *_Atomic pending;
};

/* The calling thread's list if it is as described above, by the look of a mutex that the
 * thread has taken last, by the C library's call; else NULL. */
struct brood__robust_list *brood__robust_list_of(pthread_mutex_t *taken);

#if BROOD__ROBUST_LIST

/* An entry of the list is the address of its `next`; `prev` lies before it. */
static inline void *_Atomic *brood__robust_entry(pthread_mutex_t *mutex)
{
    return (void *_Atomic *)(void *)&mutex->__data.__list.__next;
}

static inline void brood__robust_set(void *_Atomic *field, void *value)
{
    atomic_store_explicit(field, value, memory_order_relaxed);
}

/* Puts an entry whose mutex is held at the front of the list. */
static inline void brood__robust_link(struct brood__robust_list *list, void *_Atomic *entry)
{
    void *first = atomic_load_explicit(&list->next, memory_order_relaxed);

    brood__robust_set(&entry[0], first);
    brood__robust_set(&entry[-1], list);
    /* The lowest bit of an address tells a mutex with priority inheritance. */
    brood__robust_set((void *_Atomic *)((uintptr_t)first & ~(uintptr_t)1) - 1, entry);
    atomic_signal_fence(memory_order_seq_cst);
    brood__robust_set(&list->next, entry);
}

static inline void brood__robust_unlink(void *_Atomic *entry)
{
    void *next = atomic_load_explicit(&entry[0], memory_order_relaxed);
    void *prev = atomic_load_explicit(&entry[-1], memory_order_relaxed);

    brood__robust_set((void *_Atomic *)((uintptr_t)next & ~(uintptr_t)1) - 1, prev);
    brood__robust_set((void *_Atomic *)((uintptr_t)prev & ~(uintptr_t)1), next);
    /* Out of the list first: the kernel follows `next`. */
    atomic_signal_fence(memory_order_seq_cst);
    brood__robust_set(&entry[-1], NULL);
    brood__robust_set(&entry[0], NULL);
}

/* Takes the mutex if it is free and sound; false: not taken, ask the C library. A held mutex
 * has an owner here, and so has one given up as not recoverable. */
static inline bool brood__robust_take(struct brood__robust_list *list, pthread_mutex_t *mutex,
                                      pid_t tid)
{
    _Atomic uint32_t *word = (_Atomic uint32_t *)(void *)&mutex->__data.__lock;
    void *_Atomic *entry = brood__robust_entry(mutex);
    uint32_t none = 0;

    if (__atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED) != 0)
        return false;
    brood__robust_set(&list->pending, (void *)entry);
    atomic_signal_fence(memory_order_seq_cst);
    if (!atomic_compare_exchange_strong_explicit(word, &none, (uint32_t)tid,
                                                 memory_order_acquire, memory_order_relaxed)) {
        brood__robust_set(&list->pending, NULL);
        return false;
    }
    brood__robust_link(list, entry);
    atomic_signal_fence(memory_order_seq_cst);
    brood__robust_set(&list->pending, NULL);
    __atomic_store_n(&mutex->__data.__owner, tid, __ATOMIC_RELAXED);
    mutex->__data.__nusers++;
    return true;
}

void brood__robust_wake(pthread_mutex_t *mutex);

/* Gives back a mutex that the thread holds; false: it was not sound, ask the C library. */
static inline bool brood__robust_give(struct brood__robust_list *list, pthread_mutex_t *mutex,
                                      pid_t tid)
{
    _Atomic uint32_t *word = (_Atomic uint32_t *)(void *)&mutex->__data.__lock;
    void *_Atomic *entry = brood__robust_entry(mutex);

    if (__atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED) != tid)
        return false;
    __atomic_store_n(&mutex->__data.__owner, 0, __ATOMIC_RELAXED);
    mutex->__data.__nusers--;
    brood__robust_set(&list->pending, (void *)entry);
    atomic_signal_fence(memory_order_seq_cst);
    brood__robust_unlink(entry);
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect((atomic_exchange_explicit(word, 0, memory_order_release) &
                          0x80000000u /* FUTEX_WAITERS */) != 0,
                         0))
        brood__robust_wake(mutex);
    atomic_signal_fence(memory_order_seq_cst);
    brood__robust_set(&list->pending, NULL);
    return true;
}

#endif

#endif
