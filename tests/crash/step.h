/*
 * Kills a process after each single instruction of an operation, and lets those who survive
 * look at what it left.
 *
 * A scenario has a segment and something in it, made once by setup(). For each kill point k
 * the segment is put back to what setup() left, and then
 *
 *     helpers   live processes, run help(): those who wait for what the victim has
 *     victim    runs begin(), and then operate(), and is killed after k of its instructions
 *     survivor  runs check(), which says what is wrong, or NULL
 *
 * each forked from the stage, which is the test case, so all have the same pointers. Who
 * does not come to an end in time is a finding, as is a survivor that crashes.
 *
 * The kill points. Two of them between which the operation has changed nothing that outlives
 * it (the segment, its robust list, anything by a system call) are the same to all others.
 * So a first run, stepped to its end, notes where something changes: these points are all
 * tried, and of the rest what a budget of time allows. BROOD_TEST_LONG=1 tries every
 * instruction. Where the victim sleeps in the kernel it is also killed asleep.
 *
 * The pace. On x86-64 the victim steps itself, by the trap flag and a handler of SIGTRAP; to
 * come near to a late point fast it runs to a breakpoint and steps from there. Elsewhere, and
 * with BROOD_CRASH_PTRACE=1, the stage steps it by ptrace.
 *
 * Pairs: A runs to instruction i and stops, B to j, one of them is killed, the other runs on
 * to its end, and then the survivor looks.
 */
#ifndef TESTS_CRASH_STEP_H
#define TESTS_CRASH_STEP_H

#include "test.h"

#include "shm/layout.h"

#include <brood.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* For `flags`. */
#define STEP_SLEEPS 1u  /* the operation may sleep in the kernel */
#define STEP_VARIES 2u  /* not the same instructions each time: no breakpoints */
#define STEP_OUTSIDE 4u /* works on more than the segment: no instruction is like another */

struct step_death {
    bool done[2];  /* the operation came to its end: of the victim, or of A and B */
    int killed;    /* in pairs, which one; otherwise 0 */
    bool asleep;   /* was killed in a system call that waited */
    int64_t after; /* CLOCK_MONOTONIC, just after the victim's end */
};

struct step_scenario {
    const char *name;
    void (*setup)(void);
    void (*begin)(int who); /* 0, or in pairs 0 for A and 1 for B */
    void (*operate)(int who);
    const char *(*help)(int index);
    int helpers;
    const char *(*check)(const struct step_death *death);
    unsigned flags;
    size_t bytes; /* of the segment; 0: enough for some KiB */
    uint32_t members;
    double seconds; /* for what is tried beyond the points that differ; 0: 0.6, for pairs 2 */
};

/* What the processes of a trial share beside the segment; zeroed before each. */
struct step_notes {
    _Atomic int64_t number[32];
    _Atomic int64_t coming[4];
    _Atomic int64_t got[4];
};

extern brood_shared *step_shared; /* the segment of the scenario at work */
extern struct brood__header *step_header;
extern struct step_notes *step_notes;

/* Both print what was done, and fail the case if there was a finding. */
void step_single(const struct step_scenario *scenario);
void step_pairs(const struct step_scenario *scenario);

/* Ends the case as skipped where nothing can be stepped. */
void step_require(void);

/* The same for one who waits for a mutex, where a mutex cannot be waited for step by step:
 * musl spins for longer than it then sleeps. */
void step_require_short_spins(void);

/* ---- for helpers ---- */

/* Waits until the victim sleeps in the kernel. False if it is dead. */
bool step_await_victim_asleep(void);

/* A helper says that it is about to wait; others, that it must be asleep by then. */
void step_coming(int index);
void step_await_asleep(int index);

/* A helper notes that it has what it waited for. */
void step_got(int index);

/* Waits until the number is at least `value`. */
void step_await_number(int index, int64_t value);

/* Waits for the victim's end. */
void step_await_victim_dead(void);

/* ---- for checks ---- */

/* Formats what is wrong, in memory that lasts. */
const char *step_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The heap is sound, and after a reclaim as much is allocated as after setup(), and `more`. */
const char *step_heap_wrong(uint64_t more);

/* A helper got what it waited for later than it should after the victim's end, or never. */
const char *step_late(const struct step_death *death, int index);

uint64_t step_used(void);        /* allocated now */
uint64_t step_used_before(void); /* after setup() */

int64_t step_now(void);

bool step_long(void);

#endif
