/*
 * barrier: so many wait for each other, again and again.
 *
 *     for (int step = 0; step < step_count; step++) {
 *         compute(own_part, step);
 *         r = brood_barrier_wait(office->barrier, brood_seconds(10), NULL);
 *         if (r < 0)
 *             break;
 *     }
 *
 * A barrier is for a number of parties, which are threads of any processes. Each waits until
 * all have come; then all go on, and the barrier is ready for the next round.
 *
 * It breaks when one that has come cannot go on with the others: when its time is over, when
 * it dies, or when brood_barrier_abort() or brood_barrier_reset() says so. Then all who wait
 * hear -EPIPE, and so does everybody who comes, until brood_barrier_reset() makes it good
 * again. The death of a party that is elsewhere, and has not come yet, is not noticed here:
 * wait with a timeout.
 *
 * For all calls here: -EINVAL is the answer to NULL, to a timeout that is none, and to a
 * pointer that is no barrier; -EUSERS and -EXDEV are those of <brood/shared.h>. They are not
 * repeated below.
 */
#ifndef BROOD_BARRIER_H
#define BROOD_BARRIER_H

#include <brood/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_barrier brood_barrier;

/*
 * What one party does for all. A negative errno says that it failed, which breaks the
 * barrier.
 */
typedef int brood_barrier_action(void *user);

/*
 * Creates a barrier for `parties` threads in a segment. `shared` NULL: in the program's
 * common one. Takes 8 bytes for each thread that the segment has room for.
 *
 * Returns    0, with *ret_barrier set.
 * Errors     -EINVAL (no parties, or more than the segment's members_max), -ENOSPC, -ENOMEM
 * Ownership  It belongs to the segment; give its memory back by brood_barrier_destroy(), or
 *            leave it to the segment's end.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_barrier_create(brood_shared *shared, uint32_t parties,
                                   brood_barrier **ret_barrier);

/*
 * Gives the memory of a barrier back. Everybody's last wait has returned, and nobody comes
 * later.
 *
 * Returns    0, also for NULL.
 * Errors     -EBUSY (somebody waits)
 * Threads    One thread, when no other uses the barrier.
 * Crash      The barrier is there or gone.
 * Since      0.1
 */
BROOD_API int brood_barrier_destroy(brood_barrier *barrier);

/*
 * Comes to the barrier, and waits until all parties have. If `timeout` passes before, the
 * barrier is broken; BROOD_NOWAIT is for who knows that the others wait already.
 *
 * Returns    0, with *ret_index, which may be NULL, set to how many came before: another
 *            number for each party of a round, from 0 to parties - 1.
 * Errors     -ETIMEDOUT (this call broke the barrier), -EPIPE (it is broken, or broke while
 *            waiting), -EDEADLK (the calling thread waits already: it is in an action)
 * Threads    Any thread of any process that has the segment.
 * Fork       A child made while another thread waits does not wait.
 * Crash      Who is killed in here breaks the barrier, unless all had come. The others hear
 *            it no later than 100 ms after, and mostly within 10 ms.
 * Since      0.1
 */
BROOD_API int brood_barrier_wait(brood_barrier *barrier, int64_t timeout, uint32_t *ret_index);

/*
 * The same; and if the calling thread is the last to come, it calls `action` before any of
 * them goes on. So if all parties wait in this way, one of them does what is to be done once.
 *
 * Returns    0, with *ret_index set as brood_barrier_wait() does.
 * Errors     what `action` returned if that is negative (the barrier is broken), and those
 *            of brood_barrier_wait(); -EPIPE also if the barrier broke during the action
 * Ownership  `user` stays the caller's.
 * Threads    Any thread of any process that has the segment. The action may call everything
 *            but a wait for this barrier.
 * Fork       A child made while another thread waits does not wait.
 * Crash      Who is killed in the action breaks the barrier.
 * Since      0.1
 */
BROOD_API int brood_barrier_wait_action(brood_barrier *barrier, brood_barrier_action *action,
                                        void *user, int64_t timeout, uint32_t *ret_index);

/*
 * Breaks the barrier: all who wait, and all who come, hear -EPIPE until it is reset.
 *
 * Returns    0, also if it is broken already.
 * Threads    Any thread of any process.
 * Crash      The barrier is broken or not. Those who wait may hear it up to 100 ms later.
 * Since      0.1
 */
BROOD_API int brood_barrier_abort(brood_barrier *barrier);

/*
 * Makes the barrier as good as new, at once. Those who wait hear -EPIPE. They may come again
 * without waiting for each other. So if it was broken, one party should reset it and not
 * each, or the second turns out those who came after the first: for example, whoever finds
 * brood_barrier_is_broken() while it holds a lock.
 *
 * Returns    0.
 * Threads    Any thread of any process.
 * Crash      Who is killed in here has reset the barrier, or broken it, or done nothing.
 * Since      0.1
 */
BROOD_API int brood_barrier_reset(brood_barrier *barrier);

/*
 * For how many parties the barrier is.
 *
 * Returns    the number.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_barrier_parties(brood_barrier *barrier);

/*
 * How many have come and wait for the others. 0 if the barrier is broken.
 *
 * Returns    the number.
 * Threads    Any thread; true for the moment. One of them found dead breaks the barrier.
 * Since      0.1
 */
BROOD_API int brood_barrier_waiting(brood_barrier *barrier);

/*
 * Whether the barrier is broken.
 *
 * Returns    1 or 0.
 * Threads    Any thread; true for the moment. One that waits and is found dead breaks it.
 * Since      0.1
 */
BROOD_API int brood_barrier_is_broken(brood_barrier *barrier);

#ifdef __cplusplus
}
#endif

#endif
