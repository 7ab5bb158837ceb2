/*
 * The map, inside: parts, each with a lock, a list of entries and an index into it.
 *
 *     part    bucket 0 -> entry -> bucket 4 -> entry -> entry -> bucket 2 -> entry ...
 *
 * A part's entries are one list, ordered by the reversed bits of their hash. Buckets are
 * nodes of the same list, from which a search starts; so when there are more buckets, no
 * entry moves (Shalev and Shavit, Split-Ordered Lists, 2006). A bucket that was never used
 * is not in the list yet, and is put there by the first who wants it.
 *
 * Invariant: the list is the truth, and whole at every moment: it is changed by one store to
 * one `next`, which is the commit of every put and remove. The entries of a part whose
 * `cleared` is not the map's are gone already, and taken away by the next one to enter it.
 * A bucket marked READY is in the list.
 *
 * Memory changes hands between the heap and a part; the two have different locks, so a
 * process can die in between. What it was about to put in is named by `fresh`, what it was
 * about to take out by `stale`, and whoever enters the part next looks at whether the list
 * has it. See map_part.c.
 *
 *     fresh:  HELD by the caller --named--> --keep--> USED --in the list--> no longer named
 *     stale:  USED --named--> --out of the list--> --freed--> no longer named
 *
 * Who writes what: `seed`, `parts` and the options never change; `cleared` of the map only
 * grows, by anybody; `locks` is set under the mutex of part 0, and `ending` by who destroys.
 * All of a part, and of what is in its list, under its mutex. An entry's key and value are
 * written before it is in the list, and never change.
 *
 *     map.c        the public face
 *     map_part.c   entering, repair, memory
 *     map_list.c   searching, buckets
 */
#ifndef BROOD__TYPED_MAP_H
#define BROOD__TYPED_MAP_H

#include "shm/robust.h"
#include "sync/object.h"

#include <brood/map.h>

#define BROOD__MAP_PARTS 16
#define BROOD__MAP_PART_BITS 4
#define BROOD__MAP_FIRST_BUCKETS 8
#define BROOD__MAP_SEGMENTS 26 /* each as large as all before it: 2^29 buckets a part */

struct brood__map_node {
    _Atomic uint64_t next;  /* the place of a node, 0 at the end */
    _Atomic uint64_t order; /* entries: reversed hash, and 3; buckets: reversed index */
};

#define BROOD__MAP_LOCKS_RAW UINT64_C(1) /* in `locks`: the table is to be finished first */

#define BROOD__MAP_ENTRY 1u        /* in `order`: an entry, not a bucket */
#define BROOD__MAP_BUCKET_READY 2u /* in `order` of a bucket: it is in the list */

/* Names an allocation for good, in its first word: the heap writes over that, with something
 * less than 2^63, when it takes memory back. */
typedef _Atomic uint64_t brood__map_tag;

struct brood__map_entry {
    brood__map_tag tag;
    struct brood__map_node node;
    uint64_t serial; /* of the first entry with this key since it was last absent */
    uint64_t value_bytes;
    uint32_t key_bytes;
    uint32_t unused;
    _Alignas(16) unsigned char key[]; /* then, aligned to 16 again, the value */
};

struct brood__map_segment {
    brood__map_tag tag;
    uint64_t unused;
    struct brood__map_node buckets[];
};

static_assert(sizeof(struct brood__map_entry) == 48 && sizeof(struct brood__map_segment) == 16,
              "layout of what is in a map");

/* A block on its way into a part, or out of it. */
struct brood__map_transit {
    _Atomic uint64_t place; /* 0: none; the last to be set, and the first to be cleared */
    _Atomic uint64_t tag;
    _Atomic uint64_t order; /* of an entry; 0: of no entry */
};

struct brood__map_part {
    _Alignas(BROOD__LINE) pthread_mutex_t mutex;
    _Atomic uint64_t cleared;
    _Atomic uint64_t count;
    _Atomic uint64_t serial; /* the last one given out */
    _Atomic uint64_t bucket_count;
    struct brood__map_transit fresh;
    struct brood__map_transit stale;
    struct brood__map_node first[BROOD__MAP_FIRST_BUCKETS];
    _Atomic uint64_t segments[BROOD__MAP_SEGMENTS]; /* 0: not there yet */
};

