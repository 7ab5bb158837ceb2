/*
 * halt: when to stop early. The grammar is GNU parallel's: never, or WHEN,WHY=N or N%, with
 * WHEN now or soon, and WHY fail, success or done.
 */
#ifndef BROOD_MAP_HALT_H
#define BROOD_MAP_HALT_H

#include <stdbool.h>
#include <stdint.h>

enum halt_why { HALT_NEVER, HALT_FAIL, HALT_SUCCESS, HALT_DONE };

struct halt {
    enum halt_why why;
    bool now;        /* the running jobs are ended too */
    bool is_percent; /* of the jobs there are */
    uint32_t limit;
};

/* Reads the option's value. Returns 0 or -EINVAL. */
int halt_parse(const char *text, struct halt *ret_halt);

/*
 * Tells whether the policy is met. `total` is the number of all jobs, 0 while unknown: a
 * percentage then counts from the finished ones, once three of them match.
 */
bool halt_is_met(const struct halt *halt, uint64_t done, uint64_t failed, uint64_t total);

#endif
