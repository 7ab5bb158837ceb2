/*
 * job: one run of the command, and the slot it occupies.
 *
 * A slot is used again and again; what it keeps from job to job (argument memory, the
 * environment array) makes the next one cheap. A job writes into two pipes; it has ended
 * when its own process has, whoever else may still hold the pipes.
 */
#ifndef BROOD_MAP_JOB_H
#define BROOD_MAP_JOB_H

#include "map_stream.h"
#include "map_template.h"

#include <brood.h>

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum job_state {
    JOB_FREE,
    JOB_READY, /* it has its arguments, but could not be started so far */
    JOB_RUNNING
};

enum job_deadline {
    DEADLINE_NONE,
    DEADLINE_TIMEOUT, /* --timeout is over: ask it to end */
    DEADLINE_KILL     /* --grace is over: kill it */
};

struct job_pipe {
    int fd;          /* the end we read; -1: closed */
    int held;        /* the job's end, see job_start() */
    bool registered; /* with epoll */
    uint64_t bytes;
    struct stream stream;
};

struct job {
    unsigned slot;       /* from 1 */
    uint32_t generation; /* tells events of an earlier job in this slot */
    enum job_state state;
    uint64_t seq; /* from 1 */
    struct args args;
    brood_process *process;
    int pid_fd; /* -1: no descriptor was left, it is looked after by the clock */
    struct job_pipe out, err;
    bool paused;   /* its buffers are full and its pipes are left alone */
    bool direct;   /* it is printed as it runs */
    bool stopping; /* it was asked to end, with all that descends from it */
    bool timed_out;
    bool interrupted; /* by a signal to us or by --halt */
    int64_t started;
    struct timespec started_real; /* with a job log */
    int64_t deadline;
    enum job_deadline deadline_kind;
    const char **environment; /* ours with BROOD_SEQ and BROOD_SLOT */
    char seq_text[40];
    char slot_text[40];
};

struct run;

/* A slot of the number. Returns NULL without memory. */
struct job *job_create(unsigned slot);
void job_free(struct job *job);

/* Starts the job as prepared. 0, or negative errno with the slot as it was before. */
int job_start(struct run *run, struct job *job);

/* Reads what is there from one of the pipes, or closes it at its end. */
void job_read(struct run *run, struct job *job, struct job_pipe *pipe, uint32_t events);

/* The job's process has ended (spurious calls do no harm): everything about it is settled. */
void job_end(struct run *run, struct job *job);

/* The job could not be started, for good. */
void job_never_ran(struct run *run, struct job *job, int error, const char *why);

/* The job's buffers are full, but it may be printed directly now: does so. */
void job_go_direct(struct run *run, struct job *job);

#endif
