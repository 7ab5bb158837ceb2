/*
 * lock_table: locks by key, for rows of data of which there are too many to have a lock each.
 *
 *     int r = brood_lock_table_acquire(rows, &train, sizeof train, BROOD_LOCK_EXCLUSIVE,
 *                                      brood_seconds(1), NULL);
 *
 *     if (r >= 0) {
 *         tickets[train]--;
 *         r = brood_lock_table_release(rows, &train, sizeof train);
 *     }
 *
 * A key is some bytes; there may be any number of different ones, for the table keeps a
 * record only of those that are held or waited for. A row is held shared by any number of
 * threads, or exclusively by one. Waiting threads get it in the order in which they came; a
 * thread that has a row shared and wants it exclusively goes before them.
 *
 * A lock belongs to the thread that acquired it. It may acquire it again, and then has to
 * release it as often; it stays in the strongest mode asked for until the last release.
 *
 * The table as a whole is locked too. Whoever locks a row says so at the table by an
 * intention, which the library takes and gives back by itself; so a thread can lock all rows
 * at once, by locking the table shared or exclusively, and waits for the rows that are in its
 * way. These go together at the table (Gray and others, 1976):
 *
 *                                    IS   IX   S    SIX  X
 *     IS   has rows shared           yes  yes  yes  yes  -
 *     IX   has rows exclusively      yes  yes  -    -    -
 *     S    has all rows shared       yes  -    yes  -    -
 *     SIX  both of the above         yes  -    -    -    -
 *     X    has all rows exclusively  -    -    -    -    -
 *
 * A wait that could never end, because the others in its way wait for the caller, is not
 * begun: the call says -EDEADLK and who waits for whom. This looks at one table; of waits
 * for other things the table knows nothing, and there a timeout is what helps.
 *
 * When a thread or process dies, what it held is free at once for those who come, and within
 * 100 ms for those who wait. What it held exclusively is marked: everyone who acquires it
 * hears BROOD_LOCK_RECOVERED, until somebody who has it exclusively, and so could put it
 * right, has released it in order.
 *
 * For all calls here: -EINVAL is the answer to NULL, to a key of 0 bytes or of more than
 * `key_bytes_max`, to a timeout or mode that is none, and to a pointer that is no lock table;
 * -EUSERS and -EXDEV are those of <brood/shared.h>. They are not repeated below. A process
 * that was forked holds none of its parent's locks.
 */
#ifndef BROOD_LOCK_TABLE_H
#define BROOD_LOCK_TABLE_H

#include <brood/base.h>
#include <brood/lock.h>
#include <brood/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_lock_table brood_lock_table;

/* Modes. Rows know two of them, the table all. */
#define BROOD_LOCK_INTEND_SHARED 1           /* IS */
#define BROOD_LOCK_INTEND_EXCLUSIVE 2        /* IX */
#define BROOD_LOCK_SHARED 3                  /* S */
#define BROOD_LOCK_SHARED_INTEND_EXCLUSIVE 4 /* SIX */
#define BROOD_LOCK_EXCLUSIVE 5               /* X */

/* A kind of success: the row is locked, and one who had the whole table exclusively died with
 * it. All rows say so until the table has been locked exclusively and released. */
#define BROOD_LOCK_TABLE_RECOVERED 2

/* Start from BROOD_LOCK_TABLE_OPTIONS_INIT. A zero field asks for its default. */
typedef struct brood_lock_table_options {
    size_t size;            /* sizeof(brood_lock_table_options) as the caller was compiled */
    uint32_t records_max;   /* rows held, waited for or marked at one time, each thread's
                               counted: 1024; at most 16,777,216 */
    uint32_t key_bytes_max; /* longest key: 64; at most 4096; each record has so many bytes
                               and 56 more */
} brood_lock_table_options;
#define BROOD_LOCK_TABLE_OPTIONS_INIT                                                          \
    {                                                                                          \
        sizeof(brood_lock_table_options), 0, 0                                                 \
    }

#define BROOD_DEADLOCK_MEMBERS 16
#define BROOD_DEADLOCK_KEY_BYTES 64

/* One who waits, and what for: the next member has it, or is before it in the queue; the last
 * one waits for the first, which is the caller. */
typedef struct brood_deadlock_member {
    int pid;
    int tid;
    char name[32];                               /* of the process */
    uint32_t mode;                               /* that it waits for */
    uint32_t key_bytes;                          /* 0: it waits for the table */
    unsigned char key[BROOD_DEADLOCK_KEY_BYTES]; /* the first bytes of a longer one */
} brood_deadlock_member;

/* Set `size` to sizeof(brood_deadlock), or start from the initialiser. */
typedef struct brood_deadlock {
    size_t size;
    uint32_t count; /* how many the cycle has, at least 2; those that fit are listed */
    brood_deadlock_member members[BROOD_DEADLOCK_MEMBERS];
} brood_deadlock;
#define BROOD_DEADLOCK_INIT                                                                    \
    {                                                                                          \
        sizeof(brood_deadlock), 0,                                                             \
        {                                                                                      \
            {                                                                                  \
                0, 0, { 0 }, 0, 0,                                                             \
                {                                                                              \
                    0                                                                          \
                }                                                                              \
            }                                                                                  \
        }                                                                                      \
    }

