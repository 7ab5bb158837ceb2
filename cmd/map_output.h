/*
 * output: what finished jobs have printed, on its way to standard output and error.
 *
 * A job's output is printed whole, after it has ended: all of its stdout, all of its stderr,
 * then its record goes to the log. Without order that is soon; with it (-k) a job waits for
 * the jobs before it, in memory up to a budget and beyond it in the spill file, at eight
 * bytes of memory a job.
 *
 * If the spill file takes no more, nothing is lost: output_is_full() keeps new jobs from
 * starting, the pipes of running jobs are left alone once their buffers are full, and one
 * job at a time, with -k the next in order, is printed directly as it runs. So there is
 * always one that moves.
 */
#ifndef BROOD_MAP_OUTPUT_H
#define BROOD_MAP_OUTPUT_H

#include "map_log.h"
#include "map_sink.h"
#include "map_spill.h"
#include "map_stream.h"

#include <stdbool.h>
#include <stdint.h>

struct finished {
    struct finished *next; /* without order: the queue */
    struct stream out, err;
    char *record; /* the line for the log, or NULL */
    size_t record_length;
};

struct output {
    struct sink out, err;
    struct spill spill;
    struct job_log *log;
    bool keep_order;
    uint64_t budget_bytes;
    uint64_t waiting_bytes; /* memory that finished jobs hold */
    uint64_t direct_seq;    /* the job that is printed as it runs; 0: none */
    bool spill_failed;      /* it was said once */
    int error;              /* negative errno of the first byte that was lost */

    /* Without order. */
    struct finished *first;
    struct finished **last;

    /* With order: a ring of words, for the jobs from next_seq on. See map_output_order.c. */
    uint64_t next_seq;
    uint64_t *window;
    uint64_t window_size; /* a power of two */
};

void output_open(struct output *output, bool keep_order, uint64_t budget_bytes,
                 struct job_log *log, sink_wait *wait, void *user);
void output_close(struct output *output);

/* Takes over what `finished` holds. Returns 0 or -ENOMEM, when the job's output is lost. */
int output_add(struct output *output, uint64_t seq, struct finished *finished);

/* Prints all that can be printed. Failures are in output->error. */
void output_flush(struct output *output);

/* Tells whether no further job should start for now. */
bool output_is_full(const struct output *output);

/* Spilling failed with `error`: says so, once. */
void output_spill_failed(struct output *output, int error);

/*
 * Asks for `seq`, a running job whose buffers are full, to be printed directly. Returns
 * true if it may, from now on until it is added.
 */
bool output_claim(struct output *output, uint64_t seq);

/* Tells whether a byte was lost; says why, once. */
bool output_failed(struct output *output);

/* For map_output_order.c: prints one job and frees what it holds. */
void output_print(struct output *output, struct finished *finished);

/* In map_output_order.c. */
int output_order_add(struct output *output, uint64_t seq, struct finished *finished);
void output_order_flush(struct output *output);
void output_order_clear(struct output *output);

#endif
