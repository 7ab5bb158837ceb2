/*
 * The reaper: one thread that collects children nobody is waiting for, so that none stays a
 * zombie, and that notices the guardian's death. It sleeps in epoll on the children's
 * pidfds. Those that somebody else watches (a joiner, or the caller through
 * brood_process_pidfd()) are taken out of its set, so that an end wakes one thread and not
 * two; the caller's are looked at every 50 ms in case he does not join.
 *
 * All but start, stop and after_fork need the registry lock.
 */
#ifndef BROOD__REAPER_H
#define BROOD__REAPER_H

#include <brood/process.h>

#include <stdbool.h>

/* Starts the thread, if it does not run. */
int brood__reaper_start(void);

/* Is the caller its thread? Does it run? */
bool brood__reaper_is_me(void);
bool brood__reaper_runs(void);

/* Ends the thread and closes its descriptors. */
void brood__reaper_stop(void);

/* Watches a child that has a pidfd: at once, or now and then. */
void brood__reaper_watch(brood_process *process);
void brood__reaper_watch_slowly(brood_process *process);

/* No longer watches it; harmless if it did not. To be called before its pidfd is closed:
 * forked processes hold the same pidfd, and would keep its epoll entry alive. */
void brood__reaper_forget(brood_process *process);

/* Watches the guardian's pidfd, in place of an earlier one; -1: none. */
void brood__reaper_watch_guardian(int pidfd);

void brood__reaper_after_fork(bool closing_all);

#endif
