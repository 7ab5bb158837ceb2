/*
 * Starting a program: a child that shares the parent's memory until it executes, so that
 * the parent's size costs nothing, and that reports exec's errno by simply storing it.
 */
#ifndef BROOD__EXEC_H
#define BROOD__EXEC_H

#include "process/setup.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct brood__exec {
    char *const *paths; /* tried in turn, as execvp() does with PATH; NULL-ended */
    char *const *argv;
    char *const *environment;
    struct brood__setup setup;
    _Atomic int32_t *launching; /* where the child enters its pid, or NULL: guard_table.h */
};

/* Returns the pid, with *ret_pidfd open, once the program is being executed; or what went
 * wrong, with no child left. */
pid_t brood__exec(const struct brood__exec *exec, int *ret_pidfd);

#endif
