/*
 * What program, guardian and forkserver share: a table in anonymous shared memory, made by
 * the program before it forks the guardian, and inherited. Children do not keep it.
 *
 * A slot, one a child of the forkserver:
 *
 *     FREE --program--> REQUESTED --child--> BORN --forkserver or guardian--> ENDED
 *                           |                                                   |
 *                           `--child or forkserver--> FAILED --program-> FREE <-'
 *
 * Invariant: a child runs its function only after it has itself made the slot BORN, by a
 * compare-exchange from REQUESTED. So a slot that is REQUESTED when its forkserver and that
 * server's children are dead has run nothing, and may be requested again.
 *
 * Who writes what: `state` as drawn. `generation` the program, while FREE. `pid` the child,
 * before BORN. `error` whoever makes it FAILED, before. `info` and `usage` whoever makes it
 * ENDED, before; the store of `state` is a release, and its load an acquire.
 *
 * Dying: the program at any step: guardian and forkserver kill all and end. The forkserver:
 * the guardian kills and reaps its children, makes their slots ENDED, and then moves
 * `epoch`. The guardian: the forkserver does the same and ends. Both at once: the kernel
 * kills the children (PR_SET_PDEATHSIG); the program finds out from their pidfds.
 */
#ifndef BROOD__GUARD_TABLE_H
#define BROOD__GUARD_TABLE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>

enum { SLOT_FREE, SLOT_REQUESTED, SLOT_BORN, SLOT_ENDED, SLOT_FAILED };

struct guard_slot {
    _Atomic uint32_t state; /* a futex */
    uint32_t generation;
    int32_t pid; /* as the forkserver sees it */
    int32_t error;
    int32_t code; /* si_code and si_status */
    int32_t status;
    int64_t user_us, system_us, max_rss_kib, minor_faults, major_faults;
    int64_t reserved;
};

_Static_assert(sizeof(struct guard_slot) == 72, "the slots of one table add up to 2.3 MiB");

#define GUARD_SLOT_COUNT 32768 /* address space; memory is taken as slots are used */
#define GUARD_LAUNCH_COUNT 64

struct guard_table {
    /* Moved by the guardian when a forkserver is dead, with its children, and replaced. */
    _Atomic uint32_t epoch;
    /* Slots from here on were never used. Written by the program. */
    _Atomic uint32_t slots_used;
    /*
     * Commands that are daemons and not executed yet, which no mark shows: 0 free, -1 taken
     * by a starter, else the pid, written by the child itself as its first step. The child
     * then looks whether the program still lives. So when the program dies, either the
     * guardian finds the pid here, or the child finds the program gone.
     */
    _Atomic int32_t launching[GUARD_LAUNCH_COUNT];
    struct guard_slot slots[GUARD_SLOT_COUNT];
};

static inline void guard_slot_fill(struct guard_slot *slot, const siginfo_t *info,
                                   const struct rusage *usage)
{
    slot->code = info->si_code;
    slot->status = info->si_status;
    slot->user_us = usage->ru_utime.tv_sec * 1000000 + usage->ru_utime.tv_usec;
    slot->system_us = usage->ru_stime.tv_sec * 1000000 + usage->ru_stime.tv_usec;
    slot->max_rss_kib = usage->ru_maxrss;
    slot->minor_faults = usage->ru_minflt;
    slot->major_faults = usage->ru_majflt;
}

#endif
