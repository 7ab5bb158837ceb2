/*
 * Sleeping until something happens: an event count with a wake token. Everything in sync
 * that waits, but for the lock itself, waits at a bell.
 *
 * The sleeper                          The ringer
 *
 *     seen = brood__bell_listen(bell)      change what the sleeper looks at
 *     look; if it is there, done           brood__bell_ring(bell, count)
 *     brood__bell_sleep(bell, seen, ...)
 *     and again
 *
 * `asleep` is 1 while somebody may sleep and no wake is on its way: the ringer who turns it
 * to 0 has the token, bumps `turn`, and wakes. So at most one wake is in flight, and ringing
 * a bell at which nobody sleeps is one load. Whoever wakes says that he listens again before
 * he looks again, which also speaks for the others that may still sleep; having got what he
 * came for, he rings once more if there is more to be had.
 *
 * Pairs: the fence in listen and the ringer's change, which must be a sequentially consistent
 * read-modify-write, or have a fence after it: then either the sleeper sees the change, by
 * whatever load, or the ringer sees the sleeper.
 *
 * Dying: a ringer killed between the change and the wake, or a sleeper killed after he was
 * woken, can leave others asleep at something that is there. Therefore no sleep is longer
 * than BROOD__SLICE_NS; whoever wakes by that looks, and looks for the dead. Nothing here
 * has to be repaired: `asleep` too high costs a system call, too low at most a slice.
 *
 * Model: tests/models/bell.pml.
 */
#ifndef BROOD__SYNC_BELL_H
#define BROOD__SYNC_BELL_H

#include "base/fence.h"
#include "shm/layout.h"

#include <stdbool.h>

#define BROOD__SLICE_NS 100000000

/* Says that somebody is about to sleep; the result goes to brood__bell_sleep(). */
static inline uint32_t brood__bell_listen(struct brood__bell *bell)
{
    uint32_t turn = atomic_load_explicit(&bell->turn, memory_order_acquire);

    (void)atomic_exchange_explicit(&bell->asleep, 1, memory_order_seq_cst);
    /* The exchange alone lets later loads pass its store, on aarch64 before LSE. */
    brood__fence(memory_order_seq_cst);
    return turn;
}

/*
 * Sleeps until the bell has been rung since listen, the deadline, or the end of a slice,
 * whichever comes first; `slice_ns` at most BROOD__SLICE_NS. Returns 0, or -ETIMEDOUT if the
 * deadline has passed.
 */
int brood__bell_sleep(struct brood__bell *bell, uint32_t seen, int64_t deadline,
                      int64_t slice_ns);

void brood__bell_ring_slowly(struct brood__bell *bell, int count);

/* Wakes up to `count` sleepers; INT_MAX: all. Wait-free and async-signal-safe. */
static inline void brood__bell_ring(struct brood__bell *bell, int count)
{
    if (atomic_load_explicit(&bell->asleep, memory_order_seq_cst) != 0)
        brood__bell_ring_slowly(bell, count);
}

#endif
