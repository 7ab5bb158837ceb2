/*
 * input: the items, from the command line, a file or standard input.
 *
 * Reading never runs ahead of need by more than a buffer, and never waits: input_take()
 * says INPUT_WAIT where a read could block, and the event loop calls input_fill() when the
 * descriptor is readable. A job can so start the moment its line is there.
 */
#ifndef BROOD_MAP_INPUT_H
#define BROOD_MAP_INPUT_H

#include "map_template.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is kept of an item in memory; a longer one is passed over and reported by its job. */
#define INPUT_ITEM_BYTES_MAX ((size_t)16 << 20)

enum input_answer {
    INPUT_ITEMS,   /* a batch is there */
    INPUT_WAIT,    /* not yet: wait until the descriptor is readable */
    INPUT_FINISHED /* there is nothing more */
};

/* An item found in the buffer, relative to its begin, for the buffer moves and grows. */
struct input_mark {
    size_t offset;
    size_t length;
};

struct input {
    int fd;            /* -1: items of the command line */
    bool ready_always; /* a regular file: reading never blocks */
    bool at_end;
    int error; /* negative errno of a failed read; the input ends there */
    char separator;
    bool keep_empty;
    bool strip_cr;
    char **words; /* items of the command line */
    size_t word_count;
    size_t word_next;
    char *buffer;
    size_t capacity;
    size_t begin;      /* first byte of the batch being put together */
    size_t item_start; /* first byte of the item being read */
    size_t scan;       /* first byte not looked at yet */
    size_t end;
    bool skipping;  /* inside an item that is too long, of which the rest is dropped */
    int last_error; /* why no job can have the last item found */
    size_t argument_bytes_max;
    struct input_mark *marks;
    size_t mark_count;
    struct item *items; /* the batch as it was given out */
    size_t batch_count; /* items a job gets */
};

/* `path` NULL reads standard input, unless there are `words`. Returns 0 or negative errno. */
int input_open(struct input *input, const char *path, char **words, size_t word_count,
               size_t batch_count);
void input_close(struct input *input);

/* One read(). Called when the descriptor is readable, or ready_always. 0, -ENOMEM, -EINTR. */
int input_fill(struct input *input);

/*
 * The next job's items, which stay good until the next call. A batch is full, or the last,
 * or stands before an item that no job can have. Such an item comes alone, and *ret_error
 * says why: -E2BIG, or -EINVAL for a NUL byte. It is 0 otherwise.
 */
enum input_answer input_take(struct input *input, struct item **ret_items, size_t *ret_count,
                             int *ret_error);

/*
 * How many items there are in all, if that can be told without waiting: those of the
 * command line, or in a regular file of moderate size. 0 if not.
 */
uint64_t input_count(const struct input *input);

#endif
