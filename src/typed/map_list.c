/* The list of a part: searching, and putting buckets into it. */
#include "typed/map.h"

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

/* ---- hashes ---- */

__extension__ typedef unsigned __int128 wide;

static uint64_t fold(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define ODD_1 UINT64_C(0xa0761d6478bd642f)
#define ODD_2 UINT64_C(0xe7037ed1a0b428db)

/* In the manner of wyhash: multiply, and fold the halves. The seed is the map's own, so that
 * nobody can choose keys that meet. */
static uint64_t hash_of(uint64_t seed, const void *key, size_t key_bytes)
{
    const unsigned char *at = key;
    uint64_t hash = seed ^ fold(seed ^ ODD_1, key_bytes ^ ODD_2);
    uint64_t a, b;

    for (; key_bytes > 16; key_bytes -= 16, at += 16) {
        memcpy(&a, at, 8);
        memcpy(&b, at + 8, 8);
        hash = fold(a ^ ODD_1 ^ hash, b ^ ODD_2 ^ seed) ^ hash;
    }
    a = b = 0;
    memcpy(&a, at, key_bytes < 8 ? key_bytes : 8);
    if (key_bytes > 8)
        memcpy(&b, at + 8, key_bytes - 8);
    return fold(fold(a ^ ODD_1 ^ hash, b ^ ODD_2 ^ seed) ^ ODD_1, hash ^ ODD_2);
}

static uint64_t reversed(uint64_t bits)
{
    bits = (bits >> 1 & UINT64_C(0x5555555555555555)) | (bits & UINT64_C(0x5555555555555555))
                                                            << 1;
    bits = (bits >> 2 & UINT64_C(0x3333333333333333)) | (bits & UINT64_C(0x3333333333333333))
                                                            << 2;
    bits = (bits >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (bits & UINT64_C(0x0f0f0f0f0f0f0f0f))
                                                            << 4;
    return __builtin_bswap64(bits);
}

struct brood__map_target brood__map_target_of(brood_map *map, const void *key, size_t key_bytes)
{
    uint64_t hash = hash_of(map->seed, key, key_bytes);

    /* The bits that name the part are the same within it, and leave room for the marks. */
    return (struct brood__map_target){
        .part = &map->parts[hash % BROOD__MAP_PARTS],
        .order =
            reversed(hash >> BROOD__MAP_PART_BITS) | BROOD__MAP_BUCKET_READY | BROOD__MAP_ENTRY,
        .key = key,
        .key_bytes = (uint32_t)key_bytes,
    };
}

/* ---- buckets ---- */

static struct brood__map_node *bucket_at(struct brood__header *header,
                                         struct brood__map_part *part, uint64_t index)
{
    struct brood__map_segment *segment;
    unsigned number;

    if (index < BROOD__MAP_FIRST_BUCKETS)
        return &part->first[index];
    number = 63u - (unsigned)__builtin_clzll(index / BROOD__MAP_FIRST_BUCKETS);
    segment = (struct brood__map_segment *)((char *)header + load(&part->segments[number]));
    return &segment->buckets[index - ((uint64_t)BROOD__MAP_FIRST_BUCKETS << number)];
}

static bool ready(const struct brood__map_node *bucket)
{
    return (load(&bucket->order) & BROOD__MAP_BUCKET_READY) != 0;
}

/*
 * Puts a bucket into the list, behind the one that had its entries so far.
 *
 * Before   `parent` is in the list, and before where the bucket belongs.
 * After    The bucket is in the list, and READY.
 * Dying    between the last two stores leaves it in the list and not READY: the next one
 *          finds it there.
 */
static void bucket_link(struct brood__header *header, struct brood__map_node *parent,
                        struct brood__map_node *bucket, uint64_t order)
{
    struct brood__map_node *before = parent;
    uint64_t next;

    while ((next = load(&before->next)) != 0 &&
           load(&brood__map_node_at(header, next)->order) < order)
        before = brood__map_node_at(header, next);
    if (next != brood__map_place(header, bucket)) {
        store(&bucket->next, next);
        store(&bucket->order, order);
        store(&before->next, brood__map_place(header, bucket));
    }
    store(&bucket->order, order | BROOD__MAP_BUCKET_READY);
}

/* A bucket's parent has the same index without its highest bit. */
static struct brood__map_node *bucket_of(struct brood__header *header,
                                         struct brood__map_part *part, uint64_t index)
{
    struct brood__map_node *bucket = bucket_at(header, part, index), *parent;

    if (__builtin_expect(ready(bucket), 1))
        return bucket;
    assert(index != 0); /* that one always is */
    parent = bucket_of(header, part,
                       index & ~(UINT64_C(1) << (63 - (unsigned)__builtin_clzll(index))));
    bucket_link(header, parent, bucket, reversed(index));
    return bucket;
}

/* The last node known to be before all entries of an order. */
static struct brood__map_node *start_of(struct brood__header *header,
                                        struct brood__map_part *part, uint64_t order)
{
    return bucket_of(header, part, reversed(order) & (load(&part->bucket_count) - 1));
}

/* ---- searching ---- */

static bool matches(const struct brood__map_entry *entry,
                    const struct brood__map_target *target)
{
    return entry->key_bytes == target->key_bytes &&
           memcmp(entry->key, target->key, target->key_bytes) == 0;
}

/* Entries of one order stand by serial: a new one belongs after them. */
struct brood__map_spot brood__map_find(struct brood__header *header,
                                       const struct brood__map_target *target)
{
    struct brood__map_spot spot = { start_of(header, target->part, target->order), NULL };
    uint64_t next;

    while ((next = load(&spot.before->next)) != 0) {
        struct brood__map_node *node = brood__map_node_at(header, next);
        uint64_t order = load(&node->order);

        if (order > target->order)
            break;
        if (order == target->order && matches(brood__map_entry_of(node), target)) {
            spot.found = brood__map_entry_of(node);
            break;
        }
        spot.before = node;
    }
    return spot;
}

struct brood__map_entry *brood__map_after(struct brood__header *header,
                                          struct brood__map_part *part, uint64_t order,
                                          uint64_t serial)
{
    struct brood__map_node *before = start_of(header, part, order);
    struct brood__map_entry *entry;

    while ((entry = brood__map_entry_from(header, &before)) != NULL) {
        uint64_t its = load(&entry->node.order);

        if (its > order || (its == order && entry->serial > serial))
            return entry;
        before = &entry->node;
    }
    return NULL;
}

bool brood__map_has(struct brood__header *header, struct brood__map_part *part, uint64_t order,
                    uint64_t place)
{
    struct brood__map_node *node = start_of(header, part, order);
    uint64_t next;

    for (; (next = load(&node->next)) != 0; node = brood__map_node_at(header, next)) {
        if (next == place)
            return true;
        if (load(&brood__map_node_at(header, next)->order) > order)
            return false;
    }
    return false;
}

struct brood__map_entry *brood__map_entry_from(struct brood__header *header,
                                               struct brood__map_node **before)
{
    uint64_t next;

    while ((next = load(&(*before)->next)) != 0) {
        struct brood__map_node *node = brood__map_node_at(header, next);
        struct brood__map_entry *entry = brood__map_entry_of(node);

        if (entry != NULL)
            return entry;
        *before = node;
    }
    return NULL;
}