/*
 * Creates a lock table in a segment. `shared` NULL: in the program's common one; `options`
 * NULL: all defaults.
 *
 * Returns    0, with *ret_table set.
 * Errors     -EINVAL (over the limits), -E2BIG (options of a newer version), -ENOSPC, -ENOMEM
 * Ownership  The table belongs to the segment; give its memory back by
 *            brood_lock_table_destroy(), or leave it to the segment's end.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_lock_table_create(brood_shared *shared,
                                      const brood_lock_table_options *options,
                                      brood_lock_table **ret_table);

/*
 * Gives the memory of a table back. Nobody may hold any of its locks, wait for one or come
 * for one later.
 *
 * Returns    0, also for NULL.
 * Errors     -EBUSY (somebody has a lock, or waits)
 * Threads    One thread, when no other uses the table.
 * Crash      The table is there or gone.
 * Since      0.1
 */
BROOD_API int brood_lock_table_destroy(brood_lock_table *table);

/*
 * Locks the row of a key, BROOD_LOCK_SHARED or BROOD_LOCK_EXCLUSIVE, waiting for `timeout`
 * at most. If the calling thread has it shared and wants it exclusively, others may not have
 * it shared; on failure it still has it as before.
 *
 * Returns    0; or, with the lock, BROOD_LOCK_RECOVERED (one who had the row exclusively died
 *            with it) or BROOD_LOCK_TABLE_RECOVERED (one who had the table so did).
 * Errors     -ETIMEDOUT (somebody is in the way; at once with BROOD_NOWAIT), -EDEADLK (those
 *            in the way wait for the caller; *ret_cycle, which may be NULL, says how),
 *            -ENOSPC (`records_max` rows are locked or waited for), -EOVERFLOW (acquired 4
 *            billion times). After a failure nothing was acquired.
 * Ownership  `key` stays the caller's.
 * Threads    Any thread of any process that has the segment.
 * Fork       A child does not hold what its parent holds.
 * Crash      Who is killed in here has the lock or not, and if so hands it on as above.
 * Since      0.1
 */
BROOD_API int brood_lock_table_acquire(brood_lock_table *table, const void *key,
                                       size_t key_bytes, uint32_t mode, int64_t timeout,
                                       brood_deadlock *ret_cycle);

/*
 * Releases the row of a key, once.
 *
 * Returns    0.
 * Errors     -EPERM (the calling thread does not have it; nothing happened)
 * Threads    The one that acquired it.
 * Crash      Who is killed in here has released it, or hands it on as above.
 * Since      0.1
 */
BROOD_API int brood_lock_table_release(brood_lock_table *table, const void *key,
                                       size_t key_bytes);

/*
 * Releases all that the calling thread has, rows and table, however often it acquired them.
 *
 * Returns    how many locks these were.
 * Threads    Any thread.
 * Crash      Who is killed in here has released some; the rest is handed on as above.
 * Since      0.1
 */
BROOD_API int brood_lock_table_release_all(brood_lock_table *table);

/*
 * Locks the table as a whole, in any mode: BROOD_LOCK_SHARED is as good as having all rows
 * shared, BROOD_LOCK_EXCLUSIVE as having all of them exclusively. What the thread has already
 * is added: shared, with rows held exclusively, is BROOD_LOCK_SHARED_INTEND_EXCLUSIVE. Taking
 * an intention is never needed; taken early, it keeps others from locking the whole table
 * between two rows.
 *
 * Returns    0; or BROOD_LOCK_RECOVERED: locked, and the table or any row is marked. To
 *            release the table after having had it exclusively removes all these marks.
 * Errors     -ETIMEDOUT, -EDEADLK, -EOVERFLOW: as brood_lock_table_acquire()
 * Threads    Any thread of any process that has the segment.
 * Fork       A child does not hold what its parent holds.
 * Crash      Who is killed in here has the lock or not, and if so hands it on as above.
 * Since      0.1
 */
BROOD_API int brood_lock_table_acquire_table(brood_lock_table *table, uint32_t mode,
                                             int64_t timeout, brood_deadlock *ret_cycle);

/*
 * Releases what brood_lock_table_acquire_table() locked, once. Rows stay locked.
 *
 * Returns    0.
 * Errors     -EPERM (the calling thread does not have it; nothing happened)
 * Threads    The one that acquired it.
 * Crash      Who is killed in here has released it, or hands it on as above.
 * Since      0.1
 */
BROOD_API int brood_lock_table_release_table(brood_lock_table *table);

/*
 * Who has the row of a key; of several, one. `key` NULL with 0 bytes
 * asks for the table. `since` is not noted, and 0.
 *
 * Returns    the mode with *ret_owner filled, which may be NULL; 0 if nobody has it.
 * Threads    Any thread; true for the moment.
 * Since      0.1
 */
BROOD_API int brood_lock_table_owner(brood_lock_table *table, const void *key, size_t key_bytes,
                                     brood_owner *ret_owner);

/*
 * Whether the calling thread has the row of a key; `key` NULL with 0 bytes asks for the
 * table, where an intention of its rows counts too.
 *
 * Returns    the mode, or 0 if it does not.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_lock_table_held(brood_lock_table *table, const void *key, size_t key_bytes);

/*
 * How many of the table's `records_max` records are in use: for rows held, waited for and
 * marked. What the dead had is taken away first.
 *
 * Returns    the number.
 * Threads    Any thread; true for the moment.
 * Since      0.1
 */
BROOD_API int brood_lock_table_count(brood_lock_table *table);

#ifdef __cplusplus
}
#endif

#endif
