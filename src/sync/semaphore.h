/*
 * The semaphore, for the rest of sync. One word a permit:
 *
 *     ABSENT --release--> FREE --acquire--> TAKEN(owner) --release--> FREE
 *                           ^------the owner is dead-------'
 *
 * and where several are released at once, which is all or nothing, in two steps:
 *
 *     ABSENT --gather--> RISING(owner) --settle--> FREE     (or ABSENT: there were too few,
 *                                                            or the owner is dead)
 *     TAKEN --gather--> LEAVING(owner) --settle--> FREE     (or TAKEN: there were too few)
 *
 *     word = turn:14 | tenancy:32 | slot:15 | state:3
 *
 * Invariant: the words are the truth and all of it; there is no count beside them that could
 * be wrong. A permit is one process's exactly while its word names one of that process's
 * slots under the tenancy it had. The turn counts the changes of a word, so that two looks
 * at all words between which nothing changed can be told from two that were deceived.
 *
 * Who writes what: FREE and ABSENT, anyone; an owned one, threads of the owner's process, and
 * anyone once that is dead. Always by compare-exchange from the word that was looked at, so
 * each change is whole or did not happen.
 *
 * A counting one has a number in place of the words, changed by compare-exchange.
 *
 * Few words stand a cache line apart, so that those who have different permits do not share
 * one; many stand side by side.
 *
 * `bell` is as sync/bell.h says; `swept` and `doubted` are hints, written by who sweeps.
 */
#ifndef BROOD__SYNC_SEMAPHORE_H
#define BROOD__SYNC_SEMAPHORE_H

#include "sync/object.h"

#include <brood/semaphore.h>

struct brood_semaphore {
    struct brood__object object;
    uint32_t flags;     /* never changes */
    uint32_t value_max; /* never changes: there are so many words */
    uint32_t spread;    /* never changes: they stand 1 << spread places apart */
    struct brood__bell bell;
    _Atomic int64_t swept;    /* when somebody last looked for the dead while others slept */
    _Atomic uint32_t doubted; /* the permit whose owner the kernel is asked about next */
    _Alignas(BROOD__LINE) _Atomic uint64_t permits[];
};

#endif
