#include "shm/heap.h"

#include "base/clock.h"
#include "shm/presence.h"
#include "shm/reserve.h"
#include "shm/robust.h"

#include <errno.h>
#include <string.h>

enum state { FREE = 1, HELD = 2, USED = 3 };

/* The word: canary:16 | bytes:44, a multiple of 16 | state:4. */
#define CANARY (UINT64_C(0xb10c) << 48)
#define CANARY_MASK (UINT64_C(0xffff) << 48)
#define STATE_MASK UINT64_C(15)

#define UNIT 16
#define LINE_OFFSET                                                                            \
    (BROOD__LINE - sizeof(struct block)) /* of a block whose payload is aligned */
#define EXACT_BYTES 1024                 /* up to here each size has a bin of its own */

struct block {
    _Atomic uint64_t word;  /* bytes, this header included, and state */
    _Atomic uint64_t owner; /* while HELD: slot:32 | tenancy:32 */
};

/* What a FREE block has in place of the payload. */
struct free_block {
    struct block block;
    uint64_t next; /* in its bin; 0: the last */
    uint64_t prev; /* 0: the first */
};

#define BLOCK_BYTES_MIN sizeof(struct free_block)
#define BYTES_MAX (UINT64_C(1) << 46)

static_assert(sizeof(struct block) == UNIT && BLOCK_BYTES_MIN == 2 * UNIT, "layout of blocks");

static struct block *at(struct brood__header *header, uint64_t place)
{
    return (struct block *)((char *)header + place);
}

static struct free_block *free_at(struct brood__header *header, uint64_t place)
{
    return (struct free_block *)((char *)header + place);
}

static uint64_t place_of(struct brood__header *header, const void *block)
{
    return (uint64_t)((const char *)block - (const char *)header);
}

static uint64_t word_of(uint64_t bytes, enum state state)
{
    return CANARY | bytes | (uint64_t)state;
}

static uint64_t word_bytes(uint64_t word)
{
    return word & ~(CANARY_MASK | STATE_MASK);
}

static enum state word_state(uint64_t word)
{
    return (enum state)(word & STATE_MASK);
}

static uint64_t load(struct block *block)
{
    return atomic_load_explicit(&block->word, memory_order_acquire);
}

/* The commit of every change of the row. */
static void store(struct block *block, uint64_t bytes, enum state state)
{
    atomic_store_explicit(&block->word, word_of(bytes, state), memory_order_release);
}

static uint64_t end_of(struct brood__header *header)
{
    return atomic_load_explicit(&header->bytes, memory_order_acquire);
}

/* ---- the bins ---- */

/* Each size up to EXACT_BYTES has its bin, then four share a doubling, then all the rest. */
static unsigned bin_of(uint64_t bytes)
{
    unsigned log, bin;

    if (bytes <= EXACT_BYTES)
        return (unsigned)(bytes / UNIT) - 2;
    log = 63u - (unsigned)__builtin_clzll(bytes);
    bin = EXACT_BYTES / UNIT - 1 + (log - 10) * 4 + (unsigned)((bytes >> (log - 2)) & 3);
    return bin < BROOD__BIN_COUNT ? bin : BROOD__BIN_COUNT - 1;
}

static void bin_add(struct brood__header *header, uint64_t place)
{
    struct brood__heap *heap = &header->heap;
    struct free_block *block = free_at(header, place);
    unsigned bin = bin_of(word_bytes(load(&block->block)));

    block->prev = 0;
    block->next = heap->bins[bin];
    if (block->next != 0)
        free_at(header, block->next)->prev = place;
    heap->bins[bin] = place;
    heap->filled[bin / 64] |= UINT64_C(1) << bin % 64;
}

static void bin_remove(struct brood__header *header, uint64_t place)
{
    struct brood__heap *heap = &header->heap;
    struct free_block *block = free_at(header, place);
    unsigned bin = bin_of(word_bytes(load(&block->block)));

    if (block->next != 0)
        free_at(header, block->next)->prev = block->prev;
    if (block->prev != 0)
        free_at(header, block->prev)->next = block->next;
    else if ((heap->bins[bin] = block->next) == 0)
        heap->filled[bin / 64] &= ~(UINT64_C(1) << bin % 64);
}

