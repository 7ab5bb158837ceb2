/*
 * Tier B: two cgroup v2 directories below this process's own, where it may make them:
 *
 *     brood-SPACE-PID-START-ID/children    daemon children that this process forked
 *     brood-SPACE-PID-START-ID/forkserver  the forkserver and all that it starts
 *
 * SPACE is the PID namespace, START the clock tick of the program's start.
 * What is born in one stays in it whatever it does, and cgroup.kill (Linux 5.14) ends it at
 * once. A process joins by writing "0" to an open cgroup.procs, 13 us where measured.
 */
#ifndef BROOD__CGROUP_H
#define BROOD__CGROUP_H

#include <stdint.h>

struct brood__cgroup {
    char *path;   /* NULL: there is none */
    int children; /* cgroup.procs of each, open for writing; -1: none */
    int forkserver;
};

/* Makes the directories, for a program that started at that clock tick, and removes those
 * of dead programs; -ENOTSUP where that cannot be. */
int brood__cgroup_create(struct brood__cgroup *ret_cgroup, uint64_t start_time, const char *id);

/* Moves the calling process in. Async-signal-safe. */
int brood__cgroup_join(int procs);

#define BROOD__CGROUP_ALL ""
#define BROOD__CGROUP_FORKSERVER "/forkserver"

/* Kills everything in one of these parts; returns once it is empty or the deadline is over. */
int brood__cgroup_kill(const struct brood__cgroup *cgroup, const char *part, int64_t deadline);

/* Removes the empty directories. */
void brood__cgroup_remove(const struct brood__cgroup *cgroup);

void brood__cgroup_close(struct brood__cgroup *cgroup);

#endif
