/* The public face of maps: checks what is asked, and passes it on. */
#include "typed/map.h"

#include "base/clock.h"
#include "base/options.h"
#include "shm/heap.h"

#include <string.h>
#include <sys/random.h>

#define OPTIONS_BYTES_FIRST sizeof(brood_map_options)

#define LOCK_RECORDS_MAX (1u << 24) /* as brood_lock_table_create() has them */
#define LOCK_KEY_BYTES_MAX 4096

static uint64_t random_seed(const void *map)
{
    uint64_t seed = 0;

    /* Early in a machine's life there may be none to be had without waiting. */
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint64_t)brood__now() * UINT64_C(0x9e3779b97f4a7c15) ^ (uintptr_t)map;
    return seed;
}

int brood_map_create(brood_shared *shared, const brood_map_options *options,
                     brood_map **ret_map)
{
    brood_map_options o;
    brood_map *map = NULL;
    int r;

    if (ret_map == NULL)
        return -EINVAL;
    r = brood__options_read(&o, sizeof o, OPTIONS_BYTES_FIRST, options);
    if (r == 0 &&
        (o.lock_records_max > LOCK_RECORDS_MAX || o.lock_key_bytes_max > LOCK_KEY_BYTES_MAX))
        r = -EINVAL;
    if (r == 0)
        r = brood__object_alloc(shared, sizeof *map, &map);
    if (r < 0)
        return r;
    map->seed = random_seed(map);
    map->lock_records_max = o.lock_records_max;
    map->lock_key_bytes_max = o.lock_key_bytes_max;
    for (unsigned i = 0; r == 0 && i < BROOD__MAP_PARTS; i++) {
        brood__map_part_init(&map->parts[i]);
        r = brood__robust_init(&map->parts[i].mutex);
    }
    if (r < 0) {
        (void)brood__object_free(&map->object);
        return r;
    }
    brood__object_finish(&map->object, BROOD__MAP);
    *ret_map = map;
    return 0;
}

static int check(const brood_map *map)
{
    int r = brood__object_enter(map == NULL ? NULL : &map->object, BROOD__MAP);

    if (r == 0 && atomic_load_explicit(&map->ending, memory_order_acquire) != 0)
        r = -EINVAL;
    return r;
}

/* ---- the end ---- */

/* Locks the locks for good; nobody may want them any more. */
static int end_locks(brood_map *map)
{
    brood_lock_table *locks = NULL;
    int r;

    if (atomic_load_explicit(&map->locks, memory_order_acquire) == 0)
        return 0;
    r = brood__map_locks(map, &locks);
    if (r == 0 && brood_lock_table_held(locks, NULL, 0) > 0)
        r = -EBUSY; /* the caller has a key, which would not be in its own way */
    if (r == 0)
        r = brood_lock_table_acquire_table(locks, BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT, NULL);
    return r == -ETIMEDOUT ? -EBUSY : r < 0 ? r : 0;
}

/* Everything up to the last step may be done again by another one, if this one dies. */
int brood_map_destroy(brood_map *map)
{
    int r;

    if (map == NULL)
        return 0;
    r = brood__object_enter(&map->object, BROOD__MAP);
    for (unsigned i = 0; r == 0 && i < BROOD__MAP_PARTS; i++)
        if (brood__robust_owner(&map->parts[i].mutex) != 0)
            r = -EBUSY;
    if (r == 0 && atomic_load_explicit(&map->ending, memory_order_relaxed) == 0)
        r = end_locks(map);
    if (r < 0)
        return r;
    atomic_store_explicit(&map->ending, 1, memory_order_release);
    (void)atomic_fetch_add_explicit(&map->cleared, 1, memory_order_acq_rel);
    r = brood__map_free_parts(map);
    return r == 0 ? brood__object_free(&map->object) : r;
}

/* ---- entries ---- */

/* What all calls about a key begin with. */
static int target(brood_map *map, const void *key, size_t key_bytes,
                  struct brood__header **ret_header, struct brood__map_target *ret_target)
{
    int r = check(map);

