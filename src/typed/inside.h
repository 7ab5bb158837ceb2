/* The lock inside a value or an array: a full brood_lock that is not a block of its own. */
#ifndef BROOD__TYPED_INSIDE_H
#define BROOD__TYPED_INSIDE_H

#include "base/clock.h"
#include "sync/hooks.h"
#include "sync/lock.h"

/* `outer` has its place, and is nobody's but the caller's yet. */
static inline int brood__inside_init(const struct brood__object *outer, struct brood_lock *lock)
{
    int r;

    lock->object.place =
        outer->place + (uint64_t)((const char *)lock - (const char *)(const void *)outer);
    atomic_init(&lock->marks.flags, (uint8_t)BROOD_LOCK_RECURSIVE);
    r = brood__robust_init(&lock->mutex);
    if (r == 0)
        atomic_store_explicit(&lock->object.kind, BROOD__LOCK, memory_order_release);
    return r;
}

/* The thread has entered the segment. What brood_lock_acquire() returns. */
static inline int brood__inside_acquire(struct brood_lock *lock, int64_t timeout)
{
    int64_t deadline = 0;
    int r;

    if (timeout < BROOD_FOREVER)
        return -EINVAL;
    r = brood__lock_acquire(lock, 0);
    if (r != -ETIMEDOUT || timeout == BROOD_NOWAIT)
        return r;
    (void)brood__deadline(timeout, &deadline); /* the clock is read only by those who wait */
    return brood__lock_acquire(lock, deadline);
}

static inline void brood__inside_release(struct brood_lock *lock)
{
    int r = brood_lock_release(lock);

    assert(r == 0);
    (void)r;
}

/* What stands before the end of the outer object: -EBUSY while somebody has the lock. */
static inline int brood__inside_end(struct brood_lock *lock)
{
    if (brood__robust_owner(&lock->mutex) != 0)
        return -EBUSY;
    return brood__hook_set(lock, NULL, NULL);
}

#endif
