/*
 * A value: two copies, and a word that says which one counts.
 *
 *     copy 0 counts --write--> copy 1 counts --write--> copy 0 counts ...
 *
 * Invariant: the copy that counts is whole. The other one may hold anything.
 *
 * Who writes what: `bytes` and `stride` never change. All else, the holder of the lock: the
 * copy that does not count, then `current`, by one store, which is the commit. By way of
 * brood_value_pointer() a holder may write to the one that counts, at its own risk.
 */
#include "typed/inside.h"

#include <brood/value.h>

#include <string.h>

#define BYTES_MAX (UINT64_C(1) << 44)

struct brood_value {
    struct brood__object object;
    struct brood_lock lock;
    uint64_t bytes;
    uint64_t stride;          /* from one copy to the other */
    _Atomic uint64_t updater; /* slot and generation of the thread inside an update */
    _Atomic uint32_t current;
    _Alignas(BROOD__LINE) unsigned char copies[];
};

static void *copy_at(brood_value *value, uint32_t index)
{
    return value->copies + index * value->stride;
}

static uint32_t current(const brood_value *value)
{
    return atomic_load_explicit(&value->current, memory_order_acquire);
}

static void commit(brood_value *value, uint32_t index)
{
    atomic_store_explicit(&value->current, index, memory_order_release);
}

/* The object comes first; value may be NULL. */
static int check(const brood_value *value)
{
    return brood__object_check((const struct brood__object *)value, BROOD__VALUE);
}

static int enter(const brood_value *value)
{
    return brood__object_enter((const struct brood__object *)value, BROOD__VALUE);
}

int brood_value_create(brood_shared *shared, size_t value_bytes, const void *initial,
                       brood_value **ret_value)
{
    uint64_t stride = ((uint64_t)value_bytes + BROOD__LINE - 1) / BROOD__LINE * BROOD__LINE;
    brood_value *value = NULL;
    int r;

    if (ret_value == NULL || value_bytes == 0 || value_bytes > BYTES_MAX)
        return -EINVAL;
    r = brood__object_alloc(shared, sizeof *value + 2 * stride, &value);
    if (r < 0)
        return r;
    value->bytes = value_bytes;
    value->stride = stride;
    if (initial != NULL)
        memcpy(copy_at(value, 0), initial, value_bytes);
    r = brood__inside_init(&value->object, &value->lock);
    if (r < 0) {
        (void)brood__object_free(&value->object);
        return r;
    }
    brood__object_finish(&value->object, BROOD__VALUE);
    *ret_value = value;
    return 0;
}

int brood_value_destroy(brood_value *value)
{
    int r;

    if (value == NULL)
        return 0;
    r = enter(value);
    if (r == 0)
        r = brood__inside_end(&value->lock);
    return r == 0 ? brood__object_free(&value->object) : r;
}

static int acquire(brood_value *value, int64_t timeout)
{
    int r = enter(value);

    if (r == 0)
        r = brood__inside_acquire(&value->lock, timeout);
    if (r == BROOD_LOCK_RECOVERED) /* a repair may have used another segment */
        (void)brood__enter(brood__object_header(&value->object));
    return r;
}

/* ---- updating ---- */

static uint64_t this_thread(void)
{
    return (uint64_t)brood__here.generation << 32 | brood__here.slot;
}

/* Whether the calling thread, which has the lock, is inside an update, and the other copy is
 * in use. What a dead thread left there says nothing: no other has its generation. */
static bool updating(const brood_value *value)
{
    return atomic_load_explicit(&value->updater, memory_order_relaxed) == this_thread();
}

/* Like acquire(), for those who want the other copy. */
static int acquire_to_change(brood_value *value, int64_t timeout)
{
    int r = acquire(value, timeout);

    if (r >= 0 && updating(value)) {
        brood__inside_release(&value->lock);
        r = -EBUSY;
    }
    return r;
}

int brood_value_read(brood_value *value, void *ret_bytes, int64_t timeout)
{
    int r = ret_bytes == NULL ? -EINVAL : acquire(value, timeout);

    if (r < 0)
        return r;
    memcpy(ret_bytes, copy_at(value, current(value)), value->bytes);
    brood__inside_release(&value->lock);
    return r;
}

/*
 * Before   One copy counts.
 * After    The other one counts.
 * Dying    before the commit leaves a copy that does not count half-written.
 */
int brood_value_write(brood_value *value, const void *bytes, int64_t timeout)
{
    int r = bytes == NULL ? -EINVAL : acquire_to_change(value, timeout);
    uint32_t other;

    if (r < 0)
        return r;
    other = current(value) ^ 1;
    memcpy(copy_at(value, other), bytes, value->bytes);
    commit(value, other);
    brood__inside_release(&value->lock);
    return r;
}

/* The same, with the function writing the other copy. Dying in it leaves `updater` behind,
 * which nobody is called any more. */
int brood_value_update(brood_value *value, brood_value_function *function, void *user,
                       int64_t timeout)
{
    int r = function == NULL ? -EINVAL : acquire_to_change(value, timeout);
    uint32_t other;
    int said;

    if (r < 0)
        return r;
    other = current(value) ^ 1;
    memcpy(copy_at(value, other), copy_at(value, other ^ 1), value->bytes);
    atomic_store_explicit(&value->updater, this_thread(), memory_order_relaxed);
    said = function(copy_at(value, other), value->bytes, user);
    /* The function may have used another segment, so that brood__here speaks of that. */
    (void)brood__enter(brood__object_header(&value->object));
    atomic_store_explicit(&value->updater, 0, memory_order_relaxed);
    if (said >= 0)
        commit(value, other);
    brood__inside_release(&value->lock);
    return said < 0 ? said : r;
}

/* ---- asking ---- */

void *brood_value_pointer(brood_value *value)
{
    if (check(value) < 0)
        return NULL;
    return copy_at(value, current(value));
}

brood_lock *brood_value_lock(brood_value *value)
{
    return check(value) < 0 ? NULL : &value->lock;
}

size_t brood_value_bytes(const brood_value *value)
{
    return check(value) < 0 ? 0 : value->bytes;
}
