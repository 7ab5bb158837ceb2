/*
 * The registry: this process's children, from start until their handle is freed and their
 * end is known.
 *
 *     CREATED --start--> STARTING --ok--> RUNNING --reaped--> ENDED
 *        ^------failed------'
 *
 * All fields of a brood_process marked (L) are read and written under the registry lock,
 * which is held for a few instructions or non-blocking system calls, never over a wait, a
 * fork or a call of the user's. The others are set before the handle is published.
 *
 * Who closes the pidfd: whoever makes the child ENDED, or the last joiner to leave after
 * that, unless the caller was given it; then brood_process_free() does.
 */
#ifndef BROOD__REGISTRY_H
#define BROOD__REGISTRY_H

#include <brood/process.h>

#include "process/launch.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum brood__state { CREATED, STARTING, RUNNING, ENDED };

struct brood_process {
    uint32_t magic;
    pid_t owner; /* the process that made the handle */
    uint64_t id; /* in the registry's table while RUNNING, for the reaper's events */
    const brood_process_ops *ops;
    struct brood__launch *launch; /* until started */

    enum brood__state state; /* (L) */
    unsigned references;     /* (L) one for the handle, one while RUNNING */
    unsigned joiners;        /* (L) threads polling the pidfd at this moment */
    bool exported;           /* (L) the caller has the pidfd: never close it under him */
    bool watched;            /* (L) in the reaper's epoll set */
    bool soon;               /* (L) the reaper will look at it within a tick */
    int pidfd;               /* (L) -1 when there is none */
    pid_t pid;
    int slot;            /* in the guardian's table; -1: our own child */
    int board_entry;     /* where a forked child leaves its exit code; -1: none */
    uint64_t mark_index; /* 0: no daemon */
    int64_t started_at;
    brood_exit exit;              /* (L) when ENDED */
    brood_process *older, *newer; /* (L) the RUNNING ones */
    int32_t daemon;
    int32_t start_method;
    int32_t is_command;
    int32_t group_leader; /* it leads a group or session of its own */
    char name[];
};

#define BROOD__PROCESS_MAGIC 0x62724f50u /* "brOP" */

/* Passes a public door: 0, -EINVAL (NULL), -ECHILD (another process's handle). */
int brood__process_check(const brood_process *process);

void brood__registry_lock(void);
void brood__registry_unlock(void);

/* CREATED -> STARTING, with an id, so that nothing can fail once it runs. -EALREADY,
 * -ESHUTDOWN, -ENOMEM. */
int brood__registry_begin(brood_process *process);

/* STARTING -> RUNNING, for the reaper, which must have been started, to look at; or, with
 * `started` false, back to CREATED. */
void brood__registry_end(brood_process *process, bool started);

/* The RUNNING child with this id, or NULL if it has been reaped since. (L) */
brood_process *brood__registry_find(uint64_t id);

/* The newest RUNNING child, or NULL. (L) */
brood_process *brood__registry_newest(void);

/* Reaps the child if it has ended. True: it is ENDED. Never waits. (L) */
bool brood__child_reap(brood_process *process);

/* Makes the child ENDED as `info` and `usage` say; NULL info: nobody knows. (L) */
void brood__child_ended(brood_process *process, const siginfo_t *info,
                        const struct rusage *usage);

/* Fills an exit report from what waitid() said. */
void brood__exit_fill(brood_exit *ret_exit, const siginfo_t *info, const struct rusage *usage);

/* Drops one reference; frees at the last. (L) */
void brood__child_release(brood_process *process);

/* No more starts from now on; returns when those under way have ended. */
void brood__registry_shut_down(void);
bool brood__registry_is_shut_down(void);

/* Nothing was ever started here, so there is nothing to shut down. */
bool brood__registry_is_untouched(void);

/* The number of the next child, from 1. */
uint32_t brood__registry_next_number(void);

/*
 * A descriptor that is kept for the moment when there is no room for a child's pidfd: closing
 * it makes some. One a start; it is opened once and handed on. Return takes -1, too.
 */
int brood__spare_take(int *ret_fd);
void brood__spare_return(int *fd);

/* fork(), for our own use: with `child_closes_all` the fork handlers leave it to the child
 * to close what it inherited. Returns the pid, 0 in the child, or a negative errno. */
pid_t brood__fork(bool child_closes_all);

/*
 * A child that no wait() of the program's sees or gets a SIGCHLD for (its exit signal is 0);
 * __WALL finds it. It is a bare clone(), which tells libc nothing: only for a caller that is
 * the one thread of the program but for the reaper, and for a child that uses no robust
 * mutex. Returns as brood__fork(true) does.
 */
pid_t brood__fork_hidden(void);

/* Once a process: registers the exit handler. Cheap to repeat. */
void brood__registry_init(void);

#endif
