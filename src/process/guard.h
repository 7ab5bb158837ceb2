/*
 * The program's side of the guardian: starting it, replacing it, asking its forkserver for
 * children, marking daemons.
 */
#ifndef BROOD__GUARD_H
#define BROOD__GUARD_H

#include <brood/guardian.h>
#include <brood/process.h>

#include "process/launch.h"
#include "process/mark.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What a daemon child needs to be found again. Descriptors are the guard's own. */
struct brood__bond {
    struct brood__mark mark;
    uint64_t index;
    int cgroup; /* cgroup.procs, or -1 */
};

/* Starts the guardian if need be, and makes a bond for a new daemon child. */
int brood__guard_bond(struct brood__bond *ret_bond);

/* The id of this process's marks, "" before there are any, and what brood__kin wants to
 * know with it. */
const char *brood__guard_mark_id(void);
uint64_t brood__guard_start_time(void);

/* A place in guard_table.launching for one start; never fails, but may wait for one of 64
 * other threads to finish theirs. The guardian must have been started. */
_Atomic int32_t *brood__guard_launching_take(void);

/* Starts a child through the forkserver. Returns its pid, with the pidfd and the slot; the
 * pidfd is -1 if the child has ended already in a forkserver's death. */
pid_t brood__guard_fork(struct brood__launch *launch, int *ret_pidfd, int *ret_slot);

/* Reaps a forkserver child: brood__child_reap(). (L) */
bool brood__guard_reap(brood_process *process);

/* Sleeps until a forkserver child that has ended may have been reported, 2 ms at most. */
void brood__guard_await_report(int slot);

/* Replaces a guardian that was found dead. The reaper calls it, and retries. */
int brood__guard_replace(void);

/* Has there ever been a guardian of this process? */
bool brood__guard_was_used(void);

/* Ends guardian and forkserver, and all that is left of daemon children. */
void brood__guard_finish(void);

void brood__guard_after_fork(bool closing_all);

#endif
