/* Who this process is, who started it, and its life as a child. */
#ifndef BROOD__CURRENT_H
#define BROOD__CURRENT_H

#include "process/launch.h"

#include <stdbool.h>
#include <stddef.h>

/* In a child: takes its identity over from the launch. `parent_pidfd` is one to keep, or -1
 * where the parent can be found by its pid. */
void brood__current_enter(const struct brood__launch *launch, int parent_pidfd);

/* Fills in what a launch passes on to the child about this process, and settles what is
 * inherited: name, lineage, daemon, start method. */
void brood__current_describe(struct brood__launch *launch);

/* Writes out what stdout and stderr hold, unless another thread is using them. */
void brood__flush_stdio(void);

/*
 * In a child: runs its function and ends the process. `board_entry` is where the code is
 * left, or -1. A `fresh` program ends by exit(), a copy of another by _exit(), for the
 * exit handlers in it are the other's.
 */
_Noreturn void brood__child_run(struct brood__launch *launch, int board_entry, bool fresh);

#endif
