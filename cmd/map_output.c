/*
 * Printing finished jobs; the order is kept in map_output_order.c.
 */
#include "map_output.h"

#include "cmd.h"

#include <brood.h>

#include <errno.h>
#include <stdlib.h>

void output_open(struct output *output, bool keep_order, uint64_t budget_bytes,
                 struct job_log *log, sink_wait *wait, void *user)
{
    *output = (struct output){
        .keep_order = keep_order, .budget_bytes = budget_bytes, .log = log, .next_seq = 1
    };
    output->spill.fd = -1;
    output->last = &output->first;
    sink_open(&output->out, 1, wait, user);
    sink_open(&output->err, 2, wait, user);
}

void output_close(struct output *output)
{
    output_order_clear(output);
    spill_close(&output->spill);
}

/* The first failure of either sink decides; what comes later is its consequence. */
static void note_error(struct output *output, int error)
{
    if (error < 0 && output->error == 0)
        output->error = error;
}

void output_print(struct output *output, struct finished *finished)
{
    if (!stream_is_empty(&finished->out))
        note_error(output, stream_print(&finished->out, &output->spill, &output->out));
    if (!stream_is_empty(&finished->err))
        note_error(output, stream_print(&finished->err, &output->spill, &output->err));
    stream_clear(&finished->out, &output->spill);
    stream_clear(&finished->err, &output->spill);
    if (finished->record != NULL)
        log_append(output->log, finished->record, finished->record_length);
    free(finished->record);
    finished->record = NULL;
}

static bool has_nothing(const struct finished *finished)
{
    return finished->record == NULL && stream_is_empty(&finished->out) &&
           stream_is_empty(&finished->err);
}

static uint64_t cost(const struct finished *finished)
{
    return sizeof *finished + finished->record_length + stream_cost(&finished->out) +
           stream_cost(&finished->err);
}

int output_add(struct output *output, uint64_t seq, struct finished *finished)
{
    struct finished *kept;

    if (output->direct_seq == seq) {
        output->direct_seq = 0;
        if (!output->keep_order) {
            output_print(output, finished);
            return 0;
        }
    }
    if (output->keep_order)
        return output_order_add(output, seq, finished);
    if (has_nothing(finished)) {
        stream_clear(&finished->out, &output->spill);
        stream_clear(&finished->err, &output->spill);
        return 0;
    }
    kept = malloc(sizeof *kept);
    if (kept == NULL)
        return -ENOMEM;
    *kept = *finished;
    kept->next = NULL;
    *output->last = kept;
    output->last = &kept->next;
    output->waiting_bytes += cost(kept);
    return 0;
}

void output_flush(struct output *output)
{
    if (output->keep_order) {
        output_order_flush(output);
        return;
    }
    /* A job that is printed directly is in the middle of its output: nobody cuts in. */
    while (output->first != NULL && output->direct_seq == 0) {
        struct finished *first = output->first;

        output->first = first->next;
        if (output->first == NULL)
            output->last = &output->first;
        output->waiting_bytes -= cost(first);
        output_print(output, first);
        free(first);
    }
}

bool output_is_full(const struct output *output)
{
    return output->waiting_bytes > output->budget_bytes;
}

void output_spill_failed(struct output *output, int error)
{
    if (output->spill_failed)
        return;
    output->spill_failed = true;
    cmd_say("no temporary file for output: %s; jobs may have to wait", brood_strerror(error));
}

bool output_claim(struct output *output, uint64_t seq)
{
    if (output->direct_seq == seq)
        return true;
    if (output->direct_seq != 0 || (output->keep_order && output->next_seq != seq))
        return false;
    output->direct_seq = seq;
    return true;
}

bool output_failed(struct output *output)
{
    note_error(output, output->out.error);
    note_error(output, output->err.error);
    return output->error != 0;
}
