/*
 * A lock for a list or the like that is private to the process, free again in each forked
 * child, whoever of the parent's other threads had it. What it protects must be whole at each
 * step, or not be used by children.
 *
 * A lock that was never used is left alone in the child: writing to it would cost every fork
 * a page.
 */
#ifndef BROOD__FORK_LOCK_H
#define BROOD__FORK_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct brood__fork_lock {
    pthread_mutex_t mutex;
    _Atomic bool used;
};

/* clang-format off */
#define BROOD__FORK_LOCK_INIT { PTHREAD_MUTEX_INITIALIZER, false }
/* clang-format on */

static inline void brood__fork_lock(struct brood__fork_lock *lock)
{
    /* In order: no child may see the mutex locked and `used` false. */
    if (!atomic_load_explicit(&lock->used, memory_order_relaxed))
        atomic_store_explicit(&lock->used, true, memory_order_seq_cst);
    (void)pthread_mutex_lock(&lock->mutex);
}

static inline void brood__fork_unlock(struct brood__fork_lock *lock)
{
    (void)pthread_mutex_unlock(&lock->mutex);
}

/* For the child's handler of pthread_atfork(). */
static inline void brood__fork_lock_reset(struct brood__fork_lock *lock)
{
    if (atomic_load_explicit(&lock->used, memory_order_relaxed))
        (void)pthread_mutex_init(&lock->mutex, NULL);
}

#endif
