/*
 * lock: one process at a time, and a lock that outlives its holder.
 *
 *     int r = brood_lock_acquire(office->lock, BROOD_FOREVER);
 *
 *     if (r == BROOD_LOCK_RECOVERED)
 *         repair(office);
 *     if (r >= 0) {
 *         office->tickets--;
 *         r = brood_lock_release(office->lock);
 *     }
 *
 * A lock is held by a thread. When a thread, or its whole process, dies with the lock, the
 * next one to acquire it gets it at once, with the answer BROOD_LOCK_RECOVERED: what the
 * lock protects may be half-changed. Whoever dies before it is released in order hands the
 * same answer on. A process may set a repair hook instead, which runs before the acquire
 * returns.
 *
 * Locks, and the other nouns of this family, lie in a segment (<brood/shared.h>) and are
 * used by plain pointers, which forked children have too; another process finds them by
 * their place. They work between threads of one process as well. Threads wait in no
 * particular order.
 *
 * For all calls here: -EINVAL is the answer to NULL, to a timeout that is none, and to a
 * pointer that is no lock; -EUSERS and -EXDEV are those of <brood/shared.h>. They are not
 * repeated below. A process that was forked holds none of its parent's locks.
 */
#ifndef BROOD_LOCK_H
#define BROOD_LOCK_H

#include <brood/base.h>
#include <brood/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_lock brood_lock;

/* A kind of success: the lock is held, and its last holder died with it. */
#define BROOD_LOCK_RECOVERED 1

/* For `flags`. */
#define BROOD_LOCK_RECURSIVE 1u /* its holder may acquire it again */
#define BROOD_LOCK_TIMED 2u     /* notes each acquire's time, for brood_lock_owner(): 20 ns */

/* Start from BROOD_LOCK_OPTIONS_INIT. */
typedef struct brood_lock_options {
    size_t size;    /* sizeof(brood_lock_options) as the caller was compiled */
    uint32_t flags; /* BROOD_LOCK_* */
} brood_lock_options;
#define BROOD_LOCK_OPTIONS_INIT                                                                \
    {                                                                                          \
        sizeof(brood_lock_options), 0                                                          \
    }

/*
 * Puts right what a lock protects after its holder died. Runs with the lock held. Returns 0,
 * or a negative errno if it could not: then the lock is poisoned.
 */
typedef int brood_repair_function(void *user);

/* Set `size` to sizeof(brood_owner), or start from the initialiser. */
typedef struct brood_owner {
    size_t size;
    int pid;
    int tid;
    char name[32]; /* of the process */
    int64_t since; /* CLOCK_MONOTONIC, in nanoseconds: see brood_lock_owner() */
} brood_owner;
#define BROOD_OWNER_INIT                                                                       \
    {                                                                                          \
        sizeof(brood_owner), 0, 0, { 0 }, 0                                                    \
    }

/*
 * Creates a lock in a segment. `shared` NULL: in the program's common one; `options` NULL:
 * all defaults.
 *
 * Returns    0, with *ret_lock set.
 * Errors     -EINVAL (unknown flags), -E2BIG (options of a newer version), -ENOSPC, -ENOMEM
 * Ownership  The lock belongs to the segment; give its memory back by brood_lock_destroy(),
 *            or leave it to the segment's end.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_lock_create(brood_shared *shared, const brood_lock_options *options,
                                brood_lock **ret_lock);

/*
 * Creates a recursive lock: brood_lock_create() with BROOD_LOCK_RECURSIVE. All calls for
 * locks take it.
 *
 * Returns    0, with *ret_lock set.
 * Errors     those of brood_lock_create()
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_rlock_create(brood_shared *shared, brood_lock **ret_lock);

/*
 * Gives the memory of a lock back. Nobody may hold it, wait for it or come for it later.
 *
 * Returns    0, also for NULL.
 * Errors     -EBUSY (somebody holds it)
 * Threads    One thread, when no other uses the lock.
 * Crash      The lock is there or gone.
 * Since      0.1
 */
BROOD_API int brood_lock_destroy(brood_lock *lock);

/*
 * Acquires the lock, waiting for `timeout` at most.
 *
 * Returns    0; or BROOD_LOCK_RECOVERED: acquired, the last holder died with it.
 * Errors     -ETIMEDOUT (somebody holds it; at once with BROOD_NOWAIT), -EDEADLK (the
 *            calling thread holds it, and it is not recursive), -ENOTRECOVERABLE
 *            (poisoned), -EOVERFLOW (acquired 4 billion times by one holder)
 * Threads    Any thread of any process that has the segment.
 * Fork       A child does not hold what its parent holds.
 * Crash      Who is killed in here has the lock or not, and if so hands it on as above, at
 *            the latest 100 ms after.
 * Since      0.1
 */
BROOD_API int brood_lock_acquire(brood_lock *lock, int64_t timeout);

/*
 * Releases the lock.
 *
 * Returns    0.
 * Errors     -EPERM (the calling thread does not hold it; nothing happened)
 * Threads    The one that acquired it.
 * Crash      Who is killed in here has released it, or hands it on as RECOVERED.
 * Since      0.1
 */
BROOD_API int brood_lock_release(brood_lock *lock);

/*
 * Gives up what the lock protects: releases it, and from now on everybody who wants it hears
 * -ENOTRECOVERABLE.
 *
 * Returns    0.
 * Errors     -EPERM (the calling thread does not hold it)
 * Threads    The one that acquired it.
 * Crash      The lock is poisoned, or is handed on as RECOVERED.
 * Since      0.1
 */
BROOD_API int brood_lock_poison(brood_lock *lock);

/*
 * Sets what this process runs when it acquires the lock of one that died, before the acquire
 * returns; NULL removes it. If the repair fails, the lock is poisoned and the acquire says
 * -ENOTRECOVERABLE.
 *
 * Returns    0.
 * Errors     -ENOMEM
 * Ownership  `user` stays the caller's, and must outlive the hook.
 * Threads    Any thread.
 * Fork       Children keep the hook; other processes set their own.
 * Crash      Who is killed in the hook hands the lock on unrepaired: the next one repairs.
 * Since      0.1
 */
BROOD_API int brood_lock_set_repair(brood_lock *lock, brood_repair_function *repair,
                                    void *user);

/*
 * Who holds the lock. `since` is when it was acquired if the lock is BROOD_LOCK_TIMED, and
 * otherwise when anybody first had to wait for it, or asked: the holder has it for at least
 * so long.
 *
 * Returns    1 with *ret_owner filled, which may be NULL; 0 if nobody holds it.
 * Threads    Any thread; true for the moment.
 * Since      0.1
 */
BROOD_API int brood_lock_owner(brood_lock *lock, brood_owner *ret_owner);

#ifdef __cplusplus
}
#endif

#endif
