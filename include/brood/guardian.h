/*
 * The guardian: nothing a program started outlives it.
 *
 * A program that starts daemon or forkserver children has two small processes beside it.
 * The guardian watches the program and the forkserver; the forkserver starts children for
 * the program, at the same cost whatever the program's size, and watches the guardian. If
 * the program ends in any way, SIGKILL and exec included, they kill its daemon children and all
 * descendants of these. If one of the two is killed, the other replaces it or, the program
 * being gone too, does its work. Neither needs privilege; where the system offers more, more
 * can be asked for, and brood_guardian_status() says what is in force.
 *
 * The forkserver is a copy of the program as it was when the guardian started: start it
 * early, before threads, open files and large memory.
 */
#ifndef BROOD_GUARDIAN_H
#define BROOD_GUARDIAN_H

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How descendants are found when the program is gone.
 *
 *   A  no privilege. Children of the forkserver: exactly, for they descend from the
 *      guardian. Daemon children made by fork, and commands: by a mark that fork and exec
 *      inherit; a descendant that both left its parent's tree and executed something with
 *      an emptied environment is missed.
 *   B  on request: a cgroup v2 directory that the program may write holds them: exactly,
 *      whatever they did. Each start of a daemon then moves a process between cgroups, which
 *      takes some 15 us, and now and then some 10 ms.
 *   C  on request: the forkserver is init of a PID namespace (unprivileged through a user
 *      namespace), so that the kernel itself ends all its children with it. Children made by
 *      fork, and commands, are as in A or B.
 */
#define BROOD_TIER_DEFAULT 0 /* A */
#define BROOD_TIER_A 1
#define BROOD_TIER_B 2
#define BROOD_TIER_C 3

/* A zero field asks for its default. Start from BROOD_GUARDIAN_OPTIONS_INIT. */
typedef struct brood_guardian_options {
    size_t size;      /* sizeof(brood_guardian_options) as the caller was compiled */
    int32_t tier;     /* BROOD_TIER_*; one that cannot be had is -ENOTSUP */
    int32_t reserved; /* 0 */
} brood_guardian_options;
#define BROOD_GUARDIAN_OPTIONS_INIT                                                            \
    {                                                                                          \
        sizeof(brood_guardian_options), 0, 0                                                   \
    }

typedef struct brood_guardian_info {
    size_t size;            /* set by the caller: BROOD_GUARDIAN_INFO_INIT */
    int32_t tier;           /* BROOD_TIER_A, _B or _C */
    int32_t guardian_pid;   /* as this process sees it; 0: dead, not replaced yet */
    int32_t forkserver_pid; /* likewise */
    uint32_t restart_count; /* how often either was replaced */
    int32_t started_late;   /* 1: the program had threads already */
    int32_t reserved;       /* 0 */
    char guarantee[256];    /* the tier's promise in one sentence, for logs */
} brood_guardian_info;
#define BROOD_GUARDIAN_INFO_INIT                                                               \
    {                                                                                          \
        sizeof(brood_guardian_info), 0, 0, 0, 0, 0, 0,                                         \
        {                                                                                      \
            0                                                                                  \
        }                                                                                      \
    }

/*
 * Starts the guardian now rather than with the first child that needs it. Best called at
 * the start of main(): forkserver children see the program as it is at this moment. A
 * start with threads already running works, and is reported to the log hook as a warning.
 *
 * Returns    0, also if it runs already in the tier asked for.
 * Errors     -EINVAL, -E2BIG (options of a newer version), -ENOTSUP (tier not to be had),
 *            -EALREADY (it runs in another tier), -EAGAIN, -ENOMEM, -EMFILE, -ENFILE,
 *            -ESHUTDOWN (after brood_shutdown())
 * Threads    Any thread; before there are others is best.
 * Fork       Each process has its own guardian, started at its first need.
 * Crash      Killed at any moment, guardian and forkserver are replaced.
 * Since      0.1
 */
BROOD_API int brood_guardian_start(const brood_guardian_options *options);

/*
 * Tells which tier is in force, what it guarantees, and who the two processes are.
 *
 * Returns    0, with *ret_info filled as far as its `size` reaches.
 * Errors     -EINVAL (NULL, or a size that is too small), -ESRCH (no guardian runs)
 * Threads    Any thread, at any time.
 * Since      0.1
 */
BROOD_API int brood_guardian_status(brood_guardian_info *ret_info);

#ifdef __cplusplus
}
#endif

#endif
