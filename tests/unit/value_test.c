/*
 * Values: what is in them, whole changes, the lock, and memory given back. Method: one
 * process, and threads where two are needed.
 */
#include "test.h"

#include <brood.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The segment that the case works in; made by the first who asks. */
static brood_shared *segment;

static brood_shared *here(void)
{
    if (segment == NULL)
        assert_int_equal(brood_shared_create(NULL, &segment), 0);
    return segment;
}

static void end(void)
{
    brood_shared_detach(segment);
}

static size_t used(void)
{
    brood_shared_info info = BROOD_SHARED_INFO_INIT;

    assert_int_equal(brood_shared_info_get(here(), &info), 0);
    return info.used_bytes;
}

static brood_value *value_of(const void *initial, size_t bytes)
{
    brood_value *value = NULL;

    assert_int_equal(brood_value_create(here(), bytes, initial, &value), 0);
    assert_non_null(value);
    return value;
}

static long number_in(brood_value *value)
{
    long number = -1;

    assert_int_equal(brood_value_read(value, &number, BROOD_NOWAIT), 0);
    return number;
}

static int add_one(void *value, size_t value_bytes, void *user)
{
    long *number = value;

    assert_int_equal(value_bytes, sizeof *number);
    if (user != NULL)
        ++*(int *)user;
    ++*number;
    return 0;
}

