/*
 * value, array: typed memory that processes share, with a lock of its own.
 *
 *     static int add_one(void *value, size_t value_bytes, void *user)
 *     {
 *         (void)value_bytes, (void)user;
 *         ++*(long *)value;
 *         return 0;
 *     }
 *
 *     brood_value *visitors;
 *     long zero = 0;
 *     int r = brood_value_create(NULL, sizeof zero, &zero, &visitors);
 *
 *     ... in any process:
 *     r = brood_value_update(visitors, add_one, NULL, BROOD_FOREVER);
 *
 * A value is some bytes, read, written and changed as a whole: who is killed in the middle
 * leaves the old ones or the new ones. An array is a row of elements, each of which is written
 * as a whole; so is a range of them up to BROOD_ARRAY_WHOLE_BYTES.
 *
 * Both have a recursive lock, which all calls take for themselves, and which the program may
 * take for longer work:
 *
 *     r = brood_lock_acquire(brood_array_lock(array), BROOD_FOREVER);
 *     if (r >= 0) {
 *         *(double *)brood_array_at(array, 0) += *(double *)brood_array_at(array, 1);
 *         r = brood_lock_release(brood_array_lock(array));
 *     }
 *
 * Calls that return BROOD_LOCK_RECOVERED, which is positive, have done what they were asked;
 * but the last one to have the lock died with it. What such a one did by calls is whole. What
 * it did by pointers may be half done: a program that does so looks at this answer, or sets a
 * repair by brood_lock_set_repair().
 *
 * For all calls here: -EINVAL is the answer to NULL, to a timeout that is none, and to a
 * pointer that is no value or array; -EUSERS and -EXDEV are those of <brood/shared.h>; and
 * those with a timeout may say -ETIMEDOUT (somebody has the lock), -ENOTRECOVERABLE (it was
 * poisoned) and -EOVERFLOW (acquired 4 billion times). They are not repeated below.
 */
#ifndef BROOD_VALUE_H
#define BROOD_VALUE_H

#include <brood/base.h>
#include <brood/lock.h>
#include <brood/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_value brood_value;
typedef struct brood_array brood_array;

/* A write of at most so many bytes to an array is whole; elements are, whatever their size. */
#define BROOD_ARRAY_WHOLE_BYTES 4096

/*
 * Creates a value of `value_bytes` in a segment (NULL: the program's common one), with what
 * `initial` points to in it, or zeroed if that is NULL.
 *
 * Returns    0, with *ret_value set.
 * Errors     -EINVAL (0 bytes, or absurdly many), -ENOSPC, -ENOMEM
 * Ownership  It belongs to the segment; give its memory back by brood_value_destroy(), or
 *            leave it to the segment's end. `initial` is copied.
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_value_create(brood_shared *shared, size_t value_bytes, const void *initial,
                                 brood_value **ret_value);

/*
 * Gives the memory of a value back. Nobody may use it meanwhile or later.
 *
 * Returns    0, also for NULL.
 * Errors     -EBUSY (somebody has its lock)
 * Threads    One thread, when no other uses the value.
 * Crash      The value is there or gone.
 * Since      0.1
 */
BROOD_API int brood_value_destroy(brood_value *value);

/*
 * Reads the value: brood_value_bytes() bytes.
 *
 * Returns    0, with them at `ret_bytes`; or BROOD_LOCK_RECOVERED, see above.
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here has changed nothing.
 * Since      0.1
 */
BROOD_API int brood_value_read(brood_value *value, void *ret_bytes, int64_t timeout);

/*
 * Writes the value: brood_value_bytes() bytes.
 *
 * Returns    0; or BROOD_LOCK_RECOVERED, see above.
 * Errors     -EBUSY (from inside an update of this very value)
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here has written all of it or nothing.
 * Since      0.1
 */
BROOD_API int brood_value_write(brood_value *value, const void *bytes, int64_t timeout);

/*
 * Changes the bytes of a copy of a value. Runs with the value's lock held. It may read the
 * value, which is still the old one, and use all that is not this value. Returns 0, or a
 * negative errno to leave the value as it was.
 */
typedef int brood_value_function(void *value, size_t value_bytes, void *user);

