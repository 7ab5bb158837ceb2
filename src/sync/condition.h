/*
 * The condition, for the rest of sync. On its roll each thread has a word:
 *
 *     NOTHING --wait--> WAITING(ticket) --notify--> NOTIFIED(bound) --has the lock--> NOTHING
 *        ^                     |                           |
 *        |------out of time----'                           '--died: passed on--> NOTHING
 *
 *     value = number:30 | state:2
 *
 * Invariant: a notification is in exactly one place from the moment it is given: in the
 * NOTIFIED word of the one who got it, until he holds the lock again. So if he dies before,
 * it is found there, whoever has his slot by then.
 *
 * `tickets` is the next ticket, and tickets are the order of waiting. `bound` is the next
 * ticket as it was when the notification was given: what is passed on goes to one of a
 * ticket before that, or to nobody. Numbers go round, and are compared by their difference;
 * who waits for very long takes a nearer one, WAITING -> WAITING, before his is too far back.
 *
 * Who writes what: each thread its own word; WAITING -> NOTIFIED, anyone, by
 * compare-exchange; and a dead one's word -> NOTHING, by compare-exchange, whoever has
 * `passing`. A thread that finds its predecessor's NOTIFIED in its slot passes it on before
 * it writes there.
 */
#ifndef BROOD__SYNC_CONDITION_H
#define BROOD__SYNC_CONDITION_H

#include "sync/lock.h"
#include "sync/object.h"
#include "sync/roll.h"

#include <brood/condition.h>

struct brood_condition {
    struct brood__object object;
    _Atomic uint32_t tickets;
    _Atomic uint32_t notified; /* how often somebody notified, for those who only watch */
    pthread_mutex_t passing;   /* robust; held while what the dead got is passed on */
    _Alignas(BROOD__LINE) brood__roll_word roll[];
};

#endif
