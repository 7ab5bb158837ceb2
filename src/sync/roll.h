/*
 * A roll: one word for each slot of the segment, in which the slot's thread says what it has
 * or waits for at one object.
 *
 *     word = generation:32 | value:32
 *
 * Invariant: a word counts only if its generation is that of the slot's thread, and that
 * thread lives. So what a dead thread said stops counting the moment it dies, and whoever
 * claims the slot after it inherits nothing.
 *
 * Who writes what: each thread its own word; others only by compare-exchange from a word
 * they have seen, as the object allows. The value may be slept on as a futex.
 */
#ifndef BROOD__SYNC_ROLL_H
#define BROOD__SYNC_ROLL_H

#include "shm/heap.h"
#include "shm/presence.h"

typedef _Atomic uint64_t brood__roll_word;

/* A roll in memory of its own, the calling process's until brood__heap_keep(). */
int brood__roll_alloc(struct brood__header *header, uint64_t *ret_place);

static inline brood__roll_word *brood__roll_at(struct brood__header *header, uint64_t place)
{
    return (brood__roll_word *)((char *)header + place);
}

static inline uint64_t brood__roll_pack(uint32_t generation, uint32_t value)
{
    return (uint64_t)generation << 32 | value;
}

static inline uint32_t brood__roll_value(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint32_t brood__roll_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* The calling thread's own word: its value, 0 if an earlier thread wrote it. */
static inline uint32_t brood__roll_mine(brood__roll_word *roll)
{
    uint64_t word = atomic_load_explicit(&roll[brood__here.slot], memory_order_relaxed);

    return brood__roll_generation(word) == brood__here.generation ? brood__roll_value(word) : 0;
}

/* Whether what stands in a slot's word is said by a living thread. */
static inline bool brood__roll_counts(struct brood__header *header, uint32_t index,
                                      uint64_t word)
{
    return brood__roll_value(word) != 0 &&
           brood__thread_alive(header, index, brood__roll_generation(word));
}

/* The futex of a word: its value, the low half on the machines we support. */
static inline _Atomic uint32_t *brood__roll_futex(brood__roll_word *word)
{
    return (_Atomic uint32_t *)(void *)word;
}

#endif
