/*
 * semaphore: so many at a time, and no permit is lost with whoever held it.
 *
 *     brood_semaphore *slots;
 *     int r = brood_semaphore_create(NULL, 4, NULL, &slots);
 *
 *     ... in any process:
 *     r = brood_semaphore_acquire(slots, BROOD_FOREVER);
 *     if (r == 0) {
 *         use_the_service();
 *         r = brood_semaphore_release(slots, 1);
 *     }
 *
 * A semaphore starts with `value` permits. Each permit that was acquired belongs to the
 * process that acquired it; when that is dead, however it died, its permits are there again.
 * Any thread of that process may release it. As what a permit protects is not known to be
 * whole by anybody, nobody is told of such a death: for that there is the lock.
 *
 * A process that releases more than it holds adds a permit, as far as `value_max` goes.
 * Without it a semaphore never has more permits than it started with, and -EOVERFLOW tells
 * of the mistake.
 *
 * With BROOD_SEMAPHORE_COUNTING a semaphore is a plain count, for signalling: one process
 * releases what another one acquires, nothing is owned, and nothing comes back.
 *
 * A semaphore lies in a segment and is used by plain pointers, as a lock is: see
 * <brood/lock.h>. For all calls here -EINVAL is the answer to NULL, and to a pointer that is
 * no semaphore; -EUSERS and -EXDEV are those of <brood/shared.h>, and not heard of counting
 * ones. They are not repeated below. A forked process holds none of its parent's permits; one
 * that calls exec() keeps its own to its end.
 */
#ifndef BROOD_SEMAPHORE_H
#define BROOD_SEMAPHORE_H

#include <brood/base.h>
#include <brood/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_semaphore brood_semaphore;

#define BROOD_SEMAPHORE_COUNTING 1u /* nobody owns a permit */

/* The most permits there can be: of owned ones, which take 8 bytes each, or 64 if they are no
 * more than 64; and of counting ones. */
#define BROOD_SEMAPHORE_OWNED_MAX 65536u
#define BROOD_SEMAPHORE_VALUE_MAX 0x7fffffffu

/* Start from BROOD_SEMAPHORE_OPTIONS_INIT. A zero field asks for its default. */
typedef struct brood_semaphore_options {
    size_t size;        /* sizeof(brood_semaphore_options) as the caller was compiled */
    uint32_t value_max; /* default: `value`; of counting ones BROOD_SEMAPHORE_VALUE_MAX */
    uint32_t flags;     /* BROOD_SEMAPHORE_* */
} brood_semaphore_options;
#define BROOD_SEMAPHORE_OPTIONS_INIT                                                           \
    {                                                                                          \
        sizeof(brood_semaphore_options), 0, 0                                                  \
    }

/*
 * Creates a semaphore with `value` permits in a segment. `shared` NULL: in the program's
 * common one; `options` NULL: all defaults.
 *
 * Returns    0, with *ret_semaphore set.
 * Errors     -EINVAL (unknown flags; `value` or `value_max` over the bounds above; `value`
 *            over `value_max`; owned permits, and both are 0), -E2BIG (options of a newer
 *            version), -ENOSPC, -ENOMEM
 * Ownership  The semaphore belongs to the segment; give its memory back by
 *            brood_semaphore_destroy(), or leave it to the segment's end.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_semaphore_create(brood_shared *shared, uint32_t value,
                                     const brood_semaphore_options *options,
                                     brood_semaphore **ret_semaphore);

/*
 * Gives the memory of a semaphore back. Nobody may wait for it or come for it later.
 *
 * Returns    0, also for NULL.
 * Threads    One thread, when no other uses the semaphore.
 * Crash      The semaphore is there or gone.
 * Since      0.1
 */
BROOD_API int brood_semaphore_destroy(brood_semaphore *semaphore);

/*
 * Acquires a permit, waiting for `timeout` at most. Who comes while others wait may be
 * served before them.
 *
 * Returns    0.
 * Errors     -ETIMEDOUT (there is none; at once with BROOD_NOWAIT), -EINVAL (a timeout that
 *            is none)
 * Threads    Any thread of any process that has the segment.
 * Fork       A child does not hold what its parent holds.
 * Crash      Who is killed in here has a permit or not; if so, it comes back. Permits of the
 *            dead are there at once for who does not wait, and for who does after 100 ms
 *            more at the latest.
 * Since      0.1
 */
BROOD_API int brood_semaphore_acquire(brood_semaphore *semaphore, int64_t timeout);

/*
 * Releases `count` permits: first those that the calling process holds, then new ones.
 *
 * Returns    0.
 * Errors     -EOVERFLOW (there would be more than `value_max`; nothing happened), -EINVAL
 *            (`count` is 0)
 * Threads    Any thread of any process; for a counting one, also any signal handler.
 * Fork       A child's release is not its parent's.
 * Crash      Who is killed in here has released some of them; the rest of those that it
 *            held comes back.
 * Since      0.1
 */
BROOD_API int brood_semaphore_release(brood_semaphore *semaphore, uint32_t count);

/*
 * How many permits there are to be had, exactly, at a moment of the call; those of the dead
 * are. While others use it without a pause, the best of many tries.
 *
 * Returns    the number.
 * Threads    Any thread of any process.
 * Since      0.1
 */
BROOD_API int brood_semaphore_value(brood_semaphore *semaphore);

#ifdef __cplusplus
}
#endif

#endif
