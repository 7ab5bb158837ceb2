/*
 * What the subcommands of brood share: exit statuses, messages, clocks and numbers.
 */
#ifndef BROOD_CMD_H
#define BROOD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The exit statuses that brood(1) promises; a status that a job returned never leaks here. */
#define STATUS_OK 0
#define STATUS_JOBS_FAILED 1
#define STATUS_USAGE 2
#define STATUS_HALTED 3
#define STATUS_OUTPUT 4
#define STATUS_RESOURCE 5
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127

#define NS_PER_SECOND INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NO_DEADLINE INT64_MAX

/* brood map; argv[0] is "map". Returns the exit status, or does not return (a signal). */
int cmd_map(int argc, char **argv);

/*
 * Says one line on standard error, "brood map: " before it, in a single write so that lines
 * of several processes do not mix. Control characters in what it says are made visible.
 */
void cmd_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Has `function` called before each such line: a progress bar steps aside. NULL: nobody. */
void cmd_before_say(void (*function)(void *user), void *user);

/* CLOCK_MONOTONIC, in nanoseconds. */
int64_t cmd_now(void);

/* A whole number from `low` to `high`, nothing before or after it. -EINVAL, -ERANGE. */
int cmd_parse_count(const char *text, uint64_t low, uint64_t high, uint64_t *ret_count);

/* A duration: seconds, or a number with ms, s, m, h or d; over 0 unless `zero`. -EINVAL. */
int cmd_parse_duration(const char *text, bool zero, int64_t *ret_ns);

/* A size in bytes, with K, M or G for powers of 1024. -EINVAL. */
int cmd_parse_size(const char *text, uint64_t *ret_bytes);

#endif
