/*
 * event: a flag that processes wait for.
 *
 *     brood_event *ready;
 *     int r = brood_event_create(NULL, &ready);
 *
 *     ... start a child with `ready` as its argument; it calls brood_event_set(ready)
 *     if (r == 0)
 *         r = brood_event_wait(ready, brood_seconds(10));
 *
 * An event is set or clear, and clear at first. Waiting ends when it is set, for all who
 * wait, and it stays set until somebody clears it. A wait also ends if the event was set and
 * cleared again while it lasted: those who wait miss nothing.
 *
 * Setting waits for nobody: it takes a few instructions, whoever sleeps, is stopped or dies,
 * and may be done in a signal handler. Nobody owns an event, so a death leaves nothing to
 * repair.
 *
 * An event lies in a segment and is used by plain pointers, as a lock is: see <brood/lock.h>.
 * For all calls here -EINVAL is the answer to NULL, and to a pointer that is no event; it is
 * not repeated below. Who waits for an event takes no place among the segment's members.
 */
#ifndef BROOD_EVENT_H
#define BROOD_EVENT_H

#include <brood/base.h>
#include <brood/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_event brood_event;

/*
 * Creates an event, clear, in a segment. `shared` NULL: in the program's common one.
 *
 * Returns    0, with *ret_event set.
 * Errors     -ENOSPC, -ENOMEM, -EUSERS, -EXDEV
 * Ownership  The event belongs to the segment; give its memory back by
 *            brood_event_destroy(), or leave it to the segment's end.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_event_create(brood_shared *shared, brood_event **ret_event);

/*
 * Gives the memory of an event back. Nobody may wait for it or come for it later, and all
 * calls have returned: that a wait is over does not say that the brood_event_set() is.
 *
 * Returns    0, also for NULL.
 * Errors     -EUSERS, -EXDEV
 * Threads    One thread, when no other uses the event.
 * Crash      The event is there or gone.
 * Since      0.1
 */
BROOD_API int brood_event_destroy(brood_event *event);

/*
 * Sets the event, and wakes all who wait for it. Setting a set one is fine.
 *
 * Returns    0.
 * Threads    Any thread of any process, and any signal handler: wait-free.
 * Fork       A child may set what its parent waits for.
 * Crash      Who is killed in here has set the event or not. If so, all who wait know of it
 *            at the latest 100 ms after.
 * Since      0.1
 */
BROOD_API int brood_event_set(brood_event *event);

/*
 * Clears the event. Clearing a clear one is fine.
 *
 * Returns    0.
 * Threads    Any thread of any process, and any signal handler: wait-free.
 * Crash      Who is killed in here has cleared the event or not.
 * Since      0.1
 */
BROOD_API int brood_event_clear(brood_event *event);

/*
 * Whether the event is set, exactly, at the moment of the call.
 *
 * Returns    1 if it is set, 0 if it is clear.
 * Threads    Any thread of any process, and any signal handler.
 * Since      0.1
 */
BROOD_API int brood_event_is_set(const brood_event *event);

/*
 * Waits until the event is set, for `timeout` at most.
 *
 * Returns    0: it is set, or was at some moment during the call.
 * Errors     -ETIMEDOUT (it was clear all the time; at once with BROOD_NOWAIT), -EINVAL (a
 *            timeout that is none)
 * Threads    Any number of threads of any processes.
 * Crash      One that is killed while it waits keeps nobody.
 * Since      0.1
 */
BROOD_API int brood_event_wait(brood_event *event, int64_t timeout);

#ifdef __cplusplus
}
#endif

#endif
