#include "sync/waitable.h"

#include "shm/robust.h"
#include "sync/barrier.h"
#include "sync/condition.h"
#include "sync/event.h"
#include "sync/lock.h"
#include "sync/rwlock.h"
#include "sync/semaphore.h"

/* Long enough to be no BROOD_NOWAIT: the acquire then asks the kernel about the holder. */
#define MOMENT_NS 1

/* Members that the kernel is asked about at a time, where holders are not known. */
#define VERIFY_COUNT 8

static uint32_t kind_of(const brood_waitable *item)
{
    const struct brood__object *object = item->object;

    return atomic_load_explicit(&object->kind, memory_order_acquire);
}

static struct brood__header *header_of(const brood_waitable *item)
{
    return brood__object_header(brood__waitable_object(item));
}

int brood__waitable_check(const brood_waitable *item)
{
    if (item->reserved != 0)
        return -EINVAL;
    switch (kind_of(item)) {
    case BROOD__RWLOCK:
        return item->what == BROOD_WAIT_READ || item->what == BROOD_WAIT_WRITE ? 0 : -EINVAL;
    case BROOD__LOCK:
    case BROOD__SEMAPHORE:
    case BROOD__CONDITION:
    case BROOD__EVENT:
    case BROOD__BARRIER: return item->what == 0 ? 0 : -EINVAL;
    default: return -EINVAL;
    }
}

bool brood__waitable_moves(const brood_waitable *item)
{
    return kind_of(item) == BROOD__CONDITION || kind_of(item) == BROOD__BARRIER;
}

static uint64_t condition_turn(const brood_condition *condition)
{
    return atomic_load_explicit(&condition->notified, memory_order_acquire);
}

static uint64_t event_turn(const brood_event *event)
{
    return atomic_load_explicit(&event->changes, memory_order_seq_cst);
}

uint64_t brood__waitable_turn(const brood_waitable *item)
{
    switch (kind_of(item)) {
    case BROOD__CONDITION: return condition_turn(item->object) + 1;
    case BROOD__EVENT: return event_turn(item->object) + 1;
    case BROOD__BARRIER: return brood__barrier_turn(item->object) + 1;
    default: return 0;
    }
}

/* ---- a robust mutex and its owner ---- */

/* The owner's slot, if somebody has the mutex. */
static bool owner_slot(struct brood__header *header, const pthread_mutex_t *mutex,
                       uint32_t *ret_index)
{
    pid_t tid = brood__robust_owner(mutex);

    return tid != 0 && brood__slot_find(header, tid, ret_index) == 0;
}

/* Somebody has the mutex, and is not among the living: the kernel did not say so. */
static bool owner_missing(struct brood__header *header, const pthread_mutex_t *mutex)
{
    uint32_t index;

    return brood__robust_owner(mutex) != 0 && !owner_slot(header, mutex, &index);
}

/* ---- the lock ---- */

static int take_lock(brood_lock *lock)
{
    int r = brood_lock_acquire(lock, BROOD_NOWAIT);

    if (r == -ETIMEDOUT && owner_missing(brood__object_header(&lock->object), &lock->mutex))
        r = brood_lock_acquire(lock, MOMENT_NS);
    return r;
}

/* ---- the lock for readers and writers ---- */

static bool reads(brood_rwlock *rwlock, uint32_t index)
{
    uint64_t word =
        atomic_load_explicit(brood__rwlock_word(rwlock, index), memory_order_seq_cst);

    return brood__roll_counts(brood__object_header(&rwlock->object), index, word);
}

static bool has_readers(brood_rwlock *rwlock)
{
    uint32_t used = brood__slots_used(brood__object_header(&rwlock->object));

    for (uint32_t i = 0; i < used; i++)
        if (reads(rwlock, i))
            return true;
    return false;
}

/* Whether an acquire would not wait, if nobody else came. */
static bool rwlock_ready(brood_rwlock *rwlock, uint32_t what)
{
    uint32_t gate = atomic_load_explicit(&rwlock->gate, memory_order_acquire);
    bool inside = brood__robust_owner(&rwlock->mutex) != 0;

    if (gate == BROOD__GATE_POISONED)
        return true;
    if (what == BROOD_WAIT_READ)
        return !inside || gate == BROOD__GATE_OPEN;
    return !inside && (gate == BROOD__GATE_WRITING || !has_readers(rwlock));
}

/* Whether the calling thread has it already: the acquire knows if that is a mistake. */
static bool rwlock_is_mine(brood_rwlock *rwlock)
{
    return brood__robust_owner(&rwlock->mutex) == brood__here.tid ||
           reads(rwlock, brood__here.slot);
}

/* An acquire that fails may have kept others out for a moment, and tells them: who wait for
 * several would wake each other without end. So it is tried only if it looks well. */
