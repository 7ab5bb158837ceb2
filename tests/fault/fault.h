/*
 * Calls of the system that can be made to fail: wraps.c has a __wrap_NAME for each name in
 * tests/meson.build. The orders lie in memory shared with all children, so that the k-th
 * call counts wherever it is made: in the program, in its children, in the guardian.
 */
#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H

#include <stdbool.h>

enum fault {
    FAULT_FORK,
    FAULT_CLONE,
    FAULT_SYS_CLONE,
    FAULT_PIPE,
    FAULT_SOCKETPAIR,
    FAULT_MEMFD,
    FAULT_EPOLL_CREATE,
    FAULT_EPOLL_CTL,
    FAULT_EVENTFD,
    FAULT_THREAD,
    FAULT_MALLOC,
    FAULT_CALLOC,
    FAULT_REALLOC,
    FAULT_MMAP,
    FAULT_OPEN,
    FAULT_DUP,
    FAULT_PIDFD_OPEN,
    FAULT_COUNT
};

/* Once, before anything is forked. */
void fault_init(void);

/* The `k`-th call from now on fails with `error`, from 1; the others are real. */
void fault_arm(enum fault fault, int error, unsigned k);

/* No more. True if the order was carried out. */
bool fault_disarm(void);

#endif
