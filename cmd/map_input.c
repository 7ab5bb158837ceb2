/*
 * Items are found in the read buffer and given out where they stand; nothing is copied.
 */
#include "map_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BUFFER_BYTES 65536
#define INPUT_COUNT_BYTES_MAX ((off_t)256 << 20)
#define INPUT_SHOWN_BYTES 64 /* what is kept of an item that is too long */

int input_open(struct input *input, const char *path, char **words, size_t word_count,
               size_t batch_count)
{
    struct stat status;

    input->fd = -1;
    input->batch_count = batch_count;
    /* Linux takes no argument over 32 pages, the NUL included (MAX_ARG_STRLEN). */
    input->argument_bytes_max = (size_t)sysconf(_SC_PAGESIZE) * 32;
    input->words = words;
    input->word_count = word_count;
    input->items = calloc(batch_count, sizeof *input->items);
    input->marks = calloc(batch_count, sizeof *input->marks);
    if (input->items == NULL || input->marks == NULL)
        return -ENOMEM;
    if (words != NULL)
        return 0;

    if (path == NULL || strcmp(path, "-") == 0)
        input->fd = STDIN_FILENO;
    else
        input->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (input->fd < 0)
        return -errno;
    if (fstat(input->fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    input->ready_always = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
    input->capacity = INPUT_BUFFER_BYTES;
    input->buffer = malloc(input->capacity);
    return input->buffer == NULL ? -ENOMEM : 0;
}

void input_close(struct input *input)
{
    if (input->fd > STDIN_FILENO)
        (void)close(input->fd);
    input->fd = -1;
    free(input->buffer);
    free(input->marks);
    free(input->items);
    input->buffer = NULL;
    input->marks = NULL;
    input->items = NULL;
}

/* Makes room for another read, and for the NUL after a last item without separator. */
static int make_room(struct input *input)
{
    size_t held = input->end - input->begin;
    char *grown;

    if (input->begin > 0) {
        memmove(input->buffer, input->buffer + input->begin, held);
        input->scan -= input->begin;
        input->item_start -= input->begin;
        input->begin = 0;
        input->end = held;
    }
    /* Grown for a long item, and it is gone: give the memory back. */
    if (input->capacity > INPUT_BUFFER_BYTES && held < INPUT_BUFFER_BYTES / 2) {
        grown = realloc(input->buffer, INPUT_BUFFER_BYTES);
        if (grown != NULL) {
            input->buffer = grown;
            input->capacity = INPUT_BUFFER_BYTES;
        }
    }
    if (input->capacity - input->end > INPUT_BUFFER_BYTES / 4)
        return 0;
    grown = realloc(input->buffer, input->capacity * 2);
    if (grown == NULL)
        return -ENOMEM;
    input->buffer = grown;
    input->capacity *= 2;
    return 0;
}

int input_fill(struct input *input)
{
    ssize_t got;
    int r = make_room(input);

    if (r < 0)
        return r;
    got = read(input->fd, input->buffer + input->end, input->capacity - input->end - 1);
    if (got < 0) {
        if (errno == EINTR || errno == EAGAIN)
            return 0;
        input->error = -errno;
        input->at_end = true;
        return 0;
    }
    if (got == 0)
        input->at_end = true;
    input->end += (size_t)got;
    return 0;
}

/* Why no job can have these bytes as an argument, or 0. */
static int item_error(const struct input *input, const char *item, size_t length)
{
    if (length >= input->argument_bytes_max)
        return -E2BIG;
    if (input->separator != '\0' && memchr(item, '\0', length) != NULL)
        return -EINVAL;
    return 0;
}

/* Adds the bytes from item_start to `stop` as an item. What follows it is at `next`. */
static void add_item(struct input *input, size_t stop, size_t next)
{
    char *item = input->buffer + input->item_start;
    size_t length = stop - input->item_start;
    int error = input->skipping ? -E2BIG : 0;

    if (length > INPUT_ITEM_BYTES_MAX) {
        error = -E2BIG;
        length = INPUT_SHOWN_BYTES;
    }
    input->skipping = false;
    if (input->strip_cr && length > 0 && item[length - 1] == '\r')
        length--;
    if (length > 0 || input->keep_empty) {
        item[length] = '\0';
        input->last_error = error < 0 ? error : item_error(input, item, length);
        input->marks[input->mark_count].offset = input->item_start - input->begin;
        input->marks[input->mark_count].length = length;
        input->mark_count++;
    }
    input->item_start = next;
    input->scan = next;
}

/* The item is over the limit and goes on: its first bytes stay, the rest is not kept. */
static void begin_skipping(struct input *input)
{
    input->skipping = true;
    input->scan = input->item_start + INPUT_SHOWN_BYTES;
    input->end = input->scan;
}

/* An item that cannot be passed ends its batch: the others in it are not to suffer. */
static bool batch_is_open(const struct input *input)
{
    return input->mark_count < input->batch_count && input->last_error == 0;
}

/* Looks through the bytes not yet seen, until the batch is full. */
static void scan_items(struct input *input)
{
    while (input->scan < input->end && batch_is_open(input)) {
        const char *found =
            memchr(input->buffer + input->scan, input->separator, input->end - input->scan);
        size_t stop = found == NULL ? input->end : (size_t)(found - input->buffer);

        if (found == NULL && input->skipping) {
            input->end = input->scan;
        } else if (found == NULL) {
            input->scan = input->end;
            if (input->end - input->item_start > INPUT_ITEM_BYTES_MAX && !input->skipping)
                begin_skipping(input);
        } else {
            add_item(input, input->skipping ? input->scan : stop, stop + 1);
        }
    }
    /* The last item may do without a separator. The NUL after it has its room. */
    if (input->at_end && input->error == 0 && input->scan == input->end &&
        input->item_start < input->end && batch_is_open(input))
        add_item(input, input->end, input->end);
}

static enum input_answer take_words(struct input *input, struct item **ret_items,
                                    size_t *ret_count)
{
    size_t count = 0;

    while (count < input->batch_count && input->word_next < input->word_count) {
        const char *word = input->words[input->word_next++];

        input->items[count].bytes = word;
        input->items[count++].length = strlen(word);
    }
    *ret_items = input->items;
    *ret_count = count;
    return count > 0 ? INPUT_ITEMS : INPUT_FINISHED;
}

/* Gives the batch out: all of it, or all but a last item that nobody can have. */
static void give_batch(struct input *input, struct item **ret_items, size_t *ret_count,
                       int *ret_error)
{
    size_t last = input->mark_count - 1;
    bool split = input->last_error != 0 && last > 0;
    size_t count = split ? last : input->mark_count;

    for (size_t i = 0; i < count; i++) {
        input->items[i].bytes = input->buffer + input->begin + input->marks[i].offset;
        input->items[i].length = input->marks[i].length;
    }
    *ret_items = input->items;
    *ret_count = count;
    if (split) {
        input->begin += input->marks[last].offset;
        input->marks[0].offset = 0;
        input->marks[0].length = input->marks[last].length;
        input->mark_count = 1;
        return;
    }
    *ret_error = input->last_error;
    input->last_error = 0;
    input->mark_count = 0;
    input->begin = input->item_start;
}

enum input_answer input_take(struct input *input, struct item **ret_items, size_t *ret_count,
                             int *ret_error)
{
    *ret_error = 0;
    if (input->words != NULL)
        return take_words(input, ret_items, ret_count);
    scan_items(input);
    if (batch_is_open(input) && !input->at_end)
        return INPUT_WAIT;
    if (input->mark_count == 0)
        return INPUT_FINISHED;
    give_batch(input, ret_items, ret_count, ret_error);
    return INPUT_ITEMS;
}

/* Counts as scan_items() would: `run` bytes so far of the item that is open. */
static uint64_t count_items(const struct input *input, const char *bytes, size_t length,
                            uint64_t *run)
{
    const char *at = bytes, *end = bytes + length, *found;
    uint64_t count = 0;

    while ((found = memchr(at, input->separator, (size_t)(end - at))) != NULL) {
        *run += (uint64_t)(found - at);
        if (*run > 0 || input->keep_empty)
            count++;
        *run = 0;
        at = found + 1;
    }
    *run += (uint64_t)(end - at);
    return count;
}

uint64_t input_count(const struct input *input)
{
    char *block;
    struct stat status;
    uint64_t count = 0, run = 0;
    off_t at;
    ssize_t got;

    if (input->words != NULL)
        return input->word_count;
    at = lseek(input->fd, 0, SEEK_CUR);
    if (!input->ready_always || at < 0 || fstat(input->fd, &status) < 0 ||
        status.st_size - at > INPUT_COUNT_BYTES_MAX)
        return 0;
    block = malloc(INPUT_BUFFER_BYTES);
    if (block == NULL)
        return 0;
    while ((got = pread(input->fd, block, INPUT_BUFFER_BYTES, at)) > 0) {
        count += count_items(input, block, (size_t)got, &run);
        at += got;
    }
    free(block);
    return got < 0 ? 0 : count + (run > 0 ? 1 : 0);
}
