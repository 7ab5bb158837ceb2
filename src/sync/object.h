/*
 * What every noun of sync has in front: what it is, and the way to its segment.
 *
 * A noun is the shared memory itself: `brood_lock *` points into the segment, and a forked
 * child uses the very same pointer. What is private to a process (hooks, descriptors) is
 * kept beside, by address.
 *
 * `kind` is written last at creation and cleared first at the end, so a call on something
 * that is not, or no longer, the noun it takes answers -EINVAL as long as the memory was not
 * used again.
 */
#ifndef BROOD__SYNC_OBJECT_H
#define BROOD__SYNC_OBJECT_H

#include "shm/presence.h"
#include "sync/bell.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct brood_shared;

enum brood__kind {
    BROOD__LOCK = 0x6b6c7201,
    BROOD__RWLOCK,
    BROOD__LOCK_TABLE,
    BROOD__SEMAPHORE,
    BROOD__CONDITION,
    BROOD__EVENT,
    BROOD__BARRIER,
    BROOD__VALUE,
    BROOD__ARRAY,
    BROOD__MAP,
};

struct brood__object {
    _Atomic uint32_t kind;
    _Atomic uint32_t watchers; /* waits on several objects, and descriptors, that look at it */
    uint64_t place;            /* its own: how it finds the start of the segment */
};

static inline struct brood__header *brood__object_header(const struct brood__object *object)
{
    return (struct brood__header *)((uintptr_t)object - object->place);
}

/* -EINVAL unless there is an object, and it is of that kind. Every noun begins with one. */
static inline int brood__object_check(const void *noun, enum brood__kind kind)
{
    const struct brood__object *object = noun;

    return object != NULL &&
                   atomic_load_explicit(&object->kind, memory_order_acquire) == (uint32_t)kind
               ? 0
               : -EINVAL;
}

/* The same, and makes brood__here speak of the calling thread in its segment. */
static inline int brood__object_enter(const void *noun, enum brood__kind kind)
{
    int r = brood__object_check(noun, kind);

    return r < 0 ? r : brood__enter(brood__object_header(noun));
}

/*
 * Memory for an object of `bytes`, zeroed and aligned to a cache line, in a segment (NULL:
 * the common one). Until brood__object_finish() it is the calling process's, and goes if
 * that dies.
 */
int brood__object_alloc(struct brood_shared *shared, size_t bytes, void *ret_object);

/* Makes a complete object visible as what it is. */
void brood__object_finish(struct brood__object *object, enum brood__kind kind);

/* Takes the memory of an object back; `kind` first, so that others hear -EINVAL. */
int brood__object_free(struct brood__object *object);

void brood__object_ring_watchers(const struct brood__object *object);

/* Something happened to the object that those who watch several should look at. Costs a
 * load. On a machine that lets the load pass the change, a watcher looks a slice later. */
static inline void brood__object_changed(const struct brood__object *object)
{
    if (__builtin_expect(atomic_load_explicit(&object->watchers, memory_order_relaxed) != 0, 0))
        brood__object_ring_watchers(object);
}

#endif
