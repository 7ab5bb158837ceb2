/*
 * rwlock: many readers at a time, or one writer.
 *
 *     int r = brood_rwlock_acquire_read(office->timetable_lock, BROOD_FOREVER);
 *
 *     if (r == BROOD_LOCK_RECOVERED)
 *         repair(office);
 *     if (r >= 0) {
 *         show(office->timetable);
 *         r = brood_rwlock_release_read(office->timetable_lock);
 *     }
 *
 * It is held by threads. A reader that dies, by itself or with its process, is no reader any
 * more: writers go on without it. When a writer dies, what it wrote may be half-changed, and
 * the next one to come in hears BROOD_LOCK_RECOVERED, whether it reads or writes. It has the
 * lock alone, a reader too, until it releases: it may repair. Should it die before that, the
 * next one hears the same. A process may set a repair hook instead, which runs before the
 * acquire returns; a reader then shares the lock at once.
 *
 * Writers come first: from the moment a writer waits for readers to leave, no new reader
 * comes in. A reader that has the lock already may acquire it again even then, as often as
 * it will release it. Changing from one side to the other while holding it is -EDEADLK;
 * release first. Among each other writers are in no particular order, and writers that come
 * without a pause can keep readers out for long.
 *
 * For all calls here: -EINVAL is the answer to NULL, to a timeout that is none, and to a
 * pointer that is no rwlock; -EUSERS and -EXDEV are those of <brood/shared.h>. They are not
 * repeated below. A process that was forked holds nothing of what its parent holds.
 */
#ifndef BROOD_RWLOCK_H
#define BROOD_RWLOCK_H

#include <brood/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_rwlock brood_rwlock;

/*
 * Creates a lock for readers and writers in a segment. `shared` NULL: in the program's
 * common one. Takes 8 bytes for each thread that the segment has room for.
 *
 * Returns    0, with *ret_rwlock set.
 * Errors     -ENOSPC, -ENOMEM
 * Ownership  It belongs to the segment; give its memory back by brood_rwlock_destroy(), or
 *            leave it to the segment's end.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_rwlock_create(brood_shared *shared, brood_rwlock **ret_rwlock);

/*
 * Gives the memory of a lock back. Nobody may hold it, wait for it or come for it later.
 *
 * Returns    0, also for NULL.
 * Errors     -EBUSY (somebody holds it)
 * Threads    One thread, when no other uses the lock.
 * Crash      The lock is there or gone.
 * Since      0.1
 */
BROOD_API int brood_rwlock_destroy(brood_rwlock *rwlock);

/*
 * Acquires the lock for reading, waiting for `timeout` at most. A thread that has it for
 * reading gets it once more, without waiting.
 *
 * Returns    0; or BROOD_LOCK_RECOVERED: a writer died. If this process has a repair hook,
 *            it has repaired, and others may read too; otherwise the caller has the lock
 *            alone until its last brood_rwlock_release_read().
 * Errors     -ETIMEDOUT (a writer has it, or waits for it; at once with BROOD_NOWAIT),
 *            -EDEADLK (the calling thread has it for writing), -ENOTRECOVERABLE (poisoned),
 *            -EOVERFLOW (acquired 4 billion times by one thread)
 * Threads    Any thread of any process that has the segment.
 * Fork       A child does not hold what its parent holds.
 * Crash      Who is killed in here is no reader. If it was to repair, the next one is.
 * Since      0.1
 */
BROOD_API int brood_rwlock_acquire_read(brood_rwlock *rwlock, int64_t timeout);

/*
 * Acquires the lock for writing, waiting for `timeout` at most. While it waits for readers
 * to leave, no new ones come in.
 *
 * Returns    0; or BROOD_LOCK_RECOVERED: acquired, and an earlier writer died with it.
 * Errors     -ETIMEDOUT (somebody has it; at once with BROOD_NOWAIT), -EDEADLK (the calling
 *            thread has it, for reading or writing), -ENOTRECOVERABLE (poisoned)
 * Threads    Any thread of any process that has the segment.
 * Fork       A child does not hold what its parent holds.
 * Crash      Who is killed while it waits leaves the lock as it was; who is killed later
 *            hands it on as RECOVERED. Readers that die are missed no later than 100 ms
 *            after, and mostly within 1 ms.
 * Since      0.1
 */
BROOD_API int brood_rwlock_acquire_write(brood_rwlock *rwlock, int64_t timeout);

/*
 * Releases the lock after reading, once.
 *
 * Returns    0.
 * Errors     -EPERM (the calling thread does not have it for reading; nothing happened)
 * Threads    The one that acquired it.
 * Crash      Who is killed in here has released it; or, if it was to repair, may hand it on
 *            as RECOVERED.
 * Since      0.1
 */
BROOD_API int brood_rwlock_release_read(brood_rwlock *rwlock);

/*
 * Releases the lock after writing.
 *
 * Returns    0.
 * Errors     -EPERM (the calling thread does not have it for writing; nothing happened)
 * Threads    The one that acquired it.
 * Crash      Who is killed in here has released it, or hands it on as RECOVERED.
 * Since      0.1
 */
BROOD_API int brood_rwlock_release_write(brood_rwlock *rwlock);

/*
 * Gives up what the lock protects: releases it, and from now on everybody who wants it hears
 * -ENOTRECOVERABLE.
 *
 * Returns    0.
 * Errors     -EPERM (the calling thread does not have the lock alone, as a writer or as a
 *            reader that is to repair)
 * Threads    The one that acquired it.
 * Crash      The lock is poisoned, or is handed on as RECOVERED.
 * Since      0.1
 */
BROOD_API int brood_rwlock_poison(brood_rwlock *rwlock);

/*
 * Sets what this process runs when it acquires the lock, for reading or writing, after a
 * writer died, before the acquire returns; NULL removes it. It runs while nobody else has
 * the lock. If the repair fails, the lock is poisoned and the acquire says -ENOTRECOVERABLE.
 *
 * Returns    0.
 * Errors     -ENOMEM
 * Ownership  `user` stays the caller's, and must outlive the hook.
 * Threads    Any thread.
 * Fork       Children keep the hook; other processes set their own.
 * Crash      Who is killed in the hook hands the lock on unrepaired: the next one repairs.
 * Since      0.1
 */
BROOD_API int brood_rwlock_set_repair(brood_rwlock *rwlock, brood_repair_function *repair,
                                      void *user);

/*
 * Who has the lock alone: a writer, or a reader that is to repair. `since` is when anybody
 * first had to wait for it, or asked: it has been held for at least so long.
 *
 * Returns    1 with *ret_owner filled, which may be NULL; 0 if nobody has it alone.
 * Threads    Any thread; true for the moment.
 * Since      0.1
 */
BROOD_API int brood_rwlock_writer(brood_rwlock *rwlock, brood_owner *ret_owner);

/*
 * How many threads have the lock for reading. While a writer has it or waits for it, a thread
 * that is just being turned away may be counted.
 *
 * Returns    the number.
 * Threads    Any thread; true for the moment.
 * Since      0.1
 */
BROOD_API int brood_rwlock_readers(brood_rwlock *rwlock);

#ifdef __cplusplus
}
#endif

#endif
