#include "shm/robust.h"

#include "base/clock.h"
#include "base/linux.h"
#include "shm/presence.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPIN_COUNT 128
#define YIELD_COUNT 8

/* A clock that cannot be set. musl lacks the call, and the thread sanitizer of gcc 12 and
 * clang 14 does not know it. */
#if defined(__GLIBC__) && !BROOD__THREAD_SANITIZER
#define MONOTONIC_LOCK 1
#else
#define MONOTONIC_LOCK 0
#endif

/* No sleep is longer: musl can lose a wake (see docs/design/shared.md), and the kernel, after
 * an OOM kill, a death. */
#ifdef __GLIBC__
#define SLICE_NS 100000000
#else
#define SLICE_NS 20000000
#endif

pid_t brood__robust_owner(const pthread_mutex_t *mutex)
{
    uint32_t word = atomic_load_explicit(brood__robust_word(mutex), memory_order_acquire);

    /* The kernel takes the id out when the owner dies. musl leaves OWNER_DIED beside the next
     * owner's until that has repaired. */
    return (pid_t)(word & BROOD__TID_MASK);
}

int brood__robust_init(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    int r = pthread_mutexattr_init(&attributes);

    if (r != 0)
        return -r;
    r = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (r == 0)
        r = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (r == 0)
        r = pthread_mutex_init(mutex, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return -r;
}

struct brood__robust_list *brood__robust_list_of(pthread_mutex_t *taken)
{
#if BROOD__ROBUST_LIST
    struct brood__robust_list *list = NULL;
    void *_Atomic *entry = brood__robust_entry(taken);
    size_t bytes = 0;

    if (syscall(SYS_get_robust_list, 0, &list, &bytes) == 0 && list != NULL &&
        bytes == sizeof *list &&
        list->word_offset == (char *)&taken->__data.__lock - (char *)entry &&
        list->next == (void *)entry && list->pending == NULL && entry[-1] == (void *)list &&
        (uint32_t)taken->__data.__owner == ((uint32_t)taken->__data.__lock & BROOD__TID_MASK))
        return list;
#else
    (void)taken;
#endif
    return NULL;
}

#if BROOD__ROBUST_LIST
void brood__robust_wake(pthread_mutex_t *mutex)
{
    brood__futex_wake(brood__robust_word(mutex), 1);
}
#endif

unsigned brood__spin_count(void)
{
    static _Atomic unsigned known; /* the count plus 1 */
    unsigned count = atomic_load_explicit(&known, memory_order_relaxed);

    if (count == 0) {
        cpu_set_t set;

        count = sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1
                    ? 1
                    : SPIN_COUNT + 1;
        atomic_store_explicit(&known, count, memory_order_relaxed);
    }
    return count - 1;
}

/* pthread_mutex_lock() with an end on the monotonic clock, at most a slice away. */
static int lock_for(pthread_mutex_t *mutex, int64_t nanoseconds)
{
    struct timespec end;

    /* On the clock of the wall, a step of it costs a slice at most. */
    (void)clock_gettime(MONOTONIC_LOCK ? CLOCK_MONOTONIC : CLOCK_REALTIME, &end);
    nanoseconds += end.tv_nsec;
    end.tv_sec += (time_t)(nanoseconds / 1000000000);
    end.tv_nsec = (long)(nanoseconds % 1000000000);
#if MONOTONIC_LOCK
    return -pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &end);
#else
    return -pthread_mutex_timedlock(mutex, &end);
#endif
}

/*
 * Whether the thread that holds a lock of this segment is gone, by the kernel's table and
 * the slots. While somebody claims a slot, he holds slots_lock and has none yet: there, only
 * a thread that does not exist at all is gone.
 */
static bool owner_gone(struct brood__header *header, const pthread_mutex_t *mutex, pid_t owner)
{
    uint32_t used = brood__slots_used(header);
    bool known = false;
    uint64_t start;

    if (brood__thread_since(owner, &start) == -ESRCH)
        return true;
    if (mutex == &header->slots_lock)
        return false;
    for (uint32_t i = 0; i < used; i++)
        if (atomic_load_explicit(&brood__slot_at(header, i)->tid, memory_order_relaxed) ==
            owner) {
            if (brood__slot_verify(header, i))
                return false;
            known = true;
        }
    return known; /* some other program's thread has the id now */
}

/* The second opinion: does what the kernel should have done, if the owner is gone. */
static void suspect(struct brood__header *header, pthread_mutex_t *mutex)
{
    _Atomic uint32_t *word = brood__robust_word(mutex);
    uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
    pid_t owner = (pid_t)(seen & BROOD__TID_MASK);

    /* Whoever does this sleeps no longer and tries next, so nobody need be woken. */
    if (owner != 0 && owner_gone(header, mutex, owner))
        (void)atomic_compare_exchange_strong(word, &seen,
                                             (seen & BROOD__WAITERS) | BROOD__OWNER_DIED);
}

/*
 * Where there are more threads than processors the holder may be waiting for this one's. To
 * yield costs less than a sleep with an end, which must set a timer in the kernel: four
 * processes on two processors get the lock twice as often.
 */
static int yield_a_little(pthread_mutex_t *mutex)
{
    for (unsigned i = brood__spin_count() == 0 ? 0 : YIELD_COUNT; i > 0; i--) {
        int r;

        (void)sched_yield();
        r = brood__robust_try(mutex);
        if (r != -EBUSY)
            return r;
    }
    return -EBUSY;
}

int brood__robust_spin(pthread_mutex_t *mutex)
{
    _Atomic uint32_t *word = brood__robust_word(mutex);

    /* A thread without an id has nothing; the word of a lock given back just now has none. */
    if (brood__here.tid != 0 && brood__robust_owner(mutex) == brood__here.tid)
        return -EDEADLK;
    /* Ever longer between two looks: each look takes the line from the holder. */
    for (unsigned pauses = 4, left = brood__spin_count(); left >= pauses; pauses *= 2) {
        for (unsigned i = 0; i < pauses; i++)
            brood__pause();
        left -= pauses;
        if ((atomic_load_explicit(word, memory_order_relaxed) & BROOD__TID_MASK) == 0) {
            int r = brood__robust_try(mutex);

            if (r != -EBUSY)
                return r;
        }
    }
    return yield_a_little(mutex);
}

int brood__robust_wait(struct brood__header *header, pthread_mutex_t *mutex, int64_t deadline)
{
    for (;;) {
        int64_t left = brood__time_left(deadline);
        int r;

        if (left <= 0) {
            suspect(header, mutex);
            r = -pthread_mutex_trylock(mutex);
            return r == -EBUSY ? -ETIMEDOUT : r;
        }
        r = lock_for(mutex, left < SLICE_NS ? left : SLICE_NS);
        if (r != -ETIMEDOUT)
            return r;
        suspect(header, mutex);
    }
}

int brood__robust_lock(struct brood__header *header, pthread_mutex_t *mutex, int64_t deadline)
{
    int r = brood__robust_try(mutex);

    if (r == -EBUSY)
        r = brood__robust_spin(mutex);
    return r == -EBUSY ? brood__robust_wait(header, mutex, deadline) : r;
}

void brood__robust_repaired(pthread_mutex_t *mutex)
{
    int r = pthread_mutex_consistent(mutex);

    assert(r == 0);
    (void)r;
}
