/* The ways to start a child, one file each. They return 0 with the handle's pid, pidfd and
 * slot or board entry filled, or a negative errno with no child left. */
#ifndef BROOD__START_H
#define BROOD__START_H

#include "process/guard.h"
#include "process/registry.h"

/* `bond` is NULL for a child that is no daemon. */
int brood__start_fork(brood_process *process, struct brood__launch *launch,
                      const struct brood__bond *bond);
int brood__start_command(brood_process *process, struct brood__launch *launch,
                         const struct brood__bond *bond);
int brood__start_spawn(brood_process *process, struct brood__launch *launch,
                       const struct brood__bond *bond);
int brood__start_forkserver(brood_process *process, struct brood__launch *launch);

#endif
