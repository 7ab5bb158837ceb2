/* The parts of a map: their mutex, what is repaired after a death, memory. */
#include "typed/map.h"

#include "base/clock.h"
#include "shm/segment.h"
#include "sync/lock_table.h"
#include "typed/block.h"

#include <string.h>

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Every store is one that a death may come after, so none passes another. */
static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static void *at(struct brood__header *header, uint64_t place)
{
    return (char *)header + place;
}

void brood__map_part_init(struct brood__map_part *part)
{
    atomic_init(&part->bucket_count, BROOD__MAP_FIRST_BUCKETS);
    atomic_init(&part->first[0].order, BROOD__MAP_BUCKET_READY);
}

/* ---- memory that changes hands ---- */

/* A name that no other allocation has or will have: see brood__map_tag. */
static uint64_t new_tag(brood_map *map, struct brood__map_part *part)
{
    uint64_t serial = load(&part->serial) + 1;
    uint64_t number = (uint64_t)(part - map->parts);

    store(&part->serial, serial);
    return ((serial << BROOD__MAP_PART_BITS | number) ^ map->seed) | UINT64_C(1) << 63;
}

static void name(struct brood__map_transit *transit, uint64_t place, uint64_t tag,
                 uint64_t order)
{
    store(&transit->tag, tag);
    store(&transit->order, order);
    store(&transit->place, place);
}

static void unname(struct brood__map_transit *transit)
{
    store(&transit->place, 0);
}

/* The last two steps of what is stale. */
static void give_back(struct brood__header *header, struct brood__map_part *part)
{
    (void)brood__heap_free(header, at(header, load(&part->stale.place)));
    unname(&part->stale);
}

static bool in_map(struct brood__header *header, brood_map *map, struct brood__map_part *part,
                   const struct brood__map_transit *transit)
{
    uint64_t place = load(&transit->place), order = load(&transit->order);

    if (order != 0)
        return brood__map_has(header, part, order,
                              place + offsetof(struct brood__map_entry, node));
    for (unsigned i = 0; i < BROOD__MAP_SEGMENTS; i++)
        if (load(&part->segments[i]) == place)
            return true;
    return part == map->parts && (load(&map->locks) & ~BROOD__MAP_LOCKS_RAW) == place;
}

/*
 * Whether the block is still the one that was named, and nobody's but the part's: for the
 * dead one may have freed it, and it may be somebody else's by now; or it may not have kept
 * it, and the heap takes it back by itself.
 *
 * The tag is right only as long as nobody else has the block, or while somebody else has not
 * written to it yet; but then it is not yet kept.
 */
static bool left_over(struct brood__header *header, const struct brood__map_transit *transit)
{
    brood__map_tag *block = at(header, load(&transit->place));

    return brood__block_kept(header, block) && load(block) == load(&transit->tag);
}

/* With the mutex held, after a death. Dying in here leaves it to the next one. */
static void settle(struct brood__header *header, brood_map *map, struct brood__map_part *part,
                   struct brood__map_transit *transit)
{
    if (load(&transit->place) == 0)
        return;
    if (!in_map(header, map, part, transit) && left_over(header, transit))
        (void)brood__heap_free(header, at(header, load(&transit->place)));
    unname(transit);
}

static void repair(struct brood__header *header, brood_map *map, struct brood__map_part *part)
{
    struct brood__map_node *before = &part->first[0];
    struct brood__map_entry *entry;
    uint64_t count = 0;

    settle(header, map, part, &part->fresh);
    settle(header, map, part, &part->stale);
    for (; (entry = brood__map_entry_from(header, &before)) != NULL; before = &entry->node)
        count++;
    store(&part->count, count);
}

/* Takes away what brood_map_clear() has ended. Dying leaves the rest to the next one. */
static void purge(struct brood__header *header, struct brood__map_part *part, uint64_t cleared)
{
    struct brood__map_spot spot = { &part->first[0], NULL };

    while ((spot.found = brood__map_entry_from(header, &spot.before)) != NULL)
        brood__map_unlink(header, part, &spot);
    store(&part->cleared, cleared);
}

int brood__map_enter(brood_map *map, struct brood__map_part *part)
{
    struct brood__header *header = brood__object_header(&map->object);
    int r = brood__robust_lock(header, &part->mutex, BROOD__NEVER);
    uint64_t cleared;

    if (r == -EOWNERDEAD) {
        repair(header, map, part);
        brood__robust_repaired(&part->mutex);
    } else if (r < 0) {
        return r;
    }
    cleared = atomic_load_explicit(&map->cleared, memory_order_acquire);
    if (__builtin_expect(load(&part->cleared) != cleared, 0))
        purge(header, part, cleared);
    return 0;
}

