/*
 * map: a dictionary that processes share, from bytes to bytes.
 *
 *     brood_map *stock;
 *     int r = brood_map_create(NULL, NULL, &stock);
 *     long apples = 12;
 *
 *     r = brood_map_put(stock, "apples", 6, &apples, sizeof apples);
 *
 *     ... in any process:
 *     r = brood_map_get(stock, "apples", 6, &apples, sizeof apples, NULL);
 *
 * Keys and values are some bytes, copied in and out; any number of entries, of any sizes, as
 * long as the segment has memory. Each call is done as a whole, with nobody in between: who is
 * killed in it, at whatever instant, has done it or not, and nothing needs repair by the
 * program. Others wait for it no longer than for any call.
 *
 * What takes several calls, such as reading a value and writing a new one, is done under the
 * lock of its key, a lock table's (<brood/lock_table.h>), by brood_map_acquire() and
 * brood_map_release(), or in one by brood_map_update():
 *
 *     static int take_one(void *value, size_t *value_bytes, size_t value_bytes_max, void *user)
 *     {
 *         long *count = value;
 *
 *         (void)value_bytes_max, (void)user;
 *         *value_bytes = sizeof *count;
 *         return --*count < 0 ? -ENOENT : 0;
 *     }
 *
 *     r = brood_map_update(stock, "apples", 6, sizeof apples, take_one, NULL, BROOD_FOREVER);
 *
 * These locks keep those apart that ask for them. The other calls do not look at them.
 *
 * A map lies in a segment and is used by plain pointers, as a lock is: see <brood/lock.h>. For
 * all calls here: -EINVAL is the answer to NULL, to a key of 0 bytes or more than
 * BROOD_MAP_KEY_BYTES_MAX, and to a pointer that is no map; -EUSERS and -EXDEV are those of
 * <brood/shared.h>. They are not repeated below.
 */
#ifndef BROOD_MAP_H
#define BROOD_MAP_H

#include <brood/base.h>
#include <brood/lock_table.h>
#include <brood/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_map brood_map;

#define BROOD_MAP_KEY_BYTES_MAX 0x3fffffff

/* Start from BROOD_MAP_OPTIONS_INIT. A zero field asks for its default. */
typedef struct brood_map_options {
    size_t size;                 /* sizeof(brood_map_options) as the caller was compiled */
    uint32_t lock_records_max;   /* keys locked or waited for at one time, and... */
    uint32_t lock_key_bytes_max; /* ... longest key that can be locked: the `records_max` and
                                    `key_bytes_max` of brood_lock_table_options */
} brood_map_options;
#define BROOD_MAP_OPTIONS_INIT                                                                 \
    {                                                                                          \
        sizeof(brood_map_options), 0, 0                                                        \
    }

/* Where brood_map_next() is. Start from the initialiser; what is in it is the library's. */
typedef struct brood_map_cursor {
    uint64_t part;
    uint64_t order;
    uint64_t serial;
} brood_map_cursor;
#define BROOD_MAP_CURSOR_INIT                                                                  \
    {                                                                                          \
        0, 0, 0                                                                                \
    }

/*
 * Creates an empty map in a segment. `shared` NULL: in the program's common one; `options`
 * NULL: all defaults. A map takes 9 KiB, an entry some 90 bytes beside its key and value, and
 * the locks what they need when the first of them is asked for.
 *
 * Returns    0, with *ret_map set.
 * Errors     -EINVAL (over the limits), -E2BIG (options of a newer version), -ENOSPC, -ENOMEM
 * Ownership  The map belongs to the segment; give its memory back by brood_map_destroy(), or
 *            leave it to the segment's end.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_map_create(brood_shared *shared, const brood_map_options *options,
                               brood_map **ret_map);

/*
 * Gives the memory of a map and all its entries back. Nobody may use it meanwhile or later.
 *
 * Returns    0, also for NULL.
 * Errors     -EBUSY (somebody is in a call, or has the lock of a key)
 * Threads    One thread, when no other uses the map.
 * Crash      The map is gone, or is good for nothing but to be destroyed by another process.
 * Since      0.1
 */
BROOD_API int brood_map_destroy(brood_map *map);

/*
 * Puts an entry, in place of the one with this key if there is one.
 *
 * Returns    0.
 * Errors     -ENOSPC (then all is as it was)
 * Ownership  Key and value are copied. `value` may be NULL if it has 0 bytes.
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here leaves the old entry or the new one, whole.
 * Since      0.1
 */
BROOD_API int brood_map_put(brood_map *map, const void *key, size_t key_bytes,
                            const void *value, size_t value_bytes);

/*
 * Puts an entry if there is none with this key.
 *
 * Returns    0.
 * Errors     -EEXIST (there is one, and it stays), -ENOSPC
 * Ownership  As with brood_map_put().
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here has added the entry or not.
 * Since      0.1
 */
BROOD_API int brood_map_add(brood_map *map, const void *key, size_t key_bytes,
                            const void *value, size_t value_bytes);

/*
 * Copies the value of a key, which must fit into `capacity_bytes` as a whole. How many bytes
 * it has is told by *ret_value_bytes, unless that is NULL.
 *
 * Returns    0, with the value at `ret_value`.
 * Errors     -ENOENT (no such key), -EMSGSIZE (it has more bytes: *ret_value_bytes is set
 *            also then)
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here has changed nothing.
 * Since      0.1
 */
