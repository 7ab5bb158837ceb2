/*
 * brood: multiprocessing for C.
 *
 * This header includes all of libbrood, a header a noun. Each may also be included alone.
 * Start with brood(7), <brood/process.h>, <brood/shared.h> and <brood/lock.h>.
 *
 * Caveats, in plain words:
 * - A handle of a process belongs to the process that made it. After fork() the child may
 *   free it and nothing else: every call answers -ECHILD. What lies in shared memory, locks
 *   and the like, works in forked children too. brood-fork(7) has the table.
 * - libbrood starts a thread (the reaper) with the first process, another (the watcher) with
 *   the first brood_wait_descriptor(), and two processes (the guardian and its forkserver)
 *   with the first daemon or forkserver child. It installs no signal handler, prints nothing
 *   and never calls exit() in your process.
 * - Start the guardian early, before threads: see brood_guardian_start().
 */
#ifndef BROOD_H
#define BROOD_H

#include <brood/barrier.h>
#include <brood/base.h>
#include <brood/condition.h>
#include <brood/event.h>
#include <brood/function.h>
#include <brood/guardian.h>
#include <brood/lock.h>
#include <brood/lock_table.h>
#include <brood/map.h>
#include <brood/process.h>
#include <brood/rwlock.h>
#include <brood/semaphore.h>
#include <brood/shared.h>
#include <brood/value.h>
#include <brood/wait.h>

#endif
