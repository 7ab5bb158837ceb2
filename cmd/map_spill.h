/*
 * spill: one unlinked file that takes the output which does not fit in memory.
 *
 * It has no name from birth where the file system can do that, so nothing is left behind
 * however the command ends. All jobs share it, which keeps the count of descriptors at one;
 * who wrote what is kept in memory as extents. Space is given back as extents are released.
 */
#ifndef BROOD_MAP_SPILL_H
#define BROOD_MAP_SPILL_H

#include <stddef.h>
#include <stdint.h>

struct spill {
    int fd; /* -1: not needed so far */
    uint64_t tail;
    uint64_t live_bytes;
};

struct extent {
    uint64_t offset;
    uint64_t bytes;
};

/* Appends the bytes. Returns 0 or negative errno; after a failure nothing is kept. */
int spill_write(struct spill *spill, const void *bytes, size_t length, uint64_t *ret_offset);

/* Reads all of `length` bytes. Returns 0 or negative errno. */
int spill_read(const struct spill *spill, uint64_t offset, void *bytes, size_t length);

void spill_release(struct spill *spill, uint64_t offset, uint64_t length);
void spill_close(struct spill *spill);

#endif