/*
 * Reads, changes and writes the value, with nobody in between.
 *
 * Returns    0; or BROOD_LOCK_RECOVERED, see above.
 * Errors     what `function` returned, then the value is as it was; -EBUSY (from inside an
 *            update of this very value)
 * Ownership  `user` is only passed on.
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here, or in `function`, leaves the old value or the new one.
 * Since      0.1
 */
BROOD_API int brood_value_update(brood_value *value, brood_value_function *function, void *user,
                                 int64_t timeout);

/*
 * Where the value lies at this moment, aligned to 64 bytes. Every write and update moves it:
 * hold the lock while using the pointer, and ask again after those.
 *
 * Returns    the pointer; NULL for what is no value.
 * Threads    Any thread; to use it, the one that holds the lock.
 * Crash      Who is killed while writing there leaves the value as half-changed as it was.
 * Since      0.1
 */
BROOD_API void *brood_value_pointer(brood_value *value);

/*
 * The lock of the value, recursive.
 *
 * Returns    the lock; NULL for what is no value.
 * Ownership  Borrowed for the life of the value: not to be destroyed.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API brood_lock *brood_value_lock(brood_value *value);

/*
 * How many bytes the value has.
 *
 * Returns    the count; 0 for what is no value.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API size_t brood_value_bytes(const brood_value *value);

/*
 * Creates an array of `element_count` elements of `element_bytes` each, with the elements
 * that `initial` points to in it, or zeroed if that is NULL.
 *
 * Returns    0, with *ret_array set.
 * Errors     -EINVAL (0 elements or bytes, or absurdly many), -ENOSPC, -ENOMEM
 * Ownership  As with brood_value_create().
 * Threads    Any thread.
 * Fork       Children have it, under the same pointer.
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_array_create(brood_shared *shared, size_t element_count,
                                 size_t element_bytes, const void *initial,
                                 brood_array **ret_array);

/*
 * Gives the memory of an array back. Nobody may use it meanwhile or later.
 *
 * Returns    0, also for NULL.
 * Errors     -EBUSY (somebody has its lock)
 * Threads    One thread, when no other uses the array.
 * Crash      The array is there or gone.
 * Since      0.1
 */
BROOD_API int brood_array_destroy(brood_array *array);

/*
 * Reads `count` elements from number `first` on.
 *
 * Returns    0, with them at `ret_elements`; or BROOD_LOCK_RECOVERED, see above.
 * Errors     -ERANGE (the array does not have them)
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here has changed nothing.
 * Since      0.1
 */
BROOD_API int brood_array_read(brood_array *array, size_t first, size_t count,
                               void *ret_elements, int64_t timeout);

/*
 * Writes `count` elements from number `first` on.
 *
 * Returns    0; or BROOD_LOCK_RECOVERED, see above.
 * Errors     -ERANGE (the array does not have them; nothing was written)
 * Threads    Any thread of any process that has the segment.
 * Crash      Who is killed in here has written all of it or nothing, up to
 *            BROOD_ARRAY_WHOLE_BYTES; of more, the elements up to some point.
 * Since      0.1
 */
BROOD_API int brood_array_write(brood_array *array, size_t first, size_t count,
                                const void *elements, int64_t timeout);

/*
 * Where an element lies, for as long as the array lives; those after it follow. The first one
 * is aligned to 64 bytes. Who has acquired the lock as BROOD_LOCK_RECOVERED must call this, or
 * read or write, before using pointers of earlier times: they finish what the dead one began.
 *
 * Returns    the pointer; NULL if the array does not have it, and for what is no array.
 * Threads    Any thread; to use it, the one that holds the lock.
 * Crash      Who is killed while writing there leaves what was written so far.
 * Since      0.1
 */
BROOD_API void *brood_array_at(brood_array *array, size_t index);

/*
 * The lock of the array, recursive.
 *
 * Returns    the lock; NULL for what is no array.
 * Ownership  Borrowed for the life of the array: not to be destroyed.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API brood_lock *brood_array_lock(brood_array *array);

/*
 * How many elements the array has.
 *
 * Returns    the count; 0 for what is no array.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API size_t brood_array_count(const brood_array *array);

/*
 * How many bytes an element has.
 *
 * Returns    the count; 0 for what is no array.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API size_t brood_array_element_bytes(const brood_array *array);

#ifdef __cplusplus
}
#endif

#endif
