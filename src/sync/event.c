#include "sync/event.h"

#include "base/clock.h"
#include "shm/robust.h"

int brood_event_create(brood_shared *shared, brood_event **ret_event)
{
    brood_event *event = NULL;
    int r;

    if (ret_event == NULL)
        return -EINVAL;
    r = brood__object_alloc(shared, sizeof *event, &event);
    if (r < 0)
        return r;
    brood__object_finish(&event->object, BROOD__EVENT);
    *ret_event = event;
    return 0;
}

int brood_event_destroy(brood_event *event)
{
    int r;

    if (event == NULL)
        return 0;
    r = brood__object_enter(&event->object, BROOD__EVENT);
    return r < 0 ? r : brood__object_free(&event->object);
}

static int check(const brood_event *event)
{
    return event == NULL ? -EINVAL : brood__object_check(&event->object, BROOD__EVENT);
}

/*
 * Without presence, for a signal handler could not claim a slot.
 *
 * Before   The event is set or clear.
 * After    It was set at some moment in here, and whoever waited then wakes.
 * Dying    before the exchange changes nothing. After it, sleepers see the new number when
 *          they next look: at the end of their slice, or when somebody sets the event again,
 *          who therefore rings even if there was nothing to change.
 */
int brood_event_set(brood_event *event)
{
    uint64_t seen;
    int r = check(event);

    if (r < 0)
        return r;
    seen = atomic_load_explicit(&event->changes, memory_order_seq_cst);
    if ((seen & 1) == 0)
        (void)atomic_compare_exchange_strong(&event->changes, &seen, seen + 1);
    brood__bell_ring(&event->bell, INT_MAX);
    brood__object_changed(&event->object);
    return 0;
}

int brood_event_clear(brood_event *event)
{
    uint64_t seen;
    int r = check(event);

    if (r < 0)
        return r;
    seen = atomic_load_explicit(&event->changes, memory_order_seq_cst);
    if ((seen & 1) != 0)
        (void)atomic_compare_exchange_strong(&event->changes, &seen, seen + 1);
    return 0;
}

int brood_event_is_set(const brood_event *event)
{
    int r = check(event);

    return r < 0 ? r : brood__event_is_set(event);
}

static bool changed(const brood_event *event, uint64_t seen)
{
    return atomic_load_explicit(&event->changes, memory_order_seq_cst) != seen;
}

/* The event was clear when it was `seen`. */
static int wait_slowly(brood_event *event, uint64_t seen, int64_t deadline)
{
    for (unsigned i = brood__spin_count(); i > 0; i--) {
        brood__pause();
        if (changed(event, seen))
            return 0;
    }
    for (;;) {
        uint32_t turn = brood__bell_listen(&event->bell);

        if (changed(event, seen))
            return 0;
        if (brood__bell_sleep(&event->bell, turn, deadline, BROOD__SLICE_NS) < 0)
            return changed(event, seen) ? 0 : -ETIMEDOUT;
    }
}

int brood_event_wait(brood_event *event, int64_t timeout)
{
    int64_t deadline;
    uint64_t seen;
    int r = check(event);

    if (r < 0)
        return r;
    if (timeout < BROOD_FOREVER)
        return -EINVAL;
    seen = atomic_load_explicit(&event->changes, memory_order_seq_cst);
    if ((seen & 1) != 0)
        return 0;
    if (timeout == BROOD_NOWAIT)
        return -ETIMEDOUT;
    (void)brood__deadline(timeout, &deadline);
    return wait_slowly(event, seen, deadline);
}
