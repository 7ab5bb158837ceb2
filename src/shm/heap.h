/*
 * The allocator of a segment: first fit in bins by size. Public face: shared.c.
 *
 * The heap is a row of blocks, each with a header of 16 bytes, from heap_start to `bytes`.
 *
 *     FREE --alloc--> HELD --keep--> USED
 *       |               ^----hold------|
 *       ^---free--------'--------------'
 *       ^---the owner is dead
 *
 * Invariant: the row of headers is whole at every moment: a block's size and state share one
 * word, and each operation changes the row by one store to one such word. The bins are an
 * index of the FREE blocks that can be made anew from the row, and is, by the next one to
 * take the lock, when a process died with it.
 *
 * Who writes what: all of it, under heap.lock, but for the steps between HELD
 * and USED, which who has the memory makes.
 */
#ifndef BROOD__SHM_HEAP_H
#define BROOD__SHM_HEAP_H

#include "shm/layout.h"

#include <stdbool.h>
#include <stddef.h>

int brood__heap_init(struct brood__header *header);

/*
 * Allocates at least `bytes`, aligned to 16, or to 64 if `line`. The memory is the calling
 * process's, and goes when that ends, until brood__heap_keep(). The caller has entered the
 * segment. Returns 0, -EINVAL (0 or absurdly many bytes) or -ENOSPC.
 */
int brood__heap_alloc(struct brood__header *header, size_t bytes, bool line,
                      void **ret_pointer);

/* HELD: the calling process's again, on the way to being freed. -EINVAL for what is not an
 * allocation, here and below. */
int brood__heap_hold(struct brood__header *header, void *pointer);
int brood__heap_keep(struct brood__header *header, void *pointer);
int brood__heap_free(struct brood__header *header, void *pointer);

/* The bytes that can be used at `pointer`; 0 for what is not an allocation. */
size_t brood__heap_bytes(struct brood__header *header, const void *pointer);

int brood__heap_grow(struct brood__header *header, uint64_t bytes);

/* Takes back what dead processes had; returns how many blocks. */
int brood__heap_reclaim(struct brood__header *header);

/*
 * Walks all blocks and compares them with the bins. Returns the number of blocks, or
 * -EBADMSG if anything does not fit: for tests.
 */
int brood__heap_check(struct brood__header *header);

#endif