void brood__map_leave(struct brood__map_part *part)
{
    brood__robust_unlock(&part->mutex);
}

/* ---- entries ---- */

int brood__map_entry_alloc(struct brood__header *header, const struct brood__map_target *target,
                           size_t value_bytes, struct brood__map_entry **ret_entry)
{
    struct brood__map_entry *entry;
    size_t key_room = ((size_t)target->key_bytes + 15) / 16 * 16;
    void *memory = NULL;
    int r;

    if (value_bytes > SIZE_MAX / 2)
        return -EINVAL;
    r = brood__heap_alloc(header, sizeof *entry + key_room + value_bytes, false, &memory);
    if (r < 0)
        return r;
    entry = memory;
    atomic_init(&entry->tag, 0);
    atomic_init(&entry->node.next, 0);
    atomic_init(&entry->node.order, target->order);
    entry->value_bytes = value_bytes;
    entry->key_bytes = target->key_bytes;
    memcpy(entry->key, target->key, target->key_bytes);
    *ret_entry = entry;
    return 0;
}

/*
 * Twice as many buckets, when there is an entry for each.
 *
 * Before   The mutex is held, nothing is fresh.
 * After    There are more buckets, not in the list yet; or not, for want of memory.
 * Dying    leaves as many as before, maybe with a segment of unused ones.
 */
static void grow(brood_map *map, struct brood__map_part *part)
{
    struct brood__header *header = brood__object_header(&map->object);
    uint64_t count = load(&part->bucket_count);
    unsigned number = 63u - (unsigned)__builtin_clzll(count / BROOD__MAP_FIRST_BUCKETS);
    size_t bytes = sizeof(struct brood__map_segment) + count * sizeof(struct brood__map_node);
    struct brood__map_segment *segment;
    void *memory = NULL;

    if (number >= BROOD__MAP_SEGMENTS)
        return;
    if (load(&part->segments[number]) == 0) {
        if (brood__heap_alloc(header, bytes, false, &memory) < 0)
            return;
        memset(memory, 0, bytes);
        segment = memory;
        store(&segment->tag, new_tag(map, part));
        name(&part->fresh, brood__map_place(header, segment), load(&segment->tag), 0);
        (void)brood__heap_keep(header, segment);
        store(&part->segments[number], brood__map_place(header, segment));
        unname(&part->fresh);
    }
    store(&part->bucket_count, 2 * count);
}

/*
 * Before   The mutex is held; the entry is HELD by the caller.
 * After    The entry is in the list, and the one it replaces is gone.
 * Dying    before the commit leaves an entry that is HELD, or `fresh` and not in the list:
 *          it is freed. After it, one that is `stale` and not in the list.
 */
void brood__map_link(brood_map *map, struct brood__map_part *part,
                     const struct brood__map_spot *spot, struct brood__map_entry *entry)
{
    struct brood__header *header = brood__object_header(&map->object);
    struct brood__map_entry *old = spot->found;
    uint64_t order = load(&entry->node.order), count;

    store(&entry->tag, new_tag(map, part));
    entry->serial = old != NULL ? old->serial : load(&part->serial);
    store(&entry->node.next, load(old != NULL ? &old->node.next : &spot->before->next));
    name(&part->fresh, brood__map_place(header, entry), load(&entry->tag), order);
    (void)brood__heap_keep(header, entry);
    if (old != NULL)
        name(&part->stale, brood__map_place(header, old), load(&old->tag), order);
    store(&spot->before->next, brood__map_place(header, &entry->node)); /* the commit */
    if (old == NULL)
        store(&part->count, load(&part->count) + 1);
    unname(&part->fresh);
    if (old != NULL)
        give_back(header, part);
    count = load(&part->count);
    /* At a power of two only: without memory it is tried no more for a while. */
    if (old == NULL && count >= load(&part->bucket_count) && (count & (count - 1)) == 0)
        grow(map, part);
}

/*
 * Before   The mutex is held, the entry is in the list.
 * After    It is not, and its memory is the heap's.
 * Dying    after the commit leaves it `stale` and not in the list.
 */
