/*
 * The reaper: one thread that collects children nobody is waiting for, so that none stays a
 * zombie, and that notices the guardian's death.
 *
 * A new child, and one that a joiner gave up, is looked at within 50 ms: by then most that
 * are going to be joined have been, and cost the reaper nothing. One that still runs then
 * goes into its epoll set, so that children which live long cost nothing either.
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

/* It sleeps, or waits for the registry lock, or does not run: it holds no lock of libc's.
 * (L) */
bool brood__reaper_is_resting(void);

/* Ends the thread and closes its descriptors. */
void brood__reaper_stop(void);

/* Looks at a child soon. */
void brood__reaper_watch(brood_process *process);

/* No longer watches it; harmless if it did not. To be called before its pidfd is closed:
 * forked processes hold the same pidfd, and would keep its epoll entry alive. */
void brood__reaper_forget(brood_process *process);

/* Watches the guardian's pidfd, in place of an earlier one; -1: none. */
void brood__reaper_watch_guardian(int pidfd);

void brood__reaper_after_fork(bool closing_all);

#endif
