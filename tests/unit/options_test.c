/*
 * Structs that cross the public interface, read and written by a library that is older or
 * newer than the caller. Method: one small struct at each interesting size.
 */
#include "base/options.h"

#include "test.h"

#include <errno.h>
#include <string.h>

struct small {
    size_t size;
    int first;
    int second;
};

struct grown {
    struct small small;
    unsigned char more[8];
};

static void reading(void **state)
{
    struct grown from = { { sizeof from, 1, 2 }, { 0 } };
    struct small into;

    (void)state;
    memset(&into, 0xff, sizeof into);
    assert_int_equal(brood__options_read(&into, sizeof into, sizeof into, NULL), 0);
    assert_true(into.size == 0 && into.first == 0 && into.second == 0);

    assert_int_equal(brood__options_read(&into, sizeof into, sizeof into, &from), 0);
    assert_true(into.first == 1 && into.second == 2);
    for (size_t i = 0; i < sizeof from.more; i++) {
        from.more[i] = 0x80;
        assert_int_equal(brood__options_read(&into, sizeof into, sizeof into, &from), -E2BIG);
        from.more[i] = 0;
    }
    from.small.size = sizeof(struct small) - 1;
    assert_int_equal(brood__options_read(&into, sizeof into, sizeof into, &from), -EINVAL);
    from.small.size = SIZE_MAX / 2; /* must be found out before it is read through */
    from.more[0] = 1;
    assert_int_equal(brood__options_read(&into, sizeof into, sizeof into, &from), -E2BIG);
}

/* A caller compiled with the first version, and a library that has grown since. */
static void reading_an_older_struct(void **state)
{
    struct grown into;
    struct {
        struct small small;
        unsigned char beyond[8];
    } from = { { sizeof(struct small), 5, 6 }, { 9, 9, 9, 9, 9, 9, 9, 9 } };

    (void)state;
    memset(&into, 0xff, sizeof into);
    assert_int_equal(brood__options_read(&into, sizeof into, sizeof(struct small), &from), 0);
    assert_int_equal(into.small.second, 6);
    for (size_t i = 0; i < sizeof into.more; i++)
        assert_int_equal(into.more[i], 0);
}

static void writing(void **state)
{
    struct small from = { sizeof from, 7, 8 };
    struct grown to = { { sizeof to, 0, 0 }, { 1, 1, 1, 1, 1, 1, 1, 1 } };

    (void)state;
    assert_int_equal(brood__result_write(NULL, sizeof from, &from, sizeof from), -EINVAL);
    assert_int_equal(brood__result_write(&to, sizeof from, &from, sizeof from), 0);
    assert_int_equal(to.small.size, sizeof to);
    assert_true(to.small.first == 7 && to.small.second == 8);

    to.small.size = sizeof(size_t) + sizeof(int); /* an older caller: one field less */
    to.small.second = 99;
    assert_int_equal(brood__result_write(&to, sizeof(size_t), &from, sizeof from), 0);
    assert_int_equal(to.small.second, 99);
    to.small.size = sizeof(size_t) - 1;
    assert_int_equal(brood__result_write(&to, sizeof(size_t), &from, sizeof from), -EINVAL);
}

static const struct test_case cases[] = {
    TEST_CASE(reading),
    TEST_CASE(reading_an_older_struct),
    TEST_CASE(writing),
};
TEST_SUITE(options_unit, cases)