struct brood_map {
    struct brood__object object;
    uint64_t seed;
    uint32_t lock_records_max;
    uint32_t lock_key_bytes_max;
    _Atomic uint32_t ending;
    _Atomic uint64_t cleared; /* how often */
    _Atomic uint64_t locks;   /* the place of the lock table, 0: not there yet */
    struct brood__map_part parts[BROOD__MAP_PARTS];
};

/* Where a search ended: `found`, and the node before it; or NULL, and the node after which
 * such an entry belongs. */
struct brood__map_spot {
    struct brood__map_node *before;
    struct brood__map_entry *found;
};

static inline struct brood__map_node *brood__map_node_at(struct brood__header *header,
                                                         uint64_t place)
{
    return (struct brood__map_node *)((char *)header + place);
}

static inline uint64_t brood__map_place(const struct brood__header *header, const void *pointer)
{
    return (uint64_t)((const char *)pointer - (const char *)header);
}

/* NULL for a bucket. */
static inline struct brood__map_entry *brood__map_entry_of(struct brood__map_node *node)
{
    uint64_t order = atomic_load_explicit(&node->order, memory_order_relaxed);

    if ((order & BROOD__MAP_ENTRY) == 0)
        return NULL;
    return (struct brood__map_entry *)(void *)((char *)node -
                                               offsetof(struct brood__map_entry, node));
}

static inline void *brood__map_value(const struct brood__map_entry *entry)
{
    return (unsigned char *)(uintptr_t)entry->key + (entry->key_bytes + 15) / 16 * 16;
}

/* ---- map_list.c ---- */

/* Where a key belongs. */
struct brood__map_target {
    struct brood__map_part *part;
    uint64_t order;
    const void *key;
    uint32_t key_bytes;
};

struct brood__map_target brood__map_target_of(brood_map *map, const void *key,
                                              size_t key_bytes);

/* These want the part's mutex held. */
struct brood__map_spot brood__map_find(struct brood__header *header,
                                       const struct brood__map_target *target);

/* The first entry after an order and serial; NULL if there is none. */
struct brood__map_entry *brood__map_after(struct brood__header *header,
                                          struct brood__map_part *part, uint64_t order,
                                          uint64_t serial);

/* Whether the list has a node at this place, of this order. */
bool brood__map_has(struct brood__header *header, struct brood__map_part *part, uint64_t order,
                    uint64_t place);

/* The first entry at or after a node, in *before the node before it. */
struct brood__map_entry *brood__map_entry_from(struct brood__header *header,
                                               struct brood__map_node **before);

/* ---- map_part.c ---- */

void brood__map_part_init(struct brood__map_part *part);

/*
 * Takes the part's mutex, and puts right what a dead process left. The thread has entered the
 * segment. Returns 0, or -EDEADLK in a signal handler that interrupted such a call.
 */
int brood__map_enter(brood_map *map, struct brood__map_part *part);
void brood__map_leave(struct brood__map_part *part);

/* An entry of the calling process, not in the map yet. -EINVAL for absurd sizes, -ENOSPC. */
int brood__map_entry_alloc(struct brood__header *header, const struct brood__map_target *target,
                           size_t value_bytes, struct brood__map_entry **ret_entry);

/* These want the mutex held. Puts the entry where brood__map_find() said, in place of the one
 * found there, if any; may make more buckets. */
void brood__map_link(brood_map *map, struct brood__map_part *part,
                     const struct brood__map_spot *spot, struct brood__map_entry *entry);

/* Takes the entry that was found out, and gives its memory back. */
void brood__map_unlink(struct brood__header *header, struct brood__map_part *part,
                       const struct brood__map_spot *spot);

/* The map's lock table, made if there is none yet. */
int brood__map_locks(brood_map *map, brood_lock_table **ret_locks);

/* Gives all memory of the map but its own block back. The map is ending, and was cleared. */
int brood__map_free_parts(brood_map *map);

#endif
