/*
 * Arrays: elements and ranges of them, bounds, the lock, and memory given back.
 * Method: one process, and threads where two are needed.
 */
#include "test.h"

#include <brood.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
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

static brood_array *array_of(size_t count, size_t element_bytes, const void *initial)
{
    brood_array *array = NULL;

    assert_int_equal(brood_array_create(here(), count, element_bytes, initial, &array), 0);
    assert_non_null(array);
    return array;
}

static void starts_with_what_is_given_or_zeros(void **state)
{
    const int primes[] = { 2, 3, 5, 7, 11 };
    int found[5];
    brood_array *array = array_of(5, sizeof(int), primes);

    (void)state;
    assert_int_equal(brood_array_count(array), 5);
    assert_int_equal(brood_array_element_bytes(array), sizeof(int));
    assert_int_equal(brood_array_read(array, 0, 5, found, BROOD_FOREVER), 0);
    assert_memory_equal(found, primes, sizeof primes);
    assert_int_equal(brood_array_destroy(array), 0);
    array = array_of(5, sizeof(int), NULL);
    assert_int_equal(brood_array_read(array, 0, 5, found, BROOD_FOREVER), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(found[i], 0);
    assert_int_equal(brood_array_destroy(array), 0);
    end();
}

/* Python's slices: a[2:5] = ..., and what is beside them stays. */
static void ranges_are_read_and_written(void **state)
{
    const short given[] = { 1, 2, 3, 4, 5, 6, 7, 8 }, three[] = { 30, 40, 50 };
    short found[8];
    brood_array *array = array_of(8, sizeof(short), given);

    (void)state;
    assert_int_equal(brood_array_write(array, 2, 3, three, BROOD_FOREVER), 0);
    assert_int_equal(brood_array_read(array, 1, 5, found, BROOD_FOREVER), 0);
    assert_int_equal(found[0], 2);
    assert_memory_equal(found + 1, three, sizeof three);
    assert_int_equal(found[4], 6);
    assert_int_equal(brood_array_write(array, 8, 0, three, BROOD_FOREVER), 0);
    assert_int_equal(brood_array_read(array, 0, 0, found, BROOD_FOREVER), 0);
    assert_int_equal(brood_array_destroy(array), 0);
    end();
}

static void what_is_out_of_range_is_not_touched(void **state)
{
    int four[4] = { 9, 9, 9, 9 };
    brood_array *array = array_of(3, sizeof(int), NULL);

    (void)state;
    assert_int_equal(brood_array_write(array, 0, 4, four, BROOD_NOWAIT), -ERANGE);
    assert_int_equal(brood_array_write(array, 3, 1, four, BROOD_NOWAIT), -ERANGE);
    assert_int_equal(brood_array_write(array, 4, 0, four, BROOD_NOWAIT), -ERANGE);
    assert_int_equal(brood_array_write(array, 1, SIZE_MAX, four, BROOD_NOWAIT), -ERANGE);
    assert_int_equal(brood_array_read(array, SIZE_MAX, 2, four, BROOD_NOWAIT), -ERANGE);
    assert_int_equal(brood_array_read(array, 0, 3, four, BROOD_NOWAIT), 0);
    assert_int_equal(four[0] | four[1] | four[2], 0);
    assert_non_null(brood_array_at(array, 2));
    assert_null(brood_array_at(array, 3));
    assert_int_equal(brood_array_destroy(array), 0);
    end();
}

/* Sizes with and without a store of their own, and such that no piece of a long write ends
 * at a line. */
static void elements_of_any_size(void **state)
{
    static const size_t sizes[] = { 1, 2, 3, 4, 7, 8, 24, 100, 4095, 4096, 5000 };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t count = 100, bytes = count * sizes[i];
        unsigned char *given = malloc(bytes), *found = malloc(bytes);
        brood_array *array = array_of(count, sizes[i], NULL);

        assert_true(given != NULL && found != NULL);
        for (size_t k = 0; k < bytes; k++)
            given[k] = (unsigned char)(k * 31 + i);
        assert_int_equal(brood_array_write(array, 0, count, given, BROOD_FOREVER), 0);
        memset(given + 50 * sizes[i], 0x5a, sizes[i]);
        assert_int_equal(brood_array_write(array, 50, 1, given + 50 * sizes[i], BROOD_FOREVER),
                         0);
        assert_int_equal(brood_array_read(array, 0, count, found, BROOD_FOREVER), 0);
        assert_memory_equal(found, given, bytes);
        assert_memory_equal(brood_array_at(array, 99), given + 99 * sizes[i], sizes[i]);
        assert_int_equal(brood_array_destroy(array), 0);
        free(given);
        free(found);
    }
    end();
}

