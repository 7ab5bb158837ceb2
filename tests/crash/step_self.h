/*
 * The part of the harness that runs one operation up to an instruction: by itself, on x86-64
 * (step_self.c), or under ptrace (step_ptrace.c). step.c decides where to, and what then.
 */
#ifndef TESTS_CRASH_STEP_SELF_H
#define TESTS_CRASH_STEP_SELF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STEP_POINTS_MAX (1u << 17)

/* What is known of the state after so many instructions. */
#define STEP_CHANGED 1u /* differs from the one before, in what survives the process */
#define STEP_ASLEEP 2u  /* a system call comes next, in which the process was seen asleep */

struct step_trace {
    uint32_t count; /* of instructions, from the start to the end of the operation */
    uintptr_t pcs[STEP_POINTS_MAX + 1]; /* [k]: where it stands after k instructions */
    uint32_t nth[STEP_POINTS_MAX + 1];  /* how often it had stood there by then */
    _Atomic uint8_t marks[STEP_POINTS_MAX + 1];
};

/* At the target: nothing is there to do but for the stage, which watches the count. */
enum step_act { STEP_RECORD, STEP_DIE, STEP_HOLD, STEP_COUNT };

/* What a stepped process and the stage tell each other; in memory that both have. */
struct step_control {
    enum step_act act;
    uint32_t target;     /* act after so many instructions */
    uint32_t breakpoint; /* run there, without counting, and step from there; 0: step all */
    _Atomic pid_t pid;   /* 0: not begun, or dead */
    _Atomic uint32_t count;
    _Atomic int held;    /* stands at its target */
    _Atomic uint32_t go; /* futex: a held one may run on */
    _Atomic int begun;   /* begin() is over */
    _Atomic int done;
    _Atomic uintptr_t pc; /* where it died or is held */
    struct step_trace *trace;
};

/* What a recording looks at after each instruction. */
struct step_sight {
    const unsigned char *memory;
    unsigned char *copy;
    size_t bytes;
};

/* True if this machine can do it. */
bool step_self_possible(void);

/* In the process to be stepped, which begin() has been called in: runs operate(who) as
 * `control` says. Returns when it is over, or does not. */
void step_self(struct step_control *control, const struct step_sight *sight,
               void (*operate)(int who), int who);

/* In that process, under ptrace: stops, and runs operate(who) once it is let go. */
void step_traced(struct step_control *control, void (*operate)(int who), int who);

/* In the stage: lets a traced process run as its control says, and ends when it is held
 * (target reached: still stopped), dead or done, or asleep for long. */
void step_trace_on(struct step_control *control, const struct step_sight *sight);

/* Looks whether the process sleeps in a system call. */
bool step_asleep(struct step_control *control);

#endif
