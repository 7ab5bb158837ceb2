#include "sync/lock.h"

#include "base/clock.h"
#include "base/options.h"
#include "sync/hooks.h"

#include <string.h>

#define OPTIONS_BYTES_FIRST sizeof(brood_lock_options)
#define OWNER_BYTES_FIRST sizeof(brood_owner)
#define FLAGS (BROOD_LOCK_RECURSIVE | BROOD_LOCK_TIMED)

int brood_lock_create(brood_shared *shared, const brood_lock_options *options,
                      brood_lock **ret_lock)
{
    brood_lock_options o;
    brood_lock *lock = NULL;
    int r;

    if (ret_lock == NULL)
        return -EINVAL;
    r = brood__options_read(&o, sizeof o, OPTIONS_BYTES_FIRST, options);
    if (r == 0 && (o.flags & ~FLAGS) != 0)
        r = -EINVAL;
    if (r == 0)
        r = brood__object_alloc(shared, sizeof *lock, &lock);
    if (r < 0)
        return r;
    atomic_init(&lock->marks.flags, (uint8_t)o.flags);
    r = brood__hook_set(lock, NULL, NULL); /* that of a lock that lay here before */
    if (r == 0)
        r = brood__robust_init(&lock->mutex);
    if (r < 0) {
        (void)brood__object_free(&lock->object);
        return r;
    }
    brood__object_finish(&lock->object, BROOD__LOCK);
    *ret_lock = lock;
    return 0;
}

int brood_rlock_create(brood_shared *shared, brood_lock **ret_lock)
{
    brood_lock_options options = BROOD_LOCK_OPTIONS_INIT;

    options.flags = BROOD_LOCK_RECURSIVE;
    return brood_lock_create(shared, &options, ret_lock);
}

int brood_lock_destroy(brood_lock *lock)
{
    int r;

    if (lock == NULL)
        return 0;
    r = brood__object_enter(lock, BROOD__LOCK);
    if (r == 0 && brood__robust_owner(&lock->mutex) != 0)
        r = -EBUSY;
    if (r == 0)
        r = brood__hook_set(lock, NULL, NULL);
    return r == 0 ? brood__object_free(&lock->object) : r;
}

/* The marks are read one by one only where they are not all zero. */
static uint8_t mark(const _Atomic uint8_t *byte)
{
    return atomic_load_explicit(byte, memory_order_relaxed);
}

static void set_mark(_Atomic uint8_t *byte, uint8_t value)
{
    atomic_store_explicit(byte, value, memory_order_relaxed);
}

static bool plain(const brood_lock *lock)
{
    return __builtin_expect(atomic_load_explicit(&lock->marks.all, memory_order_relaxed) == 0,
                            1);
}

/* ---- acquiring ---- */

/* Nobody gets in any more. The mutex stays sound: poison is ours, not the C library's. */
static int give_up(brood_lock *lock)
{
    set_mark(&lock->marks.poisoned, 1);
    brood__robust_repaired(&lock->mutex);
    set_mark(&lock->marks.recovered, 0);
    brood__robust_unlock(&lock->mutex);
    brood__object_changed(&lock->object);
    return -ENOTRECOVERABLE;
}

/* The mutex is ours and inconsistent. As long as it is, it is the next one's to repair if we
 * die. */
static int recover(brood_lock *lock)
{
    int r;

    atomic_store_explicit(&lock->marks.depth, 0, memory_order_relaxed);
    set_mark(&lock->marks.recovered, 1);
    r = brood__hook_run(lock);
    if (r < 0)
        return give_up(lock);
    if (r > 0) {
        brood__robust_repaired(&lock->mutex);
        set_mark(&lock->marks.recovered, 0);
    }
    return BROOD_LOCK_RECOVERED;
}

static void note_now(brood_lock *lock)
{
    atomic_store_explicit(&lock->since, brood__now(), memory_order_relaxed);
    set_mark(&lock->marks.noted, 1);
}

static void forget_note(brood_lock *lock)
{
    set_mark(&lock->marks.noted, 0);
    atomic_store_explicit(&lock->since, 0, memory_order_relaxed);
}

/* With the mutex held, r being what it said. */
static int settle(brood_lock *lock, int r)
{
    if (mark(&lock->marks.poisoned) != 0) {
        if (r == -EOWNERDEAD)
            brood__robust_repaired(&lock->mutex);
        brood__robust_unlock(&lock->mutex);
        return -ENOTRECOVERABLE;
    }
    if (mark(&lock->marks.noted) != 0)
        forget_note(lock); /* a dead one's, or of one who had it when the note was begun */
    if (r == -EOWNERDEAD)
        r = recover(lock);
    if (r >= 0 && (mark(&lock->marks.flags) & BROOD_LOCK_TIMED) != 0)
        note_now(lock);
    return r;
}

static int acquire_again(brood_lock *lock)
{
    uint32_t depth = atomic_load_explicit(&lock->marks.depth, memory_order_relaxed);

    if ((mark(&lock->marks.flags) & BROOD_LOCK_RECURSIVE) == 0)
        return -EDEADLK;
    if (depth == UINT32_MAX)
        return -EOVERFLOW;
    atomic_store_explicit(&lock->marks.depth, depth + 1, memory_order_relaxed);
    return 0;
}

