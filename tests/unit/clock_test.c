/* Timeouts, deadlines and their limits. Method: the values at which arithmetic could wrap. */
#include "base/clock.h"

#include "test.h"

#include <brood/base.h>

#include <errno.h>
#include <unistd.h>

static void counts_become_nanoseconds(void **state)
{
    (void)state;
    assert_int_equal(brood_ms(0), 0);
    assert_int_equal(brood_ms(250), 250000000);
    assert_int_equal(brood_seconds(3), 3000000000);
    assert_int_equal(brood_ms(-1), BROOD_FOREVER);
    assert_int_equal(brood_seconds(INT64_MIN), BROOD_FOREVER);
    assert_int_equal(brood_ms(INT64_MAX), INT64_MAX);
    assert_int_equal(brood_seconds(INT64_MAX), INT64_MAX);
    assert_int_equal(brood_ms(INT64_MAX / 1000000), INT64_MAX / 1000000 * 1000000);
    assert_int_equal(brood_ms(INT64_MAX / 1000000 + 1), INT64_MAX);
    assert_int_equal(brood_seconds(INT64_MAX / 1000000000 + 1), INT64_MAX);
}

static void timeouts_become_deadlines(void **state)
{
    int64_t before = brood__now(), deadline = 1;

    (void)state;
    assert_int_equal(brood__deadline(BROOD_FOREVER, &deadline), 0);
    assert_int_equal(deadline, BROOD__NEVER);
    assert_int_equal(brood__time_left(deadline), BROOD__NEVER);
    assert_int_equal(brood__deadline(0, &deadline), 0);
    assert_in_range(deadline, before, brood__now());
    assert_int_equal(brood__time_left(deadline), 0);
    assert_int_equal(brood__deadline(1000000000, &deadline), 0);
    assert_in_range(brood__time_left(deadline), 1, 1000000000);
    assert_int_equal(brood__deadline(-2, &deadline), -EINVAL);
    assert_int_equal(brood__deadline(INT64_MIN, &deadline), -EINVAL);
    /* The longest is long, and neither over nor for ever. */
    for (int64_t timeout = INT64_MAX; timeout > INT64_MAX - 3; timeout--) {
        assert_int_equal(brood__deadline(timeout, &deadline), 0);
        assert_true(deadline < BROOD__NEVER && deadline > INT64_MAX / 2);
    }
}

static void polls_keep_their_deadline(void **state)
{
    struct pollfd entry = { .events = POLLIN };
    int64_t before = brood__now(), deadline;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    entry.fd = ends[0];
    assert_int_equal(brood__poll(&entry, 1, before), 0);
    assert_int_equal(brood__deadline(15000000, &deadline), 0);
    assert_int_equal(brood__poll(&entry, 1, deadline), 0);
    assert_true(brood__now() - before >= 15000000);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(brood__poll(&entry, 1, before), 1);
    assert_int_equal(brood__poll(&entry, 1, BROOD__NEVER), 1);
    assert_int_equal(brood__poll(&entry, 1, BROOD__NEVER - 1), 1);
    assert_int_equal(close(ends[0]) + close(ends[1]), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(counts_become_nanoseconds),
    TEST_CASE(timeouts_become_deadlines),
    TEST_CASE(polls_keep_their_deadline),
};
TEST_SUITE(clock_unit, cases)
