/*
 * stream: the bytes a job wrote to one of its descriptors and that are not printed yet.
 * The first are in the spill file, as extents; the last ones in memory, 64 KiB at most
 * unless the spill file takes no more.
 */
#ifndef BROOD_MAP_STREAM_H
#define BROOD_MAP_STREAM_H

#include "map_sink.h"
#include "map_spill.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_MEMORY_BYTES 65536

struct stream {
    char *memory;
    size_t used;
    size_t capacity;
    struct extent *extents;
    size_t extent_count;
    size_t extent_capacity;
};

/*
 * Appends the bytes, in every case but -ENOMEM.
 *
 * Returns    0; -ENOMEM with nothing appended; or what spilling failed with, after which
 *            the bytes are kept in memory and the caller had better read no more.
 */
int stream_append(struct stream *stream, struct spill *spill, const char *bytes, size_t length);

/* Moves what is in memory to the spill file. Returns 0 or negative errno. */
int stream_spill(struct stream *stream, struct spill *spill);

/* Makes the stream, an empty one, stand for bytes in the spill file. 0 or -ENOMEM. */
int stream_recall(struct stream *stream, uint64_t offset, uint64_t length);

/* Writes all of it to the sink and empties the stream. Returns 0 or negative errno. */
int stream_print(struct stream *stream, struct spill *spill, struct sink *sink);

/* Drops what is left. */
void stream_clear(struct stream *stream, struct spill *spill);

bool stream_is_empty(const struct stream *stream);

/* What it costs in memory. */
size_t stream_cost(const struct stream *stream);

#endif
