/* Waiting inside the library. */
#ifndef BROOD__WAIT_H
#define BROOD__WAIT_H

#include <brood/process.h>

#include "process/kin.h"

#include <stdbool.h>

/* Waits until the process is dead, and with `reap` ENDED, or the deadline (-ETIMEDOUT). */
int brood__process_await(brood_process *process, int64_t deadline, bool reap);

bool brood__process_is_started(const brood_process *process);

/* The living child as a root, or {0}; and what carries its mark, whether or not it lives. */
struct brood__kin_ref brood__process_root(brood_process *process);
struct brood__kin brood__process_kin(const brood_process *process);

#endif
