/*
 * log: the job log, a JSON object a line, one line a job.
 *
 * Several runners may append to one file. A record goes out in one write() under a lock, and
 * what a failed write left behind is cut off again, so no line is ever torn; the remains of
 * a runner or machine that died are closed off by a newline first.
 */
#ifndef BROOD_MAP_LOG_H
#define BROOD_MAP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct job_log {
    int fd; /* -1: none was asked for */
    bool regular;
    const char *path;
    const char *directory; /* the working directory, part of each key */
    int error;             /* negative errno of the first record that was lost */
    uint64_t lost_count;
};

struct job_record {
    uint64_t seq;
    char *const *argv;
    size_t argc;
    unsigned slot;
    bool ran;
    struct timespec start; /* CLOCK_REALTIME */
    int64_t wall_ns;
    int code;   /* the exit code; 124 after a timeout, 128+N for signal N */
    int signal; /* 0: none */
    bool core, timeout, interrupted;
    int64_t user_ns, system_ns, max_rss_bytes;
    uint64_t out_bytes, err_bytes;
    const char *error; /* why it did not run, or NULL */
};

/* Returns 0 or negative errno. */
int log_open(struct job_log *log, const char *path);
void log_close(struct job_log *log);

/* The record as a line to be freed, or NULL (no memory). */
char *log_format(const struct job_log *log, const struct job_record *record,
                 size_t *ret_length);

/* Appends the line. A failure is said once, and counted. */
void log_append(struct job_log *log, const char *line, size_t length);

/* Counts a record that could not be made. */
void log_lose(struct job_log *log, int error);

#endif