void brood__map_unlink(struct brood__header *header, struct brood__map_part *part,
                       const struct brood__map_spot *spot)
{
    struct brood__map_entry *old = spot->found;

    name(&part->stale, brood__map_place(header, old), load(&old->tag), load(&old->node.order));
    store(&spot->before->next, load(&old->node.next)); /* the commit */
    store(&part->count, load(&part->count) - 1);
    give_back(header, part);
}

/* ---- the locks of keys ---- */

/* Makes the table in `locks` usable, with the mutex of part 0 held. Doing it twice is as good
 * as once. */
static void locks_finish(struct brood__header *header, brood_map *map)
{
    uint64_t place = load(&map->locks) & ~BROOD__MAP_LOCKS_RAW;
    brood_lock_table *table = at(header, place);

    store(at(header, place), 0); /* the tag, where `kind` belongs */
    brood__lock_table_finish(table);
    store(&map->locks, place);
}

/*
 * None -> raw -> there.
 *
 * Before   The mutex of part 0 is held, there is no table.
 * After    There is one.
 * Dying    before the store to `locks` leaves it HELD, or `fresh`; after it, raw: the next
 *          one finishes it.
 */
static int locks_make(struct brood__header *header, brood_map *map)
{
    brood_lock_table_options options = BROOD_LOCK_TABLE_OPTIONS_INIT;
    struct brood__map_part *part = map->parts;
    brood_lock_table *table = NULL;
    uint64_t tag = new_tag(map, part);
    struct brood_shared shared = { .header = header }; /* all that is looked at */
    int r;

    options.records_max = map->lock_records_max;
    options.key_bytes_max = map->lock_key_bytes_max;
    r = brood__lock_table_prepare(&shared, &options, &table);
    if (r < 0)
        return r;
    store((_Atomic uint64_t *)(void *)table, tag);
    name(&part->fresh, brood__map_place(header, table), tag, 0);
    (void)brood__heap_keep(header, table);
    store(&map->locks, brood__map_place(header, table) | BROOD__MAP_LOCKS_RAW);
    unname(&part->fresh);
    locks_finish(header, map);
    return 0;
}

int brood__map_locks(brood_map *map, brood_lock_table **ret_locks)
{
    struct brood__header *header = brood__object_header(&map->object);
    uint64_t place = atomic_load_explicit(&map->locks, memory_order_acquire);
    int r = 0;

    if (__builtin_expect(place == 0 || (place & BROOD__MAP_LOCKS_RAW) != 0, 0)) {
        r = brood__map_enter(map, map->parts);
        if (r < 0)
            return r;
        place = load(&map->locks);
        if (place == 0)
            r = locks_make(header, map);
        else if ((place & BROOD__MAP_LOCKS_RAW) != 0)
            locks_finish(header, map);
        place = load(&map->locks);
        brood__map_leave(map->parts);
    }
    if (r == 0)
        *ret_locks = at(header, place);
    return r;
}

/* ---- the end ---- */

static void free_segments(struct brood__header *header, struct brood__map_part *part)
{
    store(&part->first[0].next, 0); /* all buckets leave the list */
    store(&part->bucket_count, BROOD__MAP_FIRST_BUCKETS);
    for (unsigned i = 0; i < BROOD__MAP_SEGMENTS; i++) {
        uint64_t place = load(&part->segments[i]);

        if (place == 0)
            continue;
        name(&part->stale, place, load((brood__map_tag *)at(header, place)), 0);
        store(&part->segments[i], 0);
        give_back(header, part);
    }
}

static void free_locks(struct brood__header *header, brood_map *map)
{
    struct brood__map_part *part = map->parts;
    uint64_t place = load(&map->locks) & ~BROOD__MAP_LOCKS_RAW, tag;

    if (place == 0)
        return;
    tag = new_tag(map, part);
    name(&part->stale, place, tag, 0);
    store(at(header, place), tag); /* it is no lock table any more */
    store(&map->locks, 0);
    give_back(header, part);
}

int brood__map_free_parts(brood_map *map)
{
    struct brood__header *header = brood__object_header(&map->object);

    for (unsigned i = 0; i < BROOD__MAP_PARTS; i++) {
        int r = brood__map_enter(map, &map->parts[i]);

        if (r < 0)
            return r;
        free_segments(header, &map->parts[i]);
        if (i == 0)
            free_locks(header, map);
        brood__map_leave(&map->parts[i]);
    }
    return 0;
}