    if (r < 0)
        return r;
    if (key == NULL || key_bytes == 0 || key_bytes > BROOD_MAP_KEY_BYTES_MAX)
        return -EINVAL;
    *ret_header = brood__object_header(&map->object);
    *ret_target = brood__map_target_of(map, key, key_bytes);
    return 0;
}

/* Puts an entry of the caller's; on failure it is the caller's still. */
static int put_entry(brood_map *map, const struct brood__map_target *where,
                     struct brood__map_entry *entry, bool replace)
{
    struct brood__header *header = brood__object_header(&map->object);
    struct brood__map_spot spot;
    int r = brood__map_enter(map, where->part);

    if (r < 0)
        return r;
    spot = brood__map_find(header, where);
    if (spot.found != NULL && !replace)
        r = -EEXIST;
    else
        brood__map_link(map, where->part, &spot, entry);
    brood__map_leave(where->part);
    return r;
}

static int put(brood_map *map, const void *key, size_t key_bytes, const void *value,
               size_t value_bytes, bool replace)
{
    struct brood__header *header;
    struct brood__map_target where;
    struct brood__map_entry *entry = NULL;
    int r = target(map, key, key_bytes, &header, &where);

    if (r < 0)
        return r;
    if (value == NULL && value_bytes != 0)
        return -EINVAL;
    r = brood__map_entry_alloc(header, &where, value_bytes, &entry);
    if (r < 0)
        return r;
    if (value_bytes != 0)
        memcpy(brood__map_value(entry), value, value_bytes);
    r = put_entry(map, &where, entry, replace);
    if (r < 0)
        (void)brood__heap_free(header, entry);
    return r;
}

int brood_map_put(brood_map *map, const void *key, size_t key_bytes, const void *value,
                  size_t value_bytes)
{
    return put(map, key, key_bytes, value, value_bytes, true);
}

int brood_map_add(brood_map *map, const void *key, size_t key_bytes, const void *value,
                  size_t value_bytes)
{
    return put(map, key, key_bytes, value, value_bytes, false);
}

static int copy_out(const void *from, size_t bytes, void *to, size_t capacity_bytes)
{
    if (bytes > capacity_bytes)
        return -EMSGSIZE;
    if (bytes != 0)
        memcpy(to, from, bytes);
    return 0;
}

int brood_map_get(brood_map *map, const void *key, size_t key_bytes, void *ret_value,
                  size_t capacity_bytes, size_t *ret_value_bytes)
{
    struct brood__header *header;
    struct brood__map_target where;
    struct brood__map_entry *entry;
    size_t bytes;
    int r = target(map, key, key_bytes, &header, &where);

    if (r == 0 && ret_value == NULL && capacity_bytes != 0)
        r = -EINVAL;
    if (r == 0)
        r = brood__map_enter(map, where.part);
    if (r < 0)
        return r;
    entry = brood__map_find(header, &where).found;
    if (entry == NULL) {
        brood__map_leave(where.part);
        return -ENOENT;
    }
    bytes = entry->value_bytes;
    r = copy_out(brood__map_value(entry), bytes, ret_value, capacity_bytes);
    brood__map_leave(where.part);
    if (ret_value_bytes != NULL)
        *ret_value_bytes = bytes;
    return r;
}

int brood_map_remove(brood_map *map, const void *key, size_t key_bytes)
{
    struct brood__header *header;
    struct brood__map_target where;
    struct brood__map_spot spot;
    int r = target(map, key, key_bytes, &header, &where);

    if (r == 0)
        r = brood__map_enter(map, where.part);
    if (r < 0)
        return r;
    spot = brood__map_find(header, &where);
    if (spot.found == NULL)
        r = -ENOENT;
    else
        brood__map_unlink(header, where.part, &spot);
    brood__map_leave(where.part);
    return r;
}

int brood_map_contains(brood_map *map, const void *key, size_t key_bytes)
{
    int r = brood_map_get(map, key, key_bytes, NULL, 0, NULL);

    return r == 0 || r == -EMSGSIZE ? 1 : r == -ENOENT ? 0 : r;
}

