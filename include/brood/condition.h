/*
 * condition: waiting, with a lock given up meanwhile, until somebody says that things changed.
 *
 *     static int has_orders(void *user)
 *     {
 *         return ((struct shop *)user)->orders > 0;
 *     }
 *
 *     The cook:
 *
 *     r = brood_lock_acquire(shop->lock, BROOD_FOREVER);
 *     r = brood_condition_wait_for(shop->changed, shop->lock, has_orders, shop, BROOD_FOREVER);
 *     shop->orders--;
 *     r = brood_lock_release(shop->lock);
 *
 *     The waiter:
 *
 *     r = brood_lock_acquire(shop->lock, BROOD_FOREVER);
 *     shop->orders++;
 *     r = brood_condition_notify(shop->changed, 1);
 *     r = brood_lock_release(shop->lock);
 *
 * Who waits gives the lock up and sleeps in one step: whoever acquires it then finds him
 * waiting. A notification goes to those who have waited longest, and to living ones only;
 * notifying waits for nobody. One that is killed between his notification and the moment he
 * has the lock again does not take the notification with him: it goes to another who waited
 * when it was given, within 100 ms.
 *
 * A death can also mean that the notification never comes, for whoever was to give it died
 * with the lock. When nobody else comes for that lock, one of those who wait does: his wait
 * ends with BROOD_LOCK_RECOVERED, though nobody notified him, within 100 ms.
 *
 * A condition belongs to no lock, but all who wait at one time should use the same one; it
 * must lie in the condition's segment. For all calls here -EINVAL is the answer to NULL where
 * a pointer is needed, to a timeout that is none, and to a pointer that is no condition or
 * lock; -EUSERS and -EXDEV are those of <brood/shared.h>. They are not repeated below.
 */
#ifndef BROOD_CONDITION_H
#define BROOD_CONDITION_H

#include <brood/base.h>
#include <brood/lock.h>
#include <brood/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_condition brood_condition;

/*
 * What brood_condition_wait_for() waits for, asked with the lock held. Returns 1 if it holds,
 * 0 if not; a negative errno ends the wait with that.
 */
typedef int brood_condition_function(void *user);

/*
 * Creates a condition in a segment, with 8 bytes for each member that the segment may have.
 * `shared` NULL: in the program's common one.
 *
 * Returns    0, with *ret_condition set.
 * Errors     -ENOSPC, -ENOMEM
 * Ownership  The condition belongs to the segment; give its memory back by
 *            brood_condition_destroy(), or leave it to the segment's end.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_condition_create(brood_shared *shared, brood_condition **ret_condition);

/*
 * Gives the memory of a condition back. Nobody may wait for it or come for it later.
 *
 * Returns    0, also for NULL.
 * Errors     -EBUSY (somebody waits, or has been notified and does not have the lock again)
 * Threads    One thread, when no other uses the condition.
 * Crash      The condition is there or gone.
 * Since      0.1
 */
BROOD_API int brood_condition_destroy(brood_condition *condition);

/*
 * Releases the lock, waits to be notified, for `timeout` at most, and acquires the lock
 * again: a recursive one with all its levels. Whatever it returns, the lock is held again,
 * but for -ENOTRECOVERABLE. Having it again may take longer than `timeout`.
 *
 * What one waited for may have changed again by then: look, or use
 * brood_condition_wait_for().
 *
 * Returns    0: notified; or BROOD_LOCK_RECOVERED: the lock is held, and its last holder
 *            died with it, see brood_lock_acquire(), whether or not anybody was notified.
 * Errors     -ETIMEDOUT (not notified), -EPERM (the calling thread does not hold the lock;
 *            nothing happened), -EXDEV (the lock is in another segment),
 *            -ENOTRECOVERABLE (the lock is poisoned, and not held)
 * Threads    The one that holds the lock.
 * Crash      Who is killed in here takes neither the lock nor a notification with him.
 * Since      0.1
 */
BROOD_API int brood_condition_wait(brood_condition *condition, brood_lock *lock,
                                   int64_t timeout);

/*
 * Waits until `predicate` holds, for `timeout` at most: asks it, and again after each
 * notification, and a last time when the time is over.
 *
 * Returns    0: it holds; or BROOD_LOCK_RECOVERED: the lock's last holder died with it, and
 *            the predicate was not asked, for what it looks at may be half-changed. Repair
 *            that, and call again.
 * Errors     -ETIMEDOUT (it does not hold), what the predicate returned, and those of
 *            brood_condition_wait()
 * Ownership  `user` stays the caller's.
 * Threads    The one that holds the lock. The predicate runs in it.
 * Crash      As in brood_condition_wait().
 * Since      0.1
 */
BROOD_API int brood_condition_wait_for(brood_condition *condition, brood_lock *lock,
                                       brood_condition_function *predicate, void *user,
                                       int64_t timeout);

/*
 * Notifies `count` of those who wait, or as many as there are, the longest waiting first.
 * Who does this without the lock may come between another's look and its wait.
 *
 * Returns    how many were notified.
 * Errors     -EINVAL (`count` is negative)
 * Threads    Any thread of any process, with the lock or without it. Does not wait.
 * Crash      Who is killed in here has notified so many of them as he got to; they know of
 *            it at the latest 100 ms after.
 * Since      0.1
 */
BROOD_API int brood_condition_notify(brood_condition *condition, int count);

/*
 * Notifies all who wait.
 *
 * Returns    how many were notified.
 * Threads    As with brood_condition_notify().
 * Crash      As with brood_condition_notify().
 * Since      0.1
 */
BROOD_API int brood_condition_notify_all(brood_condition *condition);

/*
 * How many wait and have not been notified. The dead do not count.
 *
 * Returns    the number.
 * Threads    Any thread of any process; exact if the caller holds the lock that those who
 *            wait use and none of them runs out of time meanwhile.
 * Since      0.1
 */
BROOD_API int brood_condition_waiters(brood_condition *condition);

#ifdef __cplusplus
}
#endif

#endif
