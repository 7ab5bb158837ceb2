#include "sync/object.h"

#include "shm/heap.h"
#include "shm/segment.h"

#include <string.h>

int brood__object_alloc(struct brood_shared *shared, size_t bytes, void *ret_object)
{
    struct brood__header *header;
    struct brood__object *object;
    void *memory = NULL;
    int r = brood__segment_of(shared, &header);

    if (r == 0)
        r = brood__heap_alloc(header, bytes, true, &memory);
    if (r < 0)
        return r;
    memset(memory, 0, bytes);
    object = memory;
    object->place = (uint64_t)((char *)memory - (char *)header);
    memcpy(ret_object, &memory, sizeof memory);
    return 0;
}

void brood__object_finish(struct brood__object *object, enum brood__kind kind)
{
    atomic_store_explicit(&object->kind, (uint32_t)kind, memory_order_release);
    (void)brood__heap_keep(brood__object_header(object), object);
}

int brood__object_free(struct brood__object *object)
{
    struct brood__header *header = brood__object_header(object);

    /* Ours first, so that it is not lost if we die when nobody takes it for an object more.
     * What is no allocation of its own, such as the lock of a value, is left alone. */
    int r = brood__heap_hold(header, object);

    if (r < 0)
        return r;
    atomic_store_explicit(&object->kind, 0, memory_order_release);
    return brood__heap_free(header, object);
}

void brood__object_ring_watchers(const struct brood__object *object)
{
    brood__bell_ring(&brood__object_header(object)->watch, INT_MAX);
}