static void starts_with_what_is_given(void **state)
{
    const char text[] = "with a zero \0 inside";
    char found[sizeof text];
    brood_value *value = value_of(text, sizeof text);

    (void)state;
    assert_int_equal(brood_value_bytes(value), sizeof text);
    assert_int_equal(brood_value_read(value, found, BROOD_FOREVER), 0);
    assert_memory_equal(found, text, sizeof text);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

/* Also where the memory was used for something else before. */
static void starts_with_zeros(void **state)
{
    unsigned char found[300], full[300];

    (void)state;
    memset(full, 0xff, sizeof full);
    for (int i = 0; i < 10; i++) {
        brood_value *value = value_of(NULL, sizeof found);

        assert_int_equal(brood_value_read(value, found, BROOD_FOREVER), 0);
        for (size_t k = 0; k < sizeof found; k++)
            assert_int_equal(found[k], 0);
        assert_int_equal(brood_value_write(value, full, BROOD_FOREVER), 0);
        assert_int_equal(brood_value_write(value, full, BROOD_FOREVER), 0);
        assert_int_equal(brood_value_destroy(value), 0);
    }
    end();
}

static void holds_what_was_written_last(void **state)
{
    brood_value *value = value_of(NULL, sizeof(long));

    (void)state;
    for (long i = 0; i < 10; i++) {
        assert_int_equal(brood_value_write(value, &i, BROOD_NOWAIT), 0);
        assert_int_equal(number_in(value), i);
        assert_int_equal(*(long *)brood_value_pointer(value), i);
    }
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

static void update_changes_what_is_there(void **state)
{
    long start = 41;
    int calls = 0;
    brood_value *value = value_of(&start, sizeof start);

    (void)state;
    assert_int_equal(brood_value_update(value, add_one, &calls, BROOD_FOREVER), 0);
    assert_int_equal(number_in(value), 42);
    assert_int_equal(calls, 1);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

static int spoil_and_fail(void *value, size_t value_bytes, void *user)
{
    (void)user;
    memset(value, 0xee, value_bytes);
    return -ECANCELED;
}

static void an_update_that_fails_changes_nothing(void **state)
{
    long start = 7;
    brood_value *value = value_of(&start, sizeof start);

    (void)state;
    assert_int_equal(brood_value_update(value, spoil_and_fail, NULL, BROOD_NOWAIT), -ECANCELED);
    assert_int_equal(number_in(value), 7);
    assert_int_equal(brood_value_update(value, add_one, NULL, BROOD_NOWAIT), 0);
    assert_int_equal(number_in(value), 8);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

/* Sees the old value, and may not write it another way. */
static int look_inside(void *value, size_t value_bytes, void *user)
{
    brood_value *outer = user;
    long other = 1000;

    (void)value_bytes;
    *(long *)value = 5;
    assert_int_equal(number_in(outer), 4);
    assert_int_equal(brood_value_write(outer, &other, BROOD_NOWAIT), -EBUSY);
    assert_int_equal(brood_value_update(outer, add_one, NULL, BROOD_NOWAIT), -EBUSY);
    return 0;
}

static void an_update_sees_the_old_value_and_keeps_others_out(void **state)
{
    long start = 4;
    brood_value *value = value_of(&start, sizeof start);

    (void)state;
    assert_int_equal(brood_value_update(value, look_inside, value, BROOD_NOWAIT), 0);
    assert_int_equal(number_in(value), 5);
    assert_int_equal(brood_value_write(value, &start, BROOD_NOWAIT), 0);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

static int use_another_segment(void *value, size_t value_bytes, void *user)
{
    long number = 3;

    (void)value_bytes;
    assert_int_equal(brood_value_write(user, &number, BROOD_NOWAIT), 0);
    ++*(long *)value;
    return 0;
}

static void an_update_may_use_another_segment(void **state)
{
    brood_shared *shared = NULL;
    brood_value *value = value_of(NULL, sizeof(long)), *other = NULL;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_value_create(shared, sizeof(long), NULL, &other), 0);
    assert_int_equal(brood_value_update(value, use_another_segment, other, BROOD_NOWAIT), 0);
    assert_int_equal(brood_value_update(value, add_one, NULL, BROOD_NOWAIT), 0);
    assert_int_equal(number_in(value), 2);
    assert_int_equal(number_in(other), 3);
    assert_int_equal(brood_value_destroy(value), 0);
    brood_shared_detach(shared);
    end();
}

static int write_another(void *user)
{
    long number = 3;

    return brood_value_write(user, &number, BROOD_NOWAIT);
}

static void *make_another(void *shared)
{
    brood_value *another = NULL;

    INSIST(brood_value_create(shared, sizeof(long), NULL, &another) == 0, "no value");
    return another;
}

static void *end_with_the_lock(void *value)
{
    INSIST(brood_lock_acquire(brood_value_lock(value), BROOD_NOWAIT) == 0, "not acquired");
    return NULL;
}

static int write_inside(void *value, size_t value_bytes, void *user)
{
    long number = 9;

    (void)value_bytes;
    assert_int_equal(brood_value_write(user, &number, BROOD_NOWAIT), -EBUSY);
    *(long *)value = 1;
    return 0;
}

/* There the calling thread is of a later generation: one that has ended had its slot. */
static void a_repair_may_use_another_segment_before_an_update(void **state)
{
    brood_shared *shared = NULL;
    brood_value *value = value_of(NULL, sizeof(long));
    void *another = NULL;
    pthread_t thread;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(pthread_create(&thread, NULL, make_another, shared), 0);
    assert_int_equal(pthread_join(thread, &another), 0);
    assert_int_equal(brood_lock_set_repair(brood_value_lock(value), write_another, another), 0);
    assert_int_equal(pthread_create(&thread, NULL, end_with_the_lock, value), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(brood_value_update(value, write_inside, value, BROOD_NOWAIT),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(number_in(value), 1);
    assert_int_equal(brood_value_destroy(value), 0);
    brood_shared_detach(shared);
    end();
}

static void the_lock_is_recursive_and_for_longer_work(void **state)
{
    brood_value *value = value_of(NULL, sizeof(long));
    brood_lock *lock = brood_value_lock(value);

    (void)state;
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), 0);
    *(long *)brood_value_pointer(value) = 9;
    assert_int_equal(number_in(value), 9);
    assert_int_equal(brood_value_update(value, add_one, NULL, BROOD_NOWAIT), 0);
    assert_int_equal(*(long *)brood_value_pointer(value), 10);
    assert_int_equal(brood_lock_owner(lock, NULL), 1);
    assert_int_equal(brood_value_destroy(value), -EBUSY);
    assert_int_equal(brood_lock_release(lock), 0);
    assert_int_equal(brood_lock_release(lock), 0);
    assert_int_equal(brood_lock_release(lock), -EPERM);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

static void a_poisoned_value_says_so(void **state)
{
    long number = 0;
    brood_value *value = value_of(NULL, sizeof number);

    (void)state;
    assert_int_equal(brood_lock_acquire(brood_value_lock(value), BROOD_NOWAIT), 0);
    assert_int_equal(brood_lock_poison(brood_value_lock(value)), 0);
    assert_int_equal(brood_value_read(value, &number, BROOD_FOREVER), -ENOTRECOVERABLE);
    assert_int_equal(brood_value_write(value, &number, BROOD_FOREVER), -ENOTRECOVERABLE);
    assert_int_equal(brood_value_update(value, add_one, NULL, BROOD_NOWAIT), -ENOTRECOVERABLE);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

static void refuses_what_makes_no_sense(void **state)
{
    brood_value *value = NULL, *gone;
    brood_array *array = NULL;
    brood_lock *lock = NULL;
    long number = 0;

    (void)state;
    assert_int_equal(brood_value_create(here(), 0, NULL, &value), -EINVAL);
    assert_int_equal(brood_value_create(here(), SIZE_MAX, NULL, &value), -EINVAL);
    assert_int_equal(brood_value_create(here(), SIZE_MAX / 2, NULL, &value), -EINVAL);
    assert_int_equal(brood_value_create(here(), (size_t)1 << 40, NULL, &value), -ENOSPC);
    assert_int_equal(brood_value_create(here(), 8, NULL, NULL), -EINVAL);
    assert_null(value);
    value = value_of(NULL, sizeof number);
    assert_int_equal(brood_array_create(here(), 1, 1, NULL, &array), 0);
    assert_int_equal(brood_lock_create(here(), NULL, &lock), 0);
    assert_int_equal(brood_value_read(value, NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_value_write(value, NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_value_update(value, NULL, NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_value_read(value, &number, -2), -EINVAL);
    assert_int_equal(brood_value_read(NULL, &number, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_value_write((brood_value *)array, &number, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_value_destroy((brood_value *)lock), -EINVAL);
    assert_null(brood_value_pointer(NULL));
    assert_null(brood_value_lock((brood_value *)lock));
    assert_int_equal(brood_value_bytes(NULL), 0);
    gone = value;
    assert_int_equal(brood_value_destroy(value), 0);
    assert_int_equal(brood_value_read(gone, &number, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_value_destroy(gone), -EINVAL);
    assert_int_equal(brood_value_destroy(NULL), 0);
    assert_int_equal(brood_array_destroy(array), 0);
    assert_int_equal(brood_lock_destroy(lock), 0);
    end();
}

/* CPython's TestHeap: many sizes, freed in another order, and all is as it was. */
static void all_memory_comes_back(void **state)
{
    enum { COUNT = 200 };
    brood_value *values[COUNT];
    size_t before = used();
    unsigned seed = 1;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 1103515245 + 12345;
        values[i] = value_of(NULL, 1 + seed / 65536 % 5000);
        assert_int_equal((uintptr_t)brood_value_pointer(values[i]) % 64, 0);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(brood_value_destroy(values[i * 7 % COUNT]), 0);
    assert_int_equal(used(), before);
    end();
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 5000

static void *count_up(void *argument)
{
    for (int i = 0; i < ROUNDS; i++)
        INSIST(brood_value_update(argument, add_one, NULL, BROOD_FOREVER) == 0, "update");
    return NULL;
}

static void updates_of_threads_add_up(void **state)
{
    pthread_t threads[THREADS];
    brood_value *value = value_of(NULL, sizeof(long));

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, value), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(number_in(value), THREADS * ROUNDS);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

#define WIDE 100

static void *write_rows(void *argument)
{
    long row[WIDE];

    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < WIDE; k++)
            row[k] = i;
        INSIST(brood_value_write(argument, row, BROOD_FOREVER) == 0, "write");
        INSIST(brood_value_read(argument, row, BROOD_FOREVER) == 0, "read");
        for (int k = 1; k < WIDE; k++)
            INSIST(row[k] == row[0], "%ld and %ld", row[k], row[0]);
    }
    return NULL;
}

static void threads_see_whole_values_only(void **state)
{
    pthread_t threads[THREADS];
    brood_value *value = value_of(NULL, sizeof(long[WIDE]));

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, value), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

static void *find_it_locked(void *argument)
{
    long number;

    INSIST(brood_value_read(argument, &number, BROOD_NOWAIT) == -ETIMEDOUT, "now");
    INSIST(brood_value_write(argument, &number, brood_ms(20)) == -ETIMEDOUT, "later");
    INSIST(brood_value_update(argument, add_one, NULL, brood_ms(1)) == -ETIMEDOUT, "update");
    return NULL;
}

static void a_thread_that_waits_hears_when_the_time_is_over(void **state)
{
    pthread_t thread;
    brood_value *value = value_of(NULL, sizeof(long));

    (void)state;
    assert_int_equal(brood_lock_acquire(brood_value_lock(value), BROOD_NOWAIT), 0);
    assert_int_equal(pthread_create(&thread, NULL, find_it_locked, value), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(brood_lock_release(brood_value_lock(value)), 0);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

static int end_this_thread(void *value, size_t value_bytes, void *user)
{
    (void)value_bytes, (void)user;
    *(long *)value = 66;
    pthread_exit(NULL);
}

static void *die_in_an_update(void *argument)
{
    (void)brood_value_update(argument, end_this_thread, NULL, BROOD_FOREVER);
    return NULL;
}

/* The slot of the dead thread is claimed by later ones, which must not look as if they were
 * inside its update. */
static void a_thread_that_ends_in_an_update_leaves_the_old_value(void **state)
{
    long start = 1;
    pthread_t thread;
    brood_value *value = value_of(&start, sizeof start);

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, die_in_an_update, value), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(brood_value_update(value, add_one, NULL, BROOD_FOREVER),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(number_in(value), 2);
    assert_int_equal(pthread_create(&thread, NULL, count_up, value), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(number_in(value), 2 + ROUNDS);
    assert_int_equal(brood_value_destroy(value), 0);
    end();
}

static const struct test_case cases[] = {
    TEST_CASE(starts_with_what_is_given),
    TEST_CASE(starts_with_zeros),
    TEST_CASE(holds_what_was_written_last),
    TEST_CASE(update_changes_what_is_there),
    TEST_CASE(an_update_that_fails_changes_nothing),
    TEST_CASE(an_update_sees_the_old_value_and_keeps_others_out),
    TEST_CASE(an_update_may_use_another_segment),
    TEST_CASE(a_repair_may_use_another_segment_before_an_update),
    TEST_CASE(the_lock_is_recursive_and_for_longer_work),
    TEST_CASE(a_poisoned_value_says_so),
    TEST_CASE(refuses_what_makes_no_sense),
    TEST_CASE(all_memory_comes_back),
    TEST_CASE(updates_of_threads_add_up),
    TEST_CASE(threads_see_whole_values_only),
    TEST_CASE(a_thread_that_waits_hears_when_the_time_is_over),
    TEST_CASE(a_thread_that_ends_in_an_update_leaves_the_old_value),
};
TEST_SUITE(value, cases)