static void the_lock_is_for_longer_work(void **state)
{
    const double given[] = { 1.5, 2.5 };
    double found[2];
    brood_array *array = array_of(2, sizeof(double), given);
    brood_lock *lock = brood_array_lock(array);

    (void)state;
    assert_int_equal((uintptr_t)brood_array_at(array, 0) % 64, 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
    *(double *)brood_array_at(array, 0) += *(double *)brood_array_at(array, 1);
    assert_int_equal(brood_array_read(array, 0, 2, found, BROOD_NOWAIT), 0);
    assert_true(found[0] == 4.0);
    assert_int_equal(brood_array_destroy(array), -EBUSY);
    assert_int_equal(brood_lock_release(lock), 0);
    assert_int_equal(brood_array_destroy(array), 0);
    end();
}

static void refuses_what_makes_no_sense(void **state)
{
    brood_array *array = NULL;
    brood_value *value = NULL;
    int number = 0;

    (void)state;
    assert_int_equal(brood_array_create(here(), 0, 4, NULL, &array), -EINVAL);
    assert_int_equal(brood_array_create(here(), 4, 0, NULL, &array), -EINVAL);
    assert_int_equal(brood_array_create(here(), SIZE_MAX, SIZE_MAX, NULL, &array), -EINVAL);
    assert_int_equal(brood_array_create(here(), (size_t)1 << 32, (size_t)1 << 32, NULL, &array),
                     -EINVAL);
    assert_int_equal(brood_array_create(here(), (size_t)1 << 40, 1, NULL, &array), -ENOSPC);
    assert_int_equal(brood_array_create(here(), 1, 1, NULL, NULL), -EINVAL);
    assert_null(array);
    array = array_of(1, sizeof number, NULL);
    assert_int_equal(brood_value_create(here(), 4, NULL, &value), 0);
    assert_int_equal(brood_array_read(array, 0, 1, NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_array_write(array, 0, 1, NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_array_write(array, 0, 1, &number, -7), -EINVAL);
    assert_int_equal(brood_array_write((brood_array *)value, 0, 1, &number, BROOD_NOWAIT),
                     -EINVAL);
    assert_int_equal(brood_array_read(NULL, 0, 1, &number, BROOD_NOWAIT), -EINVAL);
    assert_null(brood_array_at(NULL, 0));
    assert_null(brood_array_lock((brood_array *)value));
    assert_int_equal(brood_array_count(NULL), 0);
    assert_int_equal(brood_array_element_bytes((brood_array *)value), 0);
    assert_int_equal(brood_array_destroy(NULL), 0);
    assert_int_equal(brood_value_destroy(value), 0);
    assert_int_equal(brood_array_destroy(array), 0);
    assert_int_equal(brood_array_destroy(array), -EINVAL);
    end();
}

static void all_memory_comes_back(void **state)
{
    brood_array *arrays[50];
    size_t before = used();

    (void)state;
    for (size_t i = 0; i < 50; i++)
        arrays[i] = array_of(1 + i * 13 % 50, 1 + i * 7 % 40, NULL);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(brood_array_destroy(arrays[i * 3 % 50]), 0);
    assert_int_equal(used(), before);
    end();
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 2000
#define WIDE 500

/* 4,000 bytes: a whole write. */
static void *write_rows(void *argument)
{
    long row[WIDE];

    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < WIDE; k++)
            row[k] = i;
        INSIST(brood_array_write(argument, 0, WIDE, row, BROOD_FOREVER) == 0, "write");
        INSIST(brood_array_read(argument, 0, WIDE, row, BROOD_FOREVER) == 0, "read");
        for (int k = 1; k < WIDE; k++)
            INSIST(row[k] == row[0], "%ld and %ld", row[k], row[0]);
    }
    return NULL;
}

static void threads_see_whole_ranges_only(void **state)
{
    pthread_t threads[THREADS];
    brood_array *array = array_of(WIDE, sizeof(long), NULL);

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, array), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(brood_array_destroy(array), 0);
    end();
}

static void *find_it_locked(void *argument)
{
    long number = 0;

    INSIST(brood_array_read(argument, 0, 1, &number, BROOD_NOWAIT) == -ETIMEDOUT, "now");
    INSIST(brood_array_write(argument, 0, 1, &number, brood_ms(20)) == -ETIMEDOUT, "later");
    return NULL;
}

static void a_thread_that_waits_hears_when_the_time_is_over(void **state)
{
    pthread_t thread;
    brood_array *array = array_of(1, sizeof(long), NULL);

    (void)state;
    assert_int_equal(brood_lock_acquire(brood_array_lock(array), BROOD_NOWAIT), 0);
    assert_int_equal(pthread_create(&thread, NULL, find_it_locked, array), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(brood_lock_release(brood_array_lock(array)), 0);
    assert_int_equal(brood_array_destroy(array), 0);
    end();
}

static const struct test_case cases[] = {
    TEST_CASE(starts_with_what_is_given_or_zeros),
    TEST_CASE(ranges_are_read_and_written),
    TEST_CASE(what_is_out_of_range_is_not_touched),
    TEST_CASE(elements_of_any_size),
    TEST_CASE(the_lock_is_for_longer_work),
    TEST_CASE(refuses_what_makes_no_sense),
    TEST_CASE(all_memory_comes_back),
    TEST_CASE(threads_see_whole_ranges_only),
    TEST_CASE(a_thread_that_waits_hears_when_the_time_is_over),
};
TEST_SUITE(array, cases)
