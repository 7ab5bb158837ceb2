/*
 * Order: finished jobs wait here for the ones before them.
 *
 * A word of the window says what is known of a job:
 *
 *     0            it has not finished
 *     1            it has finished and printed nothing
 *     odd, above   it is in the spill file, at (word >> 1) - 1: a header, then its bytes
 *     even         it is in memory, a struct finished
 */
#include "map_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_NOT_YET UINT64_C(0)
#define WORD_NOTHING UINT64_C(1)

struct spilled {
    uint64_t out_bytes;
    uint64_t err_bytes;
    uint64_t record_bytes;
};

static uint64_t *word_of(struct output *output, uint64_t seq)
{
    return &output->window[seq & (output->window_size - 1)];
}

/* Makes the window reach `seq`. Jobs keep their place modulo the size, so all move. */
static int widen(struct output *output, uint64_t seq)
{
    uint64_t size = output->window_size == 0 ? 64 : output->window_size;
    uint64_t *window;

    while (seq - output->next_seq >= size)
        size *= 2;
    if (size == output->window_size)
        return 0;
    window = calloc(size, sizeof *window);
    if (window == NULL)
        return -ENOMEM;
    for (uint64_t i = 0; i < output->window_size; i++) {
        uint64_t moved = output->next_seq + i;

        window[moved & (size - 1)] = *word_of(output, moved);
    }
    free(output->window);
    output->window = window;
    output->window_size = size;
    return 0;
}

static uint64_t cost(const struct finished *finished)
{
    return sizeof *finished + finished->record_length + stream_cost(&finished->out) +
           stream_cost(&finished->err);
}

/* Everything in one piece, so that eight bytes of memory find it again. */
static int spill_whole(struct output *output, const struct finished *finished,
                       uint64_t *ret_word)
{
    struct spilled head = { finished->out.used, finished->err.used, finished->record_length };
    size_t length =
        sizeof head + finished->out.used + finished->err.used + finished->record_length;
    char *block = malloc(length), *at = block;
    uint64_t offset;
    int r;

    if (block == NULL)
        return -ENOMEM;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    if (head.out_bytes > 0)
        memcpy(at, finished->out.memory, head.out_bytes);
    at += head.out_bytes;
    if (head.err_bytes > 0)
        memcpy(at, finished->err.memory, head.err_bytes);
    at += head.err_bytes;
    if (head.record_bytes > 0)
        memcpy(at, finished->record, head.record_bytes);
    r = spill_write(&output->spill, block, length, &offset);
    free(block);
    if (r == 0)
        *ret_word = ((offset + 1) << 1) | 1;
    return r;
}

static void drop(struct output *output, struct finished *finished)
{
    stream_clear(&finished->out, &output->spill);
    stream_clear(&finished->err, &output->spill);
    free(finished->record);
    finished->record = NULL;
}

static int keep_in_memory(struct output *output, const struct finished *finished,
                          uint64_t *ret_word)
{
    struct finished *kept = malloc(sizeof *kept);

    if (kept == NULL)
        return -ENOMEM;
    *kept = *finished;
    output->waiting_bytes += cost(kept);
    *ret_word = (uint64_t)(uintptr_t)kept;
    return 0;
}

int output_order_add(struct output *output, uint64_t seq, struct finished *finished)
{
    bool has_extents = finished->out.extent_count + finished->err.extent_count > 0;
    bool has_bytes = finished->out.used + finished->err.used + finished->record_length > 0;
    uint64_t word = WORD_NOTHING;
    int r = widen(output, seq);

    if (r < 0)
        return r;
    if (!has_extents && !has_bytes) {
        drop(output, finished);
        *word_of(output, seq) = WORD_NOTHING;
        return 0;
    }
    /* The next in order is printed in a moment; others count against the budget. */
    if (seq != output->next_seq &&
        output->waiting_bytes + cost(finished) > output->budget_bytes) {
        if (!has_extents) {
            r = spill_whole(output, finished, &word);
            if (r == 0) {
                drop(output, finished);
                *word_of(output, seq) = word;
                return 0;
            }
        } else {
            r = stream_spill(&finished->out, &output->spill);
            if (r == 0)
                r = stream_spill(&finished->err, &output->spill);
        }
        if (r < 0)
            output_spill_failed(output, r);
    }
    r = keep_in_memory(output, finished, &word);
    if (r == 0)
        *word_of(output, seq) = word;
    return r;
}

/* Turns what is in the file back into a finished job whose streams lie there. */
static int recall(struct output *output, uint64_t offset, struct finished *finished)
{
    struct spilled head;
    int r = spill_read(&output->spill, offset, &head, sizeof head);
    uint64_t at = offset + sizeof head;

    if (r < 0)
        return r;
    finished->record_length = (size_t)head.record_bytes;
    if (head.record_bytes > 0) {
        finished->record = malloc((size_t)head.record_bytes);
        r = finished->record == NULL
                ? -ENOMEM
                : spill_read(&output->spill, at + head.out_bytes + head.err_bytes,
                             finished->record, finished->record_length);
    }
    if (r == 0)
        r = stream_recall(&finished->out, at, head.out_bytes);
    if (r == 0)
        r = stream_recall(&finished->err, at + head.out_bytes, head.err_bytes);
    /* The streams release what is theirs as they are printed. */
    spill_release(&output->spill, offset, sizeof head);
    spill_release(&output->spill, at + head.out_bytes + head.err_bytes, head.record_bytes);
    return r;
}

static void print_word(struct output *output, uint64_t word)
{
    struct finished spilled = { .record = NULL };
    struct finished *kept;

    if (word == WORD_NOTHING)
        return;
    if ((word & 1) != 0) {
        int r = recall(output, (word >> 1) - 1, &spilled);

        if (r < 0 && output->error == 0)
            output->error = r;
        output_print(output, &spilled);
        return;
    }
    kept = (struct finished *)(uintptr_t)word;
    output->waiting_bytes -= cost(kept);
    output_print(output, kept);
    free(kept);
}

void output_order_flush(struct output *output)
{
    while (output->window_size > 0) {
        uint64_t *word = word_of(output, output->next_seq);
        uint64_t value = *word;

        if (value == WORD_NOT_YET)
            return;
        *word = WORD_NOT_YET;
        print_word(output, value);
        output->next_seq++;
    }
}

void output_order_clear(struct output *output)
{
    free(output->window);
    output->window = NULL;
    output->window_size = 0;
}