/* ---- all entries ---- */

/* All parts at once, in one order for everybody; other calls take a single one. What was
 * cleared after its part was entered does not count. */
int64_t brood_map_count(brood_map *map)
{
    uint64_t count = 0, cleared;
    unsigned entered;
    int r = check(map);

    for (entered = 0; r == 0 && entered < BROOD__MAP_PARTS; entered++)
        r = brood__map_enter(map, &map->parts[entered]);
    if (r < 0)
        entered -= entered > 0; /* not the last one */
    cleared = r < 0 ? 0 : atomic_load_explicit(&map->cleared, memory_order_acquire);
    while (entered > 0) {
        struct brood__map_part *part = &map->parts[--entered];

        if (atomic_load_explicit(&part->cleared, memory_order_relaxed) == cleared)
            count += atomic_load_explicit(&part->count, memory_order_relaxed);
        brood__map_leave(part);
    }
    return r < 0 ? r : (int64_t)count;
}

/* The addition is the commit: see brood__map_enter(). */
int brood_map_clear(brood_map *map)
{
    int r = check(map);

    if (r < 0)
        return r;
    (void)atomic_fetch_add_explicit(&map->cleared, 1, memory_order_acq_rel);
    for (unsigned i = 0; r == 0 && i < BROOD__MAP_PARTS; i++) {
        r = brood__map_enter(map, &map->parts[i]);
        if (r == 0)
            brood__map_leave(&map->parts[i]);
    }
    return 0;
}

static int copy_entry(const struct brood__map_entry *entry, void *ret_key,
                      size_t key_capacity_bytes, void *ret_value, size_t value_capacity_bytes)
{
    if ((ret_key != NULL && entry->key_bytes > key_capacity_bytes) ||
        (ret_value != NULL && entry->value_bytes > value_capacity_bytes))
        return -EMSGSIZE;
    if (ret_key != NULL)
        (void)copy_out(entry->key, entry->key_bytes, ret_key, key_capacity_bytes);
    if (ret_value != NULL)
        (void)copy_out(brood__map_value(entry), entry->value_bytes, ret_value,
                       value_capacity_bytes);
    return 1;
}

int brood_map_next(brood_map *map, brood_map_cursor *cursor, void *ret_key,
                   size_t key_capacity_bytes, size_t *ret_key_bytes, void *ret_value,
                   size_t value_capacity_bytes, size_t *ret_value_bytes)
{
    struct brood__header *header;
    int r = check(map);

    if (r < 0)
        return r;
    if (cursor == NULL || (ret_key == NULL && key_capacity_bytes != 0) ||
        (ret_value == NULL && value_capacity_bytes != 0))
        return -EINVAL;
    header = brood__object_header(&map->object);
    while (cursor->part < BROOD__MAP_PARTS) {
        struct brood__map_part *part = &map->parts[cursor->part];
        struct brood__map_entry *entry;

        r = brood__map_enter(map, part);
        if (r < 0)
            return r;
        entry = brood__map_after(header, part, cursor->order, cursor->serial);
        if (entry != NULL) {
            r = copy_entry(entry, ret_key, key_capacity_bytes, ret_value, value_capacity_bytes);
            if (ret_key_bytes != NULL)
                *ret_key_bytes = entry->key_bytes;
            if (ret_value_bytes != NULL)
                *ret_value_bytes = entry->value_bytes;
            if (r > 0) {
                cursor->order = atomic_load_explicit(&entry->node.order, memory_order_relaxed);
                cursor->serial = entry->serial;
            }
        }
        brood__map_leave(part);
        if (entry != NULL)
            return r;
        *cursor = (brood_map_cursor){ .part = cursor->part + 1 };
    }
    return 0;
}

/* ---- the locks of keys ---- */

int brood_map_locks(brood_map *map, brood_lock_table **ret_locks)
{
    int r = ret_locks == NULL ? -EINVAL : check(map);

    return r == 0 ? brood__map_locks(map, ret_locks) : r;
}