/* Leaves a note that somebody waits since now, for brood_lock_owner(). */
static void note_wait(brood_lock *lock)
{
    /* Not 0 if somebody died between the two steps below. */
    int64_t seen = atomic_load_explicit(&lock->since, memory_order_relaxed);

    if (mark(&lock->marks.noted) == 0 && brood__robust_owner(&lock->mutex) != 0 &&
        atomic_compare_exchange_strong(&lock->since, &seen, brood__now()))
        set_mark(&lock->marks.noted, 1);
}

static int acquire_slowly(brood_lock *lock, int r, int64_t deadline)
{
    if (r == -EBUSY) {
        if (brood__lock_held(lock))
            return acquire_again(lock);
        if (deadline == 0)
            return -ETIMEDOUT;
        r = brood__robust_spin(&lock->mutex);
        if (r == -EBUSY) {
            note_wait(lock); /* by those who sleep: it costs the holder, too */
            r = brood__robust_wait(brood__object_header(&lock->object), &lock->mutex, deadline);
        }
    }
    if (r == 0 || r == -EOWNERDEAD)
        return settle(lock, r);
    return r;
}

int brood__lock_acquire(brood_lock *lock, int64_t deadline)
{
    int r = brood__robust_try(&lock->mutex);

    return r == 0 && plain(lock) ? 0 : acquire_slowly(lock, r, deadline);
}

int brood_lock_acquire(brood_lock *lock, int64_t timeout)
{
    int64_t deadline = 0;
    int r = brood__object_enter(lock, BROOD__LOCK);

    if (r < 0)
        return r;
    if (timeout < BROOD_FOREVER)
        return -EINVAL;
    r = brood__robust_try(&lock->mutex);
    if (r == 0 && plain(lock))
        return 0;
    if (timeout != BROOD_NOWAIT) /* the clock is read only by those who wait */
        (void)brood__deadline(timeout, &deadline);
    return acquire_slowly(lock, r, deadline);
}

/* ---- releasing ---- */

static void release_slowly(brood_lock *lock)
{
    if (mark(&lock->marks.recovered) != 0) {
        brood__robust_repaired(&lock->mutex);
        set_mark(&lock->marks.recovered, 0);
    }
    if (mark(&lock->marks.noted) != 0)
        forget_note(lock);
}

void brood__lock_release(brood_lock *lock)
{
    if (!plain(lock))
        release_slowly(lock);
    brood__robust_unlock(&lock->mutex);
    brood__object_changed(&lock->object);
}

int brood_lock_release(brood_lock *lock)
{
    uint32_t depth;
    int r = brood__object_check(lock, BROOD__LOCK);

    if (r < 0)
        return r;
    if (!brood__lock_held(lock))
        return -EPERM;
    if (!plain(lock)) {
        depth = atomic_load_explicit(&lock->marks.depth, memory_order_relaxed);
        if (depth > 0) {
            atomic_store_explicit(&lock->marks.depth, depth - 1, memory_order_relaxed);
            return 0;
        }
        release_slowly(lock);
    }
    brood__robust_unlock(&lock->mutex);
    brood__object_changed(&lock->object);
    return 0;
}

int brood_lock_poison(brood_lock *lock)
{
    int r = brood__object_check(lock, BROOD__LOCK);

    if (r < 0)
        return r;
    if (!brood__lock_held(lock))
        return -EPERM;
    set_mark(&lock->marks.poisoned, 1);
    (void)brood__lock_release_all(lock);
    return 0;
}

uint32_t brood__lock_release_all(brood_lock *lock)
{
    uint32_t depth = atomic_load_explicit(&lock->marks.depth, memory_order_relaxed);

    if (depth != 0)
        atomic_store_explicit(&lock->marks.depth, 0, memory_order_relaxed);
    brood__lock_release(lock);
    return depth;
}

int brood__lock_restore(brood_lock *lock, uint32_t depth, int64_t deadline)
{
    int r = brood__lock_acquire(lock, deadline);

    if (r >= 0 && depth != 0)
        atomic_store_explicit(&lock->marks.depth, depth, memory_order_relaxed);
    return r;
}

/* ---- asking ---- */

int brood_lock_set_repair(brood_lock *lock, brood_repair_function *repair, void *user)
{
    int r = brood__object_check(lock, BROOD__LOCK);

    return r < 0 ? r : brood__hook_set(lock, repair, user);
}

int brood_lock_owner(brood_lock *lock, brood_owner *ret_owner)
{
    brood_owner owner = BROOD_OWNER_INIT;
    struct brood__header *header;
    struct brood__slot *slot;
    uint32_t index;
    pid_t tid;
    int r = brood__object_enter(lock, BROOD__LOCK);

    if (r < 0)
        return r;
    header = brood__object_header(&lock->object);
    tid = brood__robust_owner(&lock->mutex);
    if (tid == 0 || brood__slot_find(header, tid, &index) < 0)
        return 0; /* without a slot: the holder has died just now */
    if (ret_owner == NULL)
        return 1;
    note_wait(lock);
    slot = brood__slot_at(header, index);
    owner.pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);
    owner.tid = tid;
    memcpy(owner.name, slot->name, sizeof owner.name);
    owner.name[sizeof owner.name - 1] = '\0';
    owner.since = atomic_load_explicit(&lock->since, memory_order_relaxed);
    r = brood__result_write(ret_owner, OWNER_BYTES_FIRST, &owner, sizeof owner);
    return r < 0 ? r : 1;
}
