/*
 * The state behind guard.h, shared by the files guard*.c only.
 *
 *     guard.c          the public calls, bonds, the end
 *     guard_start.c    starting and replacing guardian and forkserver
 *     guard_request.c  asking the forkserver for children, and how these ended
 */
#ifndef BROOD__GUARD_STATE_H
#define BROOD__GUARD_STATE_H

#include "process/cgroup.h"
#include "process/guard.h"
#include "process/guardian.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Guarded by `lock`, except where atomic. The lock may be held over requests, which end
 * with the forkserver's answer or its death; the reaper and starting threads take it. */
struct guard {
    pthread_mutex_t lock;
    bool running;
    bool late;     /* there were threads at the first start */
    bool threaded; /* and at the last */
    int tier;
    int wanted_tier; /* what brood_guardian_start() asked for, for a replacement */
    unsigned restarts;
    uint32_t incarnation;      /* of the helpers: 1, 2, ... */
    _Atomic bool in_log;       /* the reaper may be in the program's log hook */
    struct guard_table *table; /* made once, kept for the process's life */
    struct brood__mark mark;   /* likewise */
    struct brood__cgroup cgroup;
    uint64_t start_time;
    _Atomic uint64_t marks;
    int socket;
    int guardian; /* pidfds */
    int forkserver;
    int old_socket;       /* of a forkserver whose guardian died, which guards alone until */
    int old_forkserver;   /* there is a new one */
    char *message;        /* sizeof(struct brood__say) + BROOD__INLINE_BYTES_MAX, to be sent */
    uint32_t *free_slots; /* a stack; taken and left under the registry lock */
    uint32_t free_count;
};

extern struct guard brood__guard;

/* Under the lock, all of these. */
int brood__guard_start_locked(int tier);
int brood__guard_replace_locked(void);

/* Ends the records of children whose helpers are both dead, and with them their reports. */
void brood__guard_end_all_lost(void);

/* Ends the helpers, and reaps the guardian. */
void brood__guard_close_ends(void);

/* Ends a forkserver that guards alone. */
void brood__guard_close_old_ends(void);

/* One message from the helpers, with at most one descriptor; -EAGAIN if none came in time,
 * -ECONNRESET when both are gone. */
int brood__guard_receive(struct brood__say *ret_say, int *ret_pidfd, int64_t deadline);

/* Takes a message that is not an answer: who the helpers are. */
int brood__guard_take_hello(const struct brood__say *say, int pidfd);

/* Leaves a slot to others. (L) */
void brood__guard_slot_leave(uint32_t slot);

#endif
