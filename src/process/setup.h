/*
 * What a child does to itself before it runs what it was made for. Everything here is
 * async-signal-safe: it also runs in a child that shares its parent's memory until exec,
 * and in forks of programs with threads.
 */
#ifndef BROOD__SETUP_H
#define BROOD__SETUP_H

#include "process/launch.h"

#include <stdbool.h>

struct brood__setup {
    const struct brood__launch *launch;
    int stdio[3];           /* where 0-2 come from: descriptors or BROOD_STDIO_* */
    const int *descriptors; /* where the named ones come from, in the launch's order */
    int cgroup;             /* cgroup.procs to join, -1: none */
    int keep;               /* one more descriptor to leave open, -1: none */
    bool for_exec;          /* what is passed must survive exec */
};

/* A setup whose descriptors come from where the launch says. */
struct brood__setup brood__setup_own(const struct brood__launch *launch);

/* 0, or the negative errno of the first thing that failed. */
int brood__setup_apply(const struct brood__setup *setup);

/* True if brood__setup_apply() might fail: there is something that must be reported. */
bool brood__setup_can_fail(const struct brood__launch *launch);

/* All signals to their default action, ignored ones included, but those libc keeps to itself.
 */
void brood__setup_default_signals(void);

/* Before exec: those too, which somebody may have handed down to us as ignored. */
void brood__setup_exec_signals(void);

#endif
