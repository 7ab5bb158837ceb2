/*
 * The lock under everything: a robust, process-shared mutex of pthreads behind a bounded
 * spin. The kernel hands it on when its owner dies.
 *
 * Its word, as the kernel and both C libraries have it:
 *
 *     0                      free
 *     TID [ | WAITERS ]      held by that thread
 *     OWNER_DIED | ...       its owner died; the next one hears -EOWNERDEAD
 *
 * A waiter does not rely on the kernel alone. The list by which the kernel finds the locks
 * of a dying thread lies in the thread's private memory, which the OOM reaper may have taken
 * by then; so every sleep is bounded, and looks for the owner by other means.
 *
 * Sources: man 2 get_robust_list; linux/Documentation/locking/robust-futexes.rst.
 */
#ifndef BROOD__SHM_ROBUST_H
#define BROOD__SHM_ROBUST_H

#include "shm/presence.h"
#include "shm/robust_list.h"

#include <stdbool.h>
#include <sys/types.h>

#define BROOD__TID_MASK 0x3fffffffu   /* FUTEX_TID_MASK */
#define BROOD__OWNER_DIED 0x40000000u /* FUTEX_OWNER_DIED */
#define BROOD__WAITERS 0x80000000u    /* FUTEX_WAITERS */

/* 0, or -ENOMEM (never, with the C libraries there are). */
int brood__robust_init(pthread_mutex_t *mutex);

static inline _Atomic uint32_t *brood__robust_word(const pthread_mutex_t *mutex)
{
#ifdef __GLIBC__
    return (_Atomic uint32_t *)(uintptr_t)mutex;
#else
    return (_Atomic uint32_t *)(uintptr_t)mutex + 1; /* musl keeps the type in front */
#endif
}

/* Who holds it, 0 if nobody does. A thread that died holding it does not count. */
pid_t brood__robust_owner(const pthread_mutex_t *mutex);

/*
 * Takes the lock, waiting until `deadline`.
 *
 * Returns 0; -EOWNERDEAD: taken, the last owner died; -ETIMEDOUT; -EDEADLK: the calling
 * thread has it. `header` is the segment it lies in, which the thread has entered.
 *
 * After -EOWNERDEAD the caller repairs, calls brood__robust_repaired(), and only then
 * unlocks: a mutex unlocked without it is lost, and glibc's trylock keeps one it refuses.
 *
 * Dying in here or later, up to the unlock, hands it to the next one with -EOWNERDEAD.
 */
int brood__robust_lock(struct brood__header *header, pthread_mutex_t *mutex, int64_t deadline);

/* The same, without waiting: -EBUSY if any thread has it. */
static inline int brood__robust_try(pthread_mutex_t *mutex)
{
#if BROOD__ROBUST_LIST
    if (brood__here.list != NULL &&
        brood__robust_take(brood__here.list, mutex, brood__here.tid))
        return 0;
#endif
    return -pthread_mutex_trylock(mutex);
}

/* The two halves of brood__robust_lock() for a mutex that is not free: a bounded spin, which
 * returns -EBUSY if that was not enough, and the sleep. */
int brood__robust_spin(pthread_mutex_t *mutex);
int brood__robust_wait(struct brood__header *header, pthread_mutex_t *mutex, int64_t deadline);

/* After the repair, never before: dying in between must make the next one repair again. */
void brood__robust_repaired(pthread_mutex_t *mutex);

static inline void brood__robust_unlock(pthread_mutex_t *mutex)
{
    int r;

#if BROOD__ROBUST_LIST
    if (brood__here.list != NULL &&
        brood__robust_give(brood__here.list, mutex, brood__here.tid))
        return;
#endif
    r = pthread_mutex_unlock(mutex);
    assert(r == 0);
    (void)r;
}

/* How many pauses to spin before sleeping: 0 where there is a single processor. */
unsigned brood__spin_count(void);

static inline void brood__pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield" ::: "memory");
#endif
}

#endif
