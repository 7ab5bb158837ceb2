/* Looking at a block of the heap from outside of it, without its lock. */
#ifndef BROOD__TYPED_BLOCK_H
#define BROOD__TYPED_BLOCK_H

#include "shm/heap.h"

/*
 * Whether an allocation starts at this pointer that was kept, by whomever: that is neither
 * free nor its owner's until that dies. In front of the payload lie two words, of which the
 * first has the state in its low bits; heap.c says so, and unit/map_test checks it.
 *
 * True stays true until somebody frees it.
 */
static inline bool brood__block_kept(struct brood__header *header, const void *pointer)
{
    const _Atomic uint64_t *word = (const _Atomic uint64_t *)pointer - 2;

    return brood__heap_bytes(header, pointer) != 0 &&
           (atomic_load_explicit(word, memory_order_acquire) & 15) == 3;
}

#endif