int brood_map_acquire(brood_map *map, const void *key, size_t key_bytes, uint32_t mode,
                      int64_t timeout)
{
    brood_lock_table *locks = NULL;
    int r = brood_map_locks(map, &locks);

    return r == 0 ? brood_lock_table_acquire(locks, key, key_bytes, mode, timeout, NULL) : r;
}

int brood_map_release(brood_map *map, const void *key, size_t key_bytes)
{
    brood_lock_table *locks = NULL;
    int r = brood_map_locks(map, &locks);

    return r == 0 ? brood_lock_table_release(locks, key, key_bytes) : r;
}

/* The value of a key, at the start of an entry's, and zeros after it. */
static int copy_old(brood_map *map, const struct brood__map_target *where,
                    struct brood__map_entry *entry, size_t *ret_value_bytes)
{
    struct brood__header *header = brood__object_header(&map->object);
    unsigned char *value = brood__map_value(entry);
    struct brood__map_entry *old;
    size_t bytes = 0;
    int r = brood__map_enter(map, where->part);

    if (r < 0)
        return r;
    old = brood__map_find(header, where).found;
    if (old != NULL) {
        bytes = old->value_bytes;
        r = copy_out(brood__map_value(old), bytes, value, entry->value_bytes);
    }
    brood__map_leave(where->part);
    if (r == 0) {
        memset(value + bytes, 0, entry->value_bytes - bytes);
        *ret_value_bytes = bytes;
    }
    return r;
}

/* Replaces an entry of the caller's by one that has no more room than it needs, if that can
 * be had. */
static struct brood__map_entry *fitted(struct brood__header *header,
                                       const struct brood__map_target *where,
                                       struct brood__map_entry *entry, size_t value_bytes)
{
    struct brood__map_entry *smaller = NULL;

    if (entry->value_bytes - value_bytes >= 16 &&
        brood__map_entry_alloc(header, where, value_bytes, &smaller) == 0) {
        if (value_bytes != 0)
            memcpy(brood__map_value(smaller), brood__map_value(entry), value_bytes);
        (void)brood__heap_free(header, entry);
        return smaller;
    }
    entry->value_bytes = value_bytes;
    return entry;
}

/* With the key's lock held. */
static int update(brood_map *map, const struct brood__map_target *where, size_t value_bytes_max,
                  brood_map_function *function, void *user)
{
    struct brood__header *header = brood__object_header(&map->object);
    struct brood__map_entry *entry = NULL;
    size_t bytes = 0;
    int r = brood__map_entry_alloc(header, where, value_bytes_max, &entry);

    if (r < 0)
        return r;
    r = copy_old(map, where, entry, &bytes);
    if (r == 0) {
        r = function(brood__map_value(entry), &bytes, value_bytes_max, user);
        /* The function may have used another segment, so that brood__here speaks of that. */
        (void)brood__enter(header);
    }
    if (r > BROOD_MAP_REMOVE)
        r = -EINVAL;
    if (r == 0 && bytes > value_bytes_max)
        r = -EOVERFLOW;
    if (r == 0) {
        entry = fitted(header, where, entry, bytes);
        r = put_entry(map, where, entry, true);
        if (r == 0)
            return 0;
    }
    (void)brood__heap_free(header, entry);
    return r;
}

int brood_map_update(brood_map *map, const void *key, size_t key_bytes, size_t value_bytes_max,
                     brood_map_function *function, void *user, int64_t timeout)
{
    struct brood__header *header;
    struct brood__map_target where;
    int r = target(map, key, key_bytes, &header, &where), said;

    if (r < 0)
        return r;
    if (function == NULL)
        return -EINVAL;
    r = brood_map_acquire(map, key, key_bytes, BROOD_LOCK_EXCLUSIVE, timeout);
    if (r < 0)
        return r;
    said = update(map, &where, value_bytes_max, function, user);
    if (said == BROOD_MAP_REMOVE) {
        said = brood_map_remove(map, key, key_bytes);
        if (said == -ENOENT)
            said = 0;
    }
    (void)brood_map_release(map, key, key_bytes);
    return said < 0 ? said : r;
}
