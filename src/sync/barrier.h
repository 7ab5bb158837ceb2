/*
 * The barrier, for the rest of sync.
 *
 *                    +---------- the last one comes ----------+
 *                    v                                        |
 *     round n: none there --> some there --> all there, one of them acts
 *                    |             |                |
 *                    |        +----+----------------+--- the last one has acted --> n + 1
 *                    v        v
 *                  broken, until it is reset --> round n + 1
 *
 * All of that is one word, changed by compare-exchange:
 *
 *     state = round:30 | 0:1 | broken:1 | arrived:32
 *
 * The roll says who is there, so that a dead one is found: before a party counts itself in
 * the state, it marks its word with the round.
 *
 *     value = round:30 | WAITING or BROKEN:2
 *
 * Invariant: for everyone counted in an unbroken round there is a word that says WAITING in
 * that round. A word of any other round means nothing, so nobody has to take it back before
 * the numbers of rounds come again; and the last to come needs none if it has nothing to act.
 *
 * A party that finds a later round went on with the others, unless its word says BROKEN:
 * reset changes those words after it has broken the round and before it starts the next one.
 *
 * Who writes what: `state`, everybody, by compare-exchange; a word of the roll, its thread,
 * and from WAITING to BROKEN, whoever resets, by compare-exchange.
 */
#ifndef BROOD__SYNC_BARRIER_H
#define BROOD__SYNC_BARRIER_H

#include "sync/object.h"
#include "sync/roll.h"

#include <brood/barrier.h>

#define BROOD__BARRIER_BROKEN (UINT64_C(1) << 32)
#define BROOD__BARRIER_ROUND_SHIFT 34

struct brood_barrier {
    struct brood__object object;
    uint32_t parties;          /* never changes */
    _Atomic uint32_t patience; /* pauses to spin before a sleep: what has paid off lately */
    _Atomic uint64_t calm;     /* yields before a sleep: since round:32, none for so many:32 */
    _Alignas(BROOD__LINE) _Atomic uint64_t state; /* round, broken, arrived */
    struct brood__bell bell;                      /* those who wait, until the round is over */
    _Alignas(BROOD__LINE) brood__roll_word roll[];
};

/* Changes whenever a round is over or broken: what one who only watches compares. */
static inline uint64_t brood__barrier_turn(const brood_barrier *barrier)
{
    return atomic_load_explicit(&barrier->state, memory_order_acquire) & ~(uint64_t)UINT32_MAX;
}

#endif