static int take_rwlock(brood_rwlock *rwlock, uint32_t what)
{
    int64_t timeout = BROOD_NOWAIT;

    if (owner_missing(brood__object_header(&rwlock->object), &rwlock->mutex))
        timeout = MOMENT_NS;
    else if (!rwlock_is_mine(rwlock) && !rwlock_ready(rwlock, what))
        return -ETIMEDOUT;
    return what == BROOD_WAIT_READ ? brood_rwlock_acquire_read(rwlock, timeout)
                                   : brood_rwlock_acquire_write(rwlock, timeout);
}

/* ---- taking ---- */

static int moved(const brood_waitable *item, uint64_t since)
{
    return brood__waitable_turn(item) != since ? 0 : -ETIMEDOUT;
}

int brood__waitable_take(const brood_waitable *item, uint64_t since)
{
    switch (kind_of(item)) {
    case BROOD__LOCK: return take_lock(item->object);
    case BROOD__RWLOCK: return take_rwlock(item->object, item->what);
    case BROOD__SEMAPHORE: return brood_semaphore_acquire(item->object, BROOD_NOWAIT);
    case BROOD__EVENT: return brood__event_is_set(item->object) ? 0 : moved(item, since);
    case BROOD__CONDITION:
    case BROOD__BARRIER: return moved(item, since);
    default: return -EINVAL; /* destroyed meanwhile */
    }
}

bool brood__waitable_ready(const brood_waitable *item)
{
    switch (kind_of(item)) {
    case BROOD__LOCK: {
        brood_lock *lock = item->object;

        return brood__robust_owner(&lock->mutex) == 0 ||
               owner_missing(header_of(item), &lock->mutex);
    }
    case BROOD__RWLOCK: {
        brood_rwlock *rwlock = item->object;

        return rwlock_ready(rwlock, item->what) ||
               owner_missing(header_of(item), &rwlock->mutex);
    }
    case BROOD__SEMAPHORE: return brood_semaphore_value(item->object) > 0;
    case BROOD__EVENT: return brood__event_is_set(item->object);
    default: return false;
    }
}

/* ---- whose death matters ---- */

typedef bool holder_function(struct brood__header *header, uint32_t slot, void *user);

static bool add_life(struct brood__header *header, uint32_t slot, void *user)
{
    return brood__words_add_life(user, header, slot);
}

static bool verify(struct brood__header *header, uint32_t slot, void *user)
{
    (void)user;
    return brood__slot_verify(header, slot);
}

static const pthread_mutex_t *mutex_of(const brood_waitable *item)
{
    switch (kind_of(item)) {
    case BROOD__LOCK: return &((const brood_lock *)item->object)->mutex;
    case BROOD__RWLOCK: return &((const brood_rwlock *)item->object)->mutex;
    default: return NULL;
    }
}

/* Calls `function` for each who holds a lock; false if one was dead or is not known. */
static bool for_each_holder(const brood_waitable *item, holder_function *function, void *user)
{
    struct brood__header *header = header_of(item);
    const pthread_mutex_t *mutex = mutex_of(item);
    bool all = true;
    uint32_t index;

    if (mutex != NULL && brood__robust_owner(mutex) != 0)
        all = owner_slot(header, mutex, &index) && function(header, index, user);
    if (item->what == BROOD_WAIT_WRITE)
        for (index = 0; index < brood__slots_used(header); index++)
            if (reads(item->object, index))
                all = function(header, index, user) && all;
    return all;
}

/* Permits belong to processes, not to threads, and only a sweep finds out whose are back: it
 * is part of each look. */
static bool comes_back(const brood_waitable *item)
{
    return kind_of(item) == BROOD__SEMAPHORE &&
           (((const brood_semaphore *)item->object)->flags & BROOD_SEMAPHORE_COUNTING) == 0;
}

/* Any member may have a permit. Its process may take some more time to die, and one that is no
 * member may have one as well: so there must also be looks. */
static void add_all_lives(struct brood__header *header, struct brood__words *words)
{
    uint32_t used = brood__slots_used(header);

    words->missing = true;
    if (words->members_of == header)
        return;
    words->members_of = header;
    for (uint32_t i = 0; i < used && words->count < BROOD__WORDS_MAX; i++)
        (void)brood__words_add_life(words, header, i);
}

void brood__waitable_add_lives(const brood_waitable *item, struct brood__words *words)
{
    if (comes_back(item))
        add_all_lives(header_of(item), words);
    else if (!for_each_holder(item, add_life, words))
        words->missing = true;
}

/* A few of all members, others at each call. */
static void verify_some(struct brood__header *header)
{
    static _Atomic uint32_t next;
    uint32_t used = brood__slots_used(header);
    uint32_t from = atomic_fetch_add_explicit(&next, VERIFY_COUNT, memory_order_relaxed);

    for (uint32_t i = 0; i < VERIFY_COUNT && i < used; i++)
        (void)brood__slot_verify(header, (from + i) % used);
}

void brood__waitable_verify(const brood_waitable *item)
{
    if (comes_back(item))
        verify_some(header_of(item));
    else
        (void)for_each_holder(item, verify, NULL);
}
