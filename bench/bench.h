/*
 * bench: what the benchmark entries share.
 *
 * An entry asks one question and answers it with series of figures, one series a peer. All
 * peers of an entry are measured in the same run and in turn (A B A B ...), because the
 * machine changes more between two runs than the peers differ; the ratio of the medians is
 * what to look at. README.md says more.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench;

/* An entry: bench_list in bench.c has them all. Each runs in a process of its own, which has
 * called nothing of brood but brood_main() when `run` begins. */
struct bench_entry {
    const char *name;
    int (*run)(struct bench *bench); /* 0, or a negative errno: then there is no figure */
    int parent_mib;                  /* memory the measured parent has touched */
    int cpu;                         /* all of it runs on this processor; -1: anywhere */
    int only_if_named;               /* 1: takes minutes */
};

const struct bench_entry *bench_entry_of(const struct bench *bench);

/* Where the build put `name`, such as "brood" or "bench/spawn_loop"; lives as long as the
 * program. */
const char *bench_built(const struct bench *bench, const char *name);

/* ---- figures ---- */

/* Adds one figure to the series of `peer`, which the first figure makes. */
void bench_add(struct bench *bench, const char *peer, const char *unit, double figure);

/* What a series is held against: another one, and a bar that is printed as met or missed. */
enum bench_bar { BAR_NONE, BAR_MAX, BAR_RATIO_MAX, BAR_RATIO_MIN };

/* Prints the series of `peer` once more for each call: with its ratio to that of `against`,
 * unless that is NULL, and with the bar, unless it is BAR_NONE. */
void bench_compare(struct bench *bench, const char *peer, const char *against,
                   enum bench_bar kind, double bar);

/* ---- partners: processes in which peers run, one after the other, at our request ---- */

struct bench_peer {
    const char *name;
    int (*run)(void); /* what is timed; 0 or a negative errno */
};

struct bench_partner {
    pid_t pid;
    int to;
    int from;
};

/* Forks a partner that calls `prepare`, if there is one, and then serves `peers`, which end
 * with an entry without a name. */
int bench_partner_fork(struct bench *bench, const struct bench_peer *peers,
                       int (*prepare)(void), struct bench_partner *ret_partner);

/* Starts a partner that is another program: see serve() in bench_partner.c for what it
 * reads and writes. */
int bench_partner_exec(const char *const argv[], struct bench_partner *ret_partner);

/* Has the partner measure a peer so many times: figures in nanoseconds. */
int bench_partner_ask(struct bench_partner *partner, const char *peer, int batch,
                      double *ret_ns);

void bench_partner_end(struct bench_partner *partner);

/* One series: `batch` measurements by the partner in each round, or in each `every`th one. */
struct bench_turn {
    const char *peer;
    const char *against; /* NULL: none */
    enum bench_bar kind;
    double bar;
    struct bench_partner *partner;
    int batch;
    int every;
};

/* Warms up with one batch each, then goes round: figures in microseconds. */
int bench_alternate(struct bench *bench, const struct bench_turn *turns, size_t turn_count,
                    int round_count);

/* ---- tools ---- */

int64_t bench_now(void); /* ns, CLOCK_MONOTONIC */

/* Maps and touches so much memory, in ordinary pages. */
int bench_touch(int mib);

/* How many children of this process are zombies, by /proc. */
int bench_zombies(void);

/* How many descriptors this process has open. */
int bench_descriptors(void);

/* A figure of a process's smaps_rollup or status in KiB, such as "Pss:"; -1 if unknown. */
long bench_memory_kib(pid_t pid, const char *file, const char *key);

/* Reads `count` bytes from a pipe, one from each of as many processes. */
int bench_hear(int fd, int count);

/* The entries' own functions, by file. */
int process_start(struct bench *bench);
int command_start(struct bench *bench);
int unclaimed(struct bench *bench);
int orphans(struct bench *bench);
int guardian_start(struct bench *bench);
int map_jobs(struct bench *bench);
int map_memory(struct bench *bench);
int map_million(struct bench *bench);
int sync_alone(struct bench *bench);
int sync_2(struct bench *bench);
int sync_4(struct bench *bench);
int sync_barrier(struct bench *bench);
int sync_recovery(struct bench *bench);
int heap_pairs(struct bench *bench);

#endif
