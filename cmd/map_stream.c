/*
 * Buffers grow from nothing: most jobs print little, many nothing at all.
 */
#include "map_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct stream *stream, size_t needed)
{
    size_t capacity = stream->capacity == 0 ? 64 : stream->capacity;
    char *grown;

    if (needed <= stream->capacity)
        return 0;
    while (capacity < needed)
        capacity *= 4;
    grown = realloc(stream->memory, capacity);
    if (grown == NULL)
        return -ENOMEM;
    stream->memory = grown;
    stream->capacity = capacity;
    return 0;
}

/* Room for one more extent, taken before the write that it will describe. */
static int reserve_extent(struct stream *stream)
{
    size_t capacity = stream->extent_capacity == 0 ? 4 : stream->extent_capacity * 2;
    struct extent *grown;

    if (stream->extent_count < stream->extent_capacity)
        return 0;
    grown = realloc(stream->extents, capacity * sizeof *grown);
    if (grown == NULL)
        return -ENOMEM;
    stream->extents = grown;
    stream->extent_capacity = capacity;
    return 0;
}

int stream_spill(struct stream *stream, struct spill *spill)
{
    struct extent *last;
    uint64_t offset;
    int r;

    if (stream->used == 0)
        return 0;
    r = reserve_extent(stream);
    if (r == 0)
        r = spill_write(spill, stream->memory, stream->used, &offset);
    if (r < 0)
        return r;
    last = stream->extent_count > 0 ? &stream->extents[stream->extent_count - 1] : NULL;
    if (last != NULL && last->offset + last->bytes == offset) {
        last->bytes += stream->used;
    } else {
        stream->extents[stream->extent_count].offset = offset;
        stream->extents[stream->extent_count++].bytes = stream->used;
    }
    stream->used = 0;
    return 0;
}

int stream_recall(struct stream *stream, uint64_t offset, uint64_t length)
{
    if (length == 0)
        return 0;
    if (reserve_extent(stream) < 0)
        return -ENOMEM;
    stream->extents[stream->extent_count].offset = offset;
    stream->extents[stream->extent_count++].bytes = length;
    return 0;
}

int stream_append(struct stream *stream, struct spill *spill, const char *bytes, size_t length)
{
    int spilled = 0;

    if (stream->used + length > STREAM_MEMORY_BYTES)
        spilled = stream_spill(stream, spill);
    if (grow(stream, stream->used + length) < 0)
        return -ENOMEM;
    memcpy(stream->memory + stream->used, bytes, length);
    stream->used += length;
    return spilled;
}

static int print_extent(const struct extent *extent, struct spill *spill, struct sink *sink,
                        char *block)
{
    uint64_t done = 0;
    int r = 0;

    while (r == 0 && done < extent->bytes) {
        size_t step = STREAM_MEMORY_BYTES;

        if (step > extent->bytes - done)
            step = (size_t)(extent->bytes - done);
        r = spill_read(spill, extent->offset + done, block, step);
        if (r == 0)
            r = sink_write(sink, block, step);
        done += step;
    }
    return r;
}

int stream_print(struct stream *stream, struct spill *spill, struct sink *sink)
{
    int r = 0;

    if (stream->extent_count > 0) {
        char *block = malloc(STREAM_MEMORY_BYTES);

        if (block == NULL)
            r = -ENOMEM;
        for (size_t i = 0; r == 0 && i < stream->extent_count; i++)
            r = print_extent(&stream->extents[i], spill, sink, block);
        free(block);
    }
    if (r == 0 && stream->used > 0)
        r = sink_write(sink, stream->memory, stream->used);
    stream_clear(stream, spill);
    return r;
}

void stream_clear(struct stream *stream, struct spill *spill)
{
    for (size_t i = 0; i < stream->extent_count; i++)
        spill_release(spill, stream->extents[i].offset, stream->extents[i].bytes);
    free(stream->extents);
    free(stream->memory);
    *stream = (struct stream){ .memory = NULL };
}

bool stream_is_empty(const struct stream *stream)
{
    return stream->used == 0 && stream->extent_count == 0;
}

size_t stream_cost(const struct stream *stream)
{
    return stream->capacity + stream->extent_capacity * sizeof *stream->extents;
}
