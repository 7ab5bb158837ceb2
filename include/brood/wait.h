/*
 * wait: several things at once, and descriptors for event loops.
 *
 *     const brood_waitable items[] = {
 *         { .object = office->closing },
 *         { .object = office->lock },
 *     };
 *     size_t which;
 *     int r = brood_wait_any(items, 2, brood_seconds(10), &which);
 *
 *     if (r >= 0 && which == 1) {
 *         office->tickets--;
 *         r = brood_lock_release(office->lock);
 *     }
 *
 * brood_wait_any() waits until one of several can be had, and takes it: a lock, a place as
 * reader or writer, a permit. Events, conditions and barriers are there to be seen, and are
 * not changed. All must lie in one segment. For processes there is brood_process_wait_any().
 *
 * A program that waits in an event loop gets a descriptor for an object instead, and takes
 * the object when the descriptor is readable.
 *
 * What comes for one of several objects is looked at by all who wait for several in the same
 * segment: dozens of such waits are fine, thousands are not.
 *
 * For all calls here: -EINVAL is the answer to NULL, and to a pointer that is none of the
 * kinds; -EUSERS and -EXDEV are also those of <brood/shared.h>. They are not repeated below.
 */
#ifndef BROOD_WAIT_H
#define BROOD_WAIT_H

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BROOD_WAIT_ITEMS_MAX 64

/* For `what`. 0 is the obvious: acquire a lock, acquire a permit of a semaphore, see an event
 * set, see a condition notified, see a barrier let its parties go or break. */
#define BROOD_WAIT_READ 1u  /* acquire a brood_rwlock for reading */
#define BROOD_WAIT_WRITE 2u /* acquire it for writing */

typedef struct brood_waitable {
    void *object;      /* NULL: passed over */
    uint32_t what;     /* BROOD_WAIT_*, for a brood_rwlock; otherwise 0 */
    uint32_t reserved; /* 0 */
    uint64_t seen;     /* since when: 0, the start of the wait, or what brood_wait_mark() set */
} brood_waitable;

/*
 * Waits until one of `count` items can be had, and takes it. If there are several, the first
 * of them.
 *
 *     a lock        is acquired, as by brood_lock_acquire()
 *     an rwlock     is acquired for reading or writing, as `what` says
 *     a semaphore   one permit is acquired
 *     an event      is set, or was at some moment since `seen`
 *     a condition   was notified since `seen`, whether anybody waited for it or not
 *     a barrier     let its parties go, was broken, or was reset since `seen`
 *
 * Returns    0, or BROOD_LOCK_RECOVERED as the acquire would, with the index in *ret_index.
 * Errors     -ETIMEDOUT (none could be had; at once with BROOD_NOWAIT), -EINVAL (no item that
 *            is not NULL, more than BROOD_WAIT_ITEMS_MAX, a `what` that does not fit, a
 *            timeout that is none), -EXDEV (not all in one segment). What the acquire of an
 *            item says, -EDEADLK and -ENOTRECOVERABLE, ends the wait: then too *ret_index
 *            tells which.
 * Threads    Any thread of any process that has the segment.
 * Fork       As with the items.
 * Crash      Who is killed in here has one of the items or none, and hands it on as the item
 *            says. The death of one who holds an item is noticed no later than 100 ms after,
 *            and mostly within 1 ms.
 * Since      0.1
 */
BROOD_API int brood_wait_any(const brood_waitable *items, size_t count, int64_t timeout,
                             size_t *ret_index);

/*
 * Notes in `seen` of each item where its event, condition or barrier stands now, so that a
 * later brood_wait_any() also sees what happened before it began. To wait until something is
 * so that a condition stands for: mark; look, with the lock held; release the lock; wait; and
 * again.
 *
 * Returns    0.
 * Errors     -EINVAL, as of brood_wait_any(); nothing was noted
 * Threads    Any thread; `items` is written to.
 * Since      0.1
 */
BROOD_API int brood_wait_mark(brood_waitable *items, size_t count);

/*
 * Makes a descriptor that poll() and its kin find readable when an object can be had, as
 * brood_wait_any() says; it is an eventfd(2), close-on-exec and nonblocking.
 *
 * For a lock, an rwlock, a semaphore or an event it is readable as long as the object can be
 * had. It only tells: others may be faster, so take with BROOD_NOWAIT, best by
 * brood_wait_any(), which also corrects this process's descriptors of what it took or did
 * not get. Otherwise a descriptor may say that an object can be had for 100 ms after it was
 * taken; the other way round it is late by no more than a wake. Do not read from it.
 *
 * For a condition or a barrier it becomes readable when something happens, and stays so
 * until 8 bytes are read from it, whose value means nothing.
 *
 * The first descriptor of a process starts a thread, named brood-watcher, with all signals
 * blocked, which ends with the last one. It counts as a member of the segment. Close the
 * descriptor before the object is destroyed or its segment detached.
 *
 * Returns    0, with *ret_fd set.
 * Errors     -EINVAL (a `what` that does not fit), -EMFILE, -ENFILE, -ENOMEM, -EAGAIN (no
 *            thread can be made)
 * Ownership  Give it up by brood_wait_descriptor_close(), not by close().
 * Threads    Any thread.
 * Fork       Closed in a forked child, which makes its own.
 * Crash      Nothing of it is shared: it goes with its process.
 * Since      0.1
 */
BROOD_API int brood_wait_descriptor(void *object, uint32_t what, int *ret_fd);

/*
 * Closes a descriptor that brood_wait_descriptor() made.
 *
 * Returns    0.
 * Errors     -EBADF (none that this process made; nothing happened)
 * Threads    Any thread, when no other uses the descriptor.
 * Since      0.1
 */
BROOD_API int brood_wait_descriptor_close(int fd);

#ifdef __cplusplus
}
#endif

#endif
