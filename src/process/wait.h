/* Waiting inside the library. */
#ifndef BROOD__WAIT_H
#define BROOD__WAIT_H

#include <brood/process.h>

#include <stdbool.h>

/* Waits until the process is dead, and with `reap` ENDED, or the deadline (-ETIMEDOUT). */
int brood__process_await(brood_process *process, int64_t deadline, bool reap);

#endif
