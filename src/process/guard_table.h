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
 * State, generation and pid are one word. Each request is a new generation.
 *
 * Invariant: a child runs its function only after it has itself made the slot BORN, by a
 * compare-exchange from REQUESTED of its own generation. So a slot that is REQUESTED when
 * its forkserver and that server's children are dead has run nothing, and may be requested
 * again; and whatever an earlier request still starts finds another generation, and exits.
 *
 * Who writes what: the word as drawn. `error` whoever makes it FAILED, before. The rest
 * whoever makes it ENDED, before. The program is the only reader of these, after.
 *
 * Dying: the program at any step: guardian and forkserver kill all and end. The forkserver:
 * the guardian kills and reaps its children, makes their slots ENDED, and then moves
 * `epoch`. The guardian: the forkserver does the same and guards alone. Both: the kernel
 * kills the children (PR_SET_PDEATHSIG); the program finds out from their pidfds.
 */
#ifndef BROOD__GUARD_TABLE_H
#define BROOD__GUARD_TABLE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

enum { SLOT_FREE, SLOT_REQUESTED, SLOT_BORN, SLOT_ENDED, SLOT_FAILED };

struct guard_slot {
    _Atomic uint64_t word; /* pid:32, as the forkserver sees it | generation:29 | state:3 */
    int32_t error;
    int32_t code; /* si_code and si_status */
    int32_t status;
    int32_t reserved;
    int64_t user_us, system_us, max_rss_kib, minor_faults, major_faults;
};

_Static_assert(sizeof(struct guard_slot) == 64, "a cache line, so that slots do not share");

static inline uint64_t guard_word(int32_t pid, uint32_t generation, uint32_t state)
{
    return (uint64_t)(uint32_t)pid << 32 | (generation & 0x1fffffffu) << 3 | state;
}

static inline uint32_t guard_word_state(uint64_t word)
{
    return (uint32_t)word & 7;
}

static inline uint32_t guard_word_generation(uint64_t word)
{
    return (uint32_t)word >> 3;
}

static inline int32_t guard_word_pid(uint64_t word)
{
    return (int32_t)(word >> 32);
}

/* The half of the word that has the state: what a futex can wait for. */
static inline _Atomic uint32_t *guard_slot_futex(struct guard_slot *slot)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lower half comes first");
    return (_Atomic uint32_t *)(void *)&slot->word;
}

/* Moves a slot on from `seen`, and wakes who waits for that. False: somebody was first. */
bool brood__guard_slot_move(struct guard_slot *slot, uint64_t seen, int32_t pid,
                            uint32_t state);

#define GUARD_SLOT_COUNT 32768 /* address space; memory is taken as slots are used */
#define GUARD_LAUNCH_COUNT 64

struct guard_table {
    /* Moved by the guardian when a forkserver is dead, with its children, and replaced. */
    _Atomic uint32_t epoch;
    /* The helpers that the program has taken into its service. Others that see its socket
     * shut were given up at birth, and must not take that for the program's end. */
    _Atomic uint32_t accepted;
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