BROOD_API int brood_map_get(brood_map *map, const void *key, size_t key_bytes, void *ret_value,
                            size_t capacity_bytes, size_t *ret_value_bytes);

/*
 * Removes the entry of a key.
 *
 * Returns    0.
 * Errors     -ENOENT (no such key)
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here has removed it or not.
 * Since      0.1
 */
BROOD_API int brood_map_remove(brood_map *map, const void *key, size_t key_bytes);

/*
 * Whether there is an entry with this key.
 *
 * Returns    1 or 0.
 * Threads    Any thread; true for the moment.
 * Since      0.1
 */
BROOD_API int brood_map_contains(brood_map *map, const void *key, size_t key_bytes);

/*
 * How many entries there are.
 *
 * Returns    the number.
 * Threads    Any thread; exact as of a moment during the call.
 * Since      0.1
 */
BROOD_API int64_t brood_map_count(brood_map *map);

/*
 * Removes all entries, at one moment. Their memory is given back meanwhile, by whoever comes
 * by them.
 *
 * Returns    0.
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here has removed all or none.
 * Since      0.1
 */
BROOD_API int brood_map_clear(brood_map *map);

/*
 * Copies the entry after the cursor, in no particular order, and moves the cursor there. The
 * map may be changed meanwhile: each entry that is there from the first call to the last is
 * met once, whatever happens to its value; one that comes or goes meanwhile is met once or
 * not at all. The sizes are told also on -EMSGSIZE, with which the cursor stays where it was.
 *
 * Returns    1 with an entry, 0 if there is none left.
 * Errors     -EMSGSIZE (the key or the value has more bytes than its capacity)
 * Ownership  The cursor is the caller's; there is nothing to give back. A NULL buffer with
 *            capacity 0 leaves out the key or the value, whatever its size.
 * Threads    Any thread of any process that has the segment; one at a time a cursor.
 * Fork       A cursor may be copied, and used by any process.
 * Crash      Who is killed in here has changed nothing.
 * Since      0.1
 */
BROOD_API int brood_map_next(brood_map *map, brood_map_cursor *cursor, void *ret_key,
                             size_t key_capacity_bytes, size_t *ret_key_bytes, void *ret_value,
                             size_t value_capacity_bytes, size_t *ret_value_bytes);

/*
 * Acquires the lock of a key, whether there is an entry or not: brood_lock_table_acquire() on
 * the map's locks.
 *
 * Returns    0; or, with the lock, BROOD_LOCK_RECOVERED or BROOD_LOCK_TABLE_RECOVERED: one
 *            who had it exclusively died with it, maybe between two changes.
 * Errors     those of brood_lock_table_acquire(), and the first time -ENOMEM
 * Threads    Any thread of any process that has the segment.
 * Fork       A child does not hold what its parent holds.
 * Crash      Who is killed in here has the lock or not, and if so hands it on as above.
 * Since      0.1
 */
BROOD_API int brood_map_acquire(brood_map *map, const void *key, size_t key_bytes,
                                uint32_t mode, int64_t timeout);

/*
 * Releases the lock of a key, once.
 *
 * Returns    0.
 * Errors     -EPERM (the calling thread does not have it)
 * Threads    The one that acquired it.
 * Crash      Who is killed in here has released it, or hands it on as above.
 * Since      0.1
 */
BROOD_API int brood_map_release(brood_map *map, const void *key, size_t key_bytes);

/*
 * The locks of the map's keys, for what else a lock table can do.
 *
 * Returns    0, with *ret_locks set.
 * Errors     -ENOSPC, -ENOMEM
 * Ownership  Borrowed for the life of the map: not to be destroyed.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_map_locks(brood_map *map, brood_lock_table **ret_locks);

#define BROOD_MAP_REMOVE 1

/*
 * Makes a new value of the old one, in `value`, which is aligned to 16 bytes. There are
 * *value_bytes of the old one, 0 if there is no entry, and zeros after them up to
 * `value_bytes_max`. Runs with the lock of the key held, and may use all of the library; but
 * what it puts under this very key is replaced by what it returns.
 * Returns 0 with *value_bytes set to the size of the new one; BROOD_MAP_REMOVE to have the
 * entry removed; or a negative errno to leave it as it was.
 */
typedef int brood_map_function(void *value, size_t *value_bytes, size_t value_bytes_max,
                               void *user);

/*
 * Reads, changes and puts the value of a key, under its lock.
 *
 * Returns    what brood_map_acquire() returned: 0, or a kind of success.
 * Errors     those of brood_map_acquire(); what `function` returned (a positive value it has
 *            no right to: -EINVAL); -EMSGSIZE (the old value
 *            has more than `value_bytes_max`), -EOVERFLOW (the new one would), -ENOSPC. After
 *            a failure the entry is as it was.
 * Ownership  `user` is only passed on.
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here, or in `function`, leaves the old value or the new one.
 * Since      0.1
 */
BROOD_API int brood_map_update(brood_map *map, const void *key, size_t key_bytes,
                               size_t value_bytes_max, brood_map_function *function, void *user,
                               int64_t timeout);

#ifdef __cplusplus
}
#endif

#endif
