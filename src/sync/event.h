/*
 * The event, for the rest of sync.
 *
 *     CLEAR (even) --set--> SET (odd) --clear--> CLEAR (even) ...
 *
 * Invariant: `changes` counts the changes, so it is odd exactly while the event is set, and
 * whoever saw it clear and sees another number now knows that it was set in between.
 *
 * Who writes what: everybody, `changes`, by one compare-exchange from a number of the other
 * kind to the next. One that fails need not be tried again: somebody else has just made the
 * same change. `bell` as sync/bell.h says.
 */
#ifndef BROOD__SYNC_EVENT_H
#define BROOD__SYNC_EVENT_H

#include "sync/object.h"

#include <brood/event.h>

struct brood_event {
    struct brood__object object;
    struct brood__bell bell;
    _Atomic uint64_t changes;
};

static inline bool brood__event_is_set(const brood_event *event)
{
    return (atomic_load_explicit(&event->changes, memory_order_seq_cst) & 1) != 0;
}

#endif
