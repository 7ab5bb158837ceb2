/*
 * run: one thread, one epoll, all the jobs.
 */
#ifndef BROOD_MAP_RUN_H
#define BROOD_MAP_RUN_H

#include "map_input.h"
#include "map_job.h"
#include "map_log.h"
#include "map_options.h"
#include "map_output.h"
#include "map_progress.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* What an event of epoll is about: in the low bits of its data, beside slot and generation. */
enum event_kind { EVENT_INPUT, EVENT_SIGNAL, EVENT_TIMER, EVENT_PID, EVENT_OUT, EVENT_ERR };

#define RUN_BLOCK_BYTES 65536

struct run {
    const struct map_options *options;
    struct template tmpl;
    struct input input;
    struct output output;
    struct job_log log;
    struct progress progress;

    int epoll_fd, signal_fd, timer_fd;
    int null_fd;       /* what jobs read: /dev/null, opened once for all of them */
    int64_t timer_set; /* what the timer is set to; NO_DEADLINE: not set */
    bool input_registered;

    struct job **jobs; /* by slot, from 1 */
    unsigned slot_count;
    unsigned limit; /* jobs at a time */
    unsigned running;
    unsigned paused;
    unsigned without_pidfd;
    struct job *ready;  /* the one that could not be started so far */
    bool start_blocked; /* until a job ends */
    int64_t retry_at;   /* no start before; 0: at once */
    int64_t retry_since;

    uint64_t next_seq;
    uint64_t done, failed, ended_early, total;
    bool input_done;
    bool no_start; /* nothing is started any more */
    bool halted;
    bool abandoned; /* output is given up: a second signal came */
    bool walk_away; /* a third one: jobs are not waited for */
    bool lost_input, lost_jobs, log_failed, said_limit, output_reported;
    int not_found;    /* 126 or 127 if the command cannot be run at all */
    int death_signal; /* we end by it; 0: by exiting */
    int signal_count;
    sigset_t signals; /* those that signal_fd reads */
    bool pipe_was_ignored;

    uint64_t first_failure_seq;
    char first_failure[400];
    char *block; /* RUN_BLOCK_BYTES to read into */
};

/* Runs all jobs. Returns the exit status; a death_signal is left for the caller to raise. */
int run_all(struct run *run, const struct map_options *options);

/* Asks for the timer to go off by then. */
void run_set_timer(struct run *run, int64_t when);

/* In map_stop.c: one job, or all, are asked to end, and killed when --grace is over. */
void stop_job(struct run *run, struct job *job, int signal, int scope);
void stop_all(struct run *run, int signal, int scope);
void kill_all(struct run *run);
void stop_deadlines(struct run *run, int64_t now);

/* In map_signals.c. */
int signals_open(struct run *run);
void signals_read(struct run *run);
void signals_die(const struct run *run);

/* In map_report.c: failures are counted and said at the end. */
void report_failure(struct run *run, const struct job *job, const char *how);
void report_limit(struct run *run, int error);
int report_end(struct run *run);

#endif
