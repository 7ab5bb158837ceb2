/*
 * The lock for readers and writers, for the rest of sync.
 *
 *            +--the writer gives up, or dies--+
 *            v                                |
 *     OPEN --+--writer--> CLOSING --no reader is left--> WRITING --release--> OPEN
 *                                                        |  ^  |
 *                             the writer dies, the next  +--+  +--poison--> POISONED
 *                             one has it and is to repair
 *
 * `gate` is the truth about writers. It changes only in the hands of whoever has `mutex`,
 * which a writer keeps from its acquire to its release. So whoever gets the mutex and finds
 * the gate not OPEN knows what a dead one left: CLOSING, nothing was changed; WRITING, there
 * is something to repair. That is why the mutex itself is marked as consistent at once.
 *
 * The truth about readers is the roll: how often each thread has the lock for reading.
 *
 * A reader says on the roll that it is in, and then looks at the gate; a writer closes the
 * gate, and then looks at the roll. Both orders are sequentially consistent, so at least one
 * sees the other; a reader that finds the gate not OPEN takes its word back and queues at
 * the mutex, where it hears at once of a writer's death.
 *
 * Invariant: while the gate is WRITING, no thread on the roll is in, but for the one that
 * has the mutex (a reader that is to repair).
 *
 * Who writes what: `gate`, the mutex's owner; a word of the roll, its thread; `since`, those
 * who wait or ask, by compare-exchange from 0, and the writer, which clears it.
 */
#ifndef BROOD__SYNC_RWLOCK_H
#define BROOD__SYNC_RWLOCK_H

#include "shm/robust.h"
#include "sync/object.h"
#include "sync/roll.h"

#include <brood/rwlock.h>

enum { BROOD__GATE_OPEN, BROOD__GATE_CLOSING, BROOD__GATE_WRITING, BROOD__GATE_POISONED };

struct brood_rwlock {
    struct brood__object object;
    _Atomic uint32_t gate;   /* BROOD__GATE_* */
    uint32_t lines_shift;    /* the roll has 2 to the power of it cache lines; never changes */
    struct brood__bell bell; /* the writer sleeps here until readers have left */
    _Atomic int64_t since;   /* 0: nobody has looked in this tenure */
    _Alignas(BROOD__LINE) pthread_mutex_t mutex;
    _Alignas(BROOD__LINE) brood__roll_word roll[]; /* spread: see brood__rwlock_word() */
};

/* Slots next to each other have their words in different cache lines, so that readers do not
 * get into each other's way. */
static inline brood__roll_word *brood__rwlock_word(brood_rwlock *rwlock, uint32_t slot)
{
    uint32_t line = slot & ((1u << rwlock->lines_shift) - 1);

    return &rwlock->roll[line * (BROOD__LINE / sizeof(brood__roll_word)) +
                         (slot >> rwlock->lines_shift)];
}

#endif