static unsigned bin_filled_from(const struct brood__heap *heap, unsigned bin)
{
    for (unsigned i = bin / 64; i < BROOD__BIN_COUNT / 64; i++) {
        uint64_t bits = heap->filled[i];

        if (i == bin / 64)
            bits &= ~UINT64_C(0) << bin % 64;
        if (bits != 0)
            return i * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return BROOD__BIN_COUNT;
}

/* Bytes to leave in front of a block at `place` so that its payload starts a line: none, or
 * enough for a block. */
static uint64_t lead_of(uint64_t place, bool line)
{
    uint64_t lead;

    if (!line)
        return 0;
    lead = (LINE_OFFSET - place) % BROOD__LINE;
    return lead == UNIT ? lead + BROOD__LINE : lead;
}

/* A FREE block that can take `bytes`, or 0. */
static uint64_t find(struct brood__header *header, uint64_t bytes, bool line)
{
    struct brood__heap *heap = &header->heap;

    for (unsigned bin = bin_filled_from(heap, bin_of(bytes)); bin < BROOD__BIN_COUNT;
         bin = bin_filled_from(heap, bin + 1))
        for (uint64_t place = heap->bins[bin]; place != 0; place = free_at(header, place)->next)
            if (word_bytes(load(at(header, place))) >= bytes + lead_of(place, line))
                return place;
    return 0;
}

/* ---- the row ---- */

static uint64_t my_owner(void)
{
    return (uint64_t)brood__here.slot << 32 | brood__here.tenancy;
}

static bool owner_lives(struct brood__header *header, uint64_t owner)
{
    return brood__process_alive(header, (uint32_t)(owner >> 32), (uint32_t)owner);
}

/*
 * Takes back what the dead held, joins neighbours that are free, and makes the bins anew.
 *
 * Before   heap.lock is held, the row is whole, the bins may be anything.
 * After    The bins are right. Returns how many blocks were taken back.
 * Dying    changes nothing that the next one to do this does not do again.
 */
static int rebuild(struct brood__header *header)
{
    struct brood__heap *heap = &header->heap;
    uint64_t end = end_of(header), used = 0, last_free = 0;
    uint64_t known_owner = 0;
    bool known_lives = false, known = false;
    int taken = 0;

    memset(heap->bins, 0, sizeof heap->bins);
    memset(heap->filled, 0, sizeof heap->filled);
    for (uint64_t place = header->heap_start, bytes; place < end; place += bytes) {
        struct block *block = at(header, place);
        uint64_t word = load(block);

        bytes = word_bytes(word);
        assert((word & CANARY_MASK) == CANARY && bytes >= BLOCK_BYTES_MIN);
        if (word_state(word) == HELD) {
            uint64_t owner = atomic_load_explicit(&block->owner, memory_order_relaxed);

            if (!known || owner != known_owner) {
                known_owner = owner;
                known_lives = owner_lives(header, owner);
                known = true;
            }
            /* Somebody else may keep it meanwhile: then it is not the dead one's any more. */
            if (!known_lives &&
                atomic_compare_exchange_strong(&block->word, &word, word_of(bytes, FREE))) {
                word = word_of(bytes, FREE);
                taken++;
            }
        }
        if (word_state(word) != FREE) {
            used += bytes;
            last_free = 0;
        } else if (last_free == 0) {
            last_free = place;
        } else {
            struct block *first = at(header, last_free);

            store(first, word_bytes(load(first)) + bytes, FREE);
            atomic_store_explicit(&block->word, 0, memory_order_relaxed);
        }
    }
    for (uint64_t place = header->heap_start, bytes; place < end; place += bytes) {
        uint64_t word = load(at(header, place));

        bytes = word_bytes(word);
        if (word_state(word) == FREE)
            bin_add(header, place);
    }
    atomic_store_explicit(&heap->used_bytes, used, memory_order_relaxed);
    return taken;
}

static int enter(struct brood__header *header)
{
    int r = brood__robust_lock(header, &header->heap.lock, BROOD__NEVER);

    if (r == -EOWNERDEAD) {
        (void)rebuild(header);
        brood__robust_repaired(&header->heap.lock);
        return 0;
    }
    return r;
}

static void leave(struct brood__header *header)
{
    brood__robust_unlock(&header->heap.lock);
}

/* With the lock held; a block of at least `bytes` is free after that. */
static int grow(struct brood__header *header, uint64_t bytes)
{
    uint64_t end = end_of(header), room = header->bytes_max - end, page = 4096;
    int r;

    bytes = (bytes + page - 1) / page * page;
    if (bytes == 0 || bytes > room)
        return -EFBIG;
    r = brood__reserve(header, end, end + bytes);
    if (r < 0)
        return r;
    /* The block first, then the end that takes it into the row. */
    store(at(header, end), bytes, FREE);
    atomic_store_explicit(&header->bytes, end + bytes, memory_order_release);
    bin_add(header, end);
    return 0;
}

/* The bytes of the block at the end of the row if it is FREE, else 0. */
static uint64_t free_at_end(struct brood__header *header)
{
    uint64_t end = end_of(header), word = 0;

    for (uint64_t place = header->heap_start; place < end; place += word_bytes(word))
        word = load(at(header, place));
    return word_state(word) == FREE ? word_bytes(word) : 0;
}

/* After a rebuild(). Doubles, and if there is not the memory for that, makes do with what is
 * needed beside the free block at the end. */
static int grow_for(struct brood__header *header, uint64_t bytes)
{
    uint64_t end = end_of(header), room = header->bytes_max - end;
    uint64_t more = bytes - free_at_end(header);
    uint64_t wish = more > end ? more : end;

    if (more > room)
        return -ENOSPC;
    if (grow(header, wish < room ? wish : room) < 0 && grow(header, more) < 0)
        return -ENOSPC;
    (void)rebuild(header); /* joins the two */
    return 0;
}

int brood__heap_init(struct brood__header *header)
{
    uint64_t bytes = end_of(header) - header->heap_start;
    int r = brood__robust_init(&header->heap.lock);

    if (r < 0)
        return r;
    store(at(header, header->heap_start), bytes, FREE);
    bin_add(header, header->heap_start);
    return 0;
}

/*
 * FREE -> HELD, splitting off what is not needed.
 *
 * Before   The block is FREE and large enough, the lock is held.
 * After    The block is HELD by this process.
 * Dying    between the stores leaves each new block FREE, and out of the bins, which the
 *          next one makes anew.
 */
static struct block *take(struct brood__header *header, uint64_t place, uint64_t bytes,
                          bool line)
{
    struct block *block = at(header, place);
    uint64_t lead = lead_of(place, line);
    uint64_t all = word_bytes(load(block));

    bin_remove(header, place);
    if (lead != 0) {
        store(at(header, place + lead), all - lead, FREE);
        store(block, lead, FREE);
        bin_add(header, place);
        place += lead;
        block = at(header, place);
        all -= lead;
    }
    if (all - bytes >= BLOCK_BYTES_MIN) {
        store(at(header, place + bytes), all - bytes, FREE);
        store(block, bytes, FREE);
        bin_add(header, place + bytes);
    } else {
        bytes = all;
    }
    atomic_store_explicit(&block->owner, my_owner(), memory_order_relaxed);
    store(block, bytes, HELD);
    atomic_fetch_add_explicit(&header->heap.used_bytes, bytes, memory_order_relaxed);
    return block;
}

int brood__heap_alloc(struct brood__header *header, size_t bytes, bool line, void **ret_pointer)
{
    uint64_t place, need;
    int r;

    if (bytes == 0 || bytes > BYTES_MAX)
        return -EINVAL;
    need = (bytes + sizeof(struct block) + UNIT - 1) / UNIT * UNIT;
    if (need < BLOCK_BYTES_MIN)
        need = BLOCK_BYTES_MIN;
    r = enter(header);
    if (r < 0)
        return r;
    place = find(header, need, line);
    if (place == 0) {
        (void)rebuild(header);
        place = find(header, need, line);
    }
    if (place == 0) {
        r = grow_for(header, need + (line ? 2 * BROOD__LINE : 0));
        if (r == 0)
            place = find(header, need, line);
        assert(r < 0 || place != 0);
    }
    if (place != 0)
        *ret_pointer = take(header, place, need, line) + 1;
    leave(header);
    return place != 0 ? 0 : r;
}

/* The block of an allocation, or NULL if it is none. */
static struct block *block_of(struct brood__header *header, const void *pointer)
{
    uint64_t place = place_of(header, pointer) - sizeof(struct block);
    struct block *block;
    uint64_t word, bytes;

    if (place % UNIT != 0 || place < header->heap_start || place >= end_of(header))
        return NULL;
    block = at(header, place);
    word = load(block);
    bytes = word_bytes(word);
    if ((word & CANARY_MASK) != CANARY || bytes < BLOCK_BYTES_MIN ||
        bytes > end_of(header) - place ||
        (word_state(word) != HELD && word_state(word) != USED))
        return NULL;
    return block;
}

size_t brood__heap_bytes(struct brood__header *header, const void *pointer)
{
    struct block *block = block_of(header, pointer);

    return block == NULL ? 0 : (size_t)word_bytes(load(block)) - sizeof *block;
}

int brood__heap_hold(struct brood__header *header, void *pointer)
{
    struct block *block = block_of(header, pointer);

    if (block == NULL)
        return -EINVAL;
    atomic_store_explicit(&block->owner, my_owner(), memory_order_relaxed);
    store(block, word_bytes(load(block)), HELD);
    return 0;
}

int brood__heap_keep(struct brood__header *header, void *pointer)
{
    struct block *block = block_of(header, pointer);
    uint64_t word;

    if (block == NULL)
        return -EINVAL;
    /* No lock: the block is not FREE, and only FREE blocks change their size. But if its owner
     * is dead, somebody may be taking it back. */
    word = load(block);
    return (word_state(word) == HELD || word_state(word) == USED) &&
                   atomic_compare_exchange_strong(&block->word, &word,
                                                  word_of(word_bytes(word), USED))
               ? 0
               : -EINVAL;
}

/*
 * HELD or USED -> FREE, with the free block after it.
 *
 * Before   The pointer may be anything.
 * After    The block is FREE, in its bin.
 * Dying    before the store changes nothing; after it the bins are made anew.
 */
int brood__heap_free(struct brood__header *header, void *pointer)
{
    struct block *block, *after;
    uint64_t place, bytes, own_bytes, word;
    int r = enter(header);

    if (r < 0)
        return r;
    block = block_of(header, pointer);
    if (block == NULL) {
        leave(header);
        return -EINVAL;
    }
    place = place_of(header, block);
    own_bytes = bytes = word_bytes(load(block));
    if (place + bytes < end_of(header)) {
        after = at(header, place + bytes);
        word = load(after);
        if (word_state(word) == FREE) {
            bin_remove(header, place + bytes);
            bytes += word_bytes(word);
        }
    }
    store(block, bytes, FREE);
    if (bytes != own_bytes) /* no header that is none may look like one */
        atomic_store_explicit(&at(header, place + own_bytes)->word, 0, memory_order_relaxed);
    bin_add(header, place);
    atomic_fetch_sub_explicit(&header->heap.used_bytes, own_bytes, memory_order_relaxed);
    leave(header);
    return 0;
}

int brood__heap_grow(struct brood__header *header, uint64_t bytes)
{
    int r = enter(header);

    if (r < 0)
        return r;
    if (bytes > end_of(header))
        r = grow(header, bytes - end_of(header));
    leave(header);
    return r;
}

int brood__heap_reclaim(struct brood__header *header)
{
    int r = enter(header);

    if (r < 0)
        return r;
    r = rebuild(header);
    leave(header);
    return r;
}

int brood__heap_check(struct brood__header *header)
{
    uint64_t end, place, bytes, used = 0;
    int blocks = 0, frees = 0;
    int r = enter(header);

    if (r < 0)
        return r;
    end = end_of(header);
    for (place = header->heap_start; place < end; place += bytes) {
        uint64_t word = load(at(header, place));

        bytes = word_bytes(word);
        if ((word & CANARY_MASK) != CANARY || bytes < BLOCK_BYTES_MIN || bytes > end - place)
            goto bad;
        blocks++;
        if (word_state(word) == FREE)
            frees++;
        else
            used += bytes;
    }
    for (unsigned bin = 0; bin < BROOD__BIN_COUNT; bin++) {
        bool filled = (header->heap.filled[bin / 64] >> bin % 64 & 1) != 0;
        uint64_t prev = 0;

        if (filled != (header->heap.bins[bin] != 0))
            goto bad;
        for (place = header->heap.bins[bin]; place != 0; place = free_at(header, place)->next) {
            uint64_t word = load(at(header, place));

            if (word_state(word) != FREE || bin_of(word_bytes(word)) != bin ||
                free_at(header, place)->prev != prev)
                goto bad;
            prev = place;
            frees--;
        }
    }
    if (frees != 0 ||
        used != atomic_load_explicit(&header->heap.used_bytes, memory_order_relaxed))
        goto bad;
    leave(header);
    return blocks;
bad:
    leave(header);
    return -EBADMSG;
}
