/*
 * The two helper processes, from the inside: see <brood/guardian.h> for what they are for
 * and guard_table.h for what they share with the program. Both are single-threaded, block
 * all signals and trust nothing but their own memory for what to kill.
 */
#ifndef BROOD__GUARDIAN_H
#define BROOD__GUARDIAN_H

#include "process/cgroup.h"
#include "process/guard_table.h"
#include "process/mark.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What they are given. All descriptors are inherited. */
struct brood__kit {
    struct guard_table *table;
    struct brood__mark mark;
    struct brood__cgroup cgroup;
    uint64_t start_time;  /* of the program; nobody marked is older */
    uint32_t incarnation; /* of these two: guard_table.accepted */
    int socket;           /* their end; the program has the other */
    int program;          /* pidfds */
    int guardian;
    int forkserver; /* the guardian's */
    int tier;
};

/* Messages. From the program: a request, followed by the launch's bytes, unless these are
 * in a file, the last descriptor sent; or the release of a forkserver that guards alone. To
 * the program: the rest, with a pidfd. */
enum { SAY_REQUEST = 1, SAY_RELEASE, SAY_GUARDIAN, SAY_FORKSERVER, SAY_STARTED, SAY_FAILED };

struct brood__say {
    uint32_t what;
    uint32_t slot;
    uint32_t generation;
    int32_t error;
    uint32_t in_file;
    uint32_t reserved;
    uint64_t launch_bytes;
};

#define BROOD__INLINE_BYTES_MAX 32768 /* of a launch sent in the message itself */

/* The processes' lives. */
_Noreturn void brood__guardian_main(struct brood__kit *kit);
_Noreturn void brood__forkserver_main(struct brood__kit *kit);

/* Common to both. Takes the process out of the program's session and signals, makes it a
 * subreaper, closes all but the kit's descriptors and 0-2. */
void brood__helper_enter(struct brood__kit *kit, const char *name);

/* Says who a helper is, or why there is none. Never waits: a program that does not read
 * learns it later. */
void brood__helper_say_hello(const struct brood__kit *kit, uint32_t what, int pidfd, int error);

/* A signalfd for SIGCHLD, and what to do when it is readable: reap. */
int brood__helper_signals(void);
void brood__helper_take_signals(struct brood__kit *kit, int signals);

/* Kills all descendants of this process and reaps them until none is left, entering the
 * ends of the forkserver's children in the table; those of children that this process never
 * saw end are entered as unknown. */
void brood__helper_end_children(struct brood__kit *kit, bool settle);

/* Reaps whatever has ended, likewise. Returns false if there are no children at all. */
bool brood__helper_reap(struct brood__kit *kit);

/* The program is alive and has given these helpers up. */
bool brood__helper_is_abandoned(const struct brood__kit *kit);

/* The program is gone: ends its daemon children and all that carries its marks. */
void brood__helper_sweep(struct brood__kit *kit);

#endif
