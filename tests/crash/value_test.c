/*
 * Values and arrays: whoever is killed writing leaves what was there or what was to be, and
 * a lock that the next one gets.
 */
#include "step.h"

#include "shm/presence.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define COUNT 10 /* numbers that must all be the same */

struct numbers {
    int64_t all[COUNT];
};

static brood_value *value;
static brood_array *array;

static struct numbers same(int64_t number)
{
    struct numbers numbers;

    for (int i = 0; i < COUNT; i++)
        numbers.all[i] = number;
    return numbers;
}

static bool is_same(const struct numbers *numbers, int64_t number)
{
    for (int i = 0; i < COUNT; i++)
        if (numbers->all[i] != number)
            return false;
    return true;
}

static void make(void)
{
    struct numbers one = same(1);

    assert_int_equal(brood_value_create(step_shared, sizeof one, &one, &value), 0);
    assert_int_equal(brood_array_create(step_shared, COUNT, sizeof(int64_t), &one, &array), 0);
}

static void enter(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

static void write_value(int who)
{
    struct numbers next = same(2 + who);

    (void)brood_value_write(value, &next, BROOD_FOREVER);
}

static int add_one(void *bytes, size_t bytes_count, void *user)
{
    struct numbers *numbers = bytes;

    (void)bytes_count, (void)user;
    for (int i = 0; i < COUNT; i++)
        numbers->all[i]++;
    return 0;
}

static void update_value(int who)
{
    (void)who;
    (void)brood_value_update(value, add_one, NULL, BROOD_FOREVER);
}

static void read_value(int who)
{
    struct numbers numbers;

    (void)who;
    (void)brood_value_read(value, &numbers, BROOD_FOREVER);
}

static void write_array(int who)
{
    struct numbers next = same(2 + who);

    (void)brood_array_write(array, 0, COUNT, &next, BROOD_FOREVER);
}

/* What is in it now, or 0 if it is not all the same. The lock is as new after that. */
static int64_t look(bool at_array, int *ret_r)
{
    struct numbers numbers;
    int r = at_array ? brood_array_read(array, 0, COUNT, &numbers, BROOD_NOWAIT)
                     : brood_value_read(value, &numbers, BROOD_NOWAIT);

    *ret_r = r;
    if (r < 0 || !is_same(&numbers, numbers.all[0]))
        return 0;
    return numbers.all[0];
}

static const char *usable(bool at_array, bool may_be_recovered, int64_t *ret_number)
{
    int r;

    *ret_number = look(at_array, &r);
    if (r < 0 || (r != 0 && !may_be_recovered))
        return step_wrong("read: %d", r);
    if (*ret_number == 0)
        return "neither the old one nor the new one";
    if (look(at_array, &r) != *ret_number || r != 0)
        return step_wrong("second read: %d", r);
    if (at_array)
        write_array(40);
    else
        write_value(40);
    return look(at_array, &r) != 42 || r != 0 ? step_wrong("cannot be written") : NULL;
}

static const char *check(const struct step_death *death, bool at_array)
{
    int64_t number;
    const char *wrong = usable(at_array, !death->done[0], &number);

    if (wrong == NULL && number != 2 && (death->done[0] || number != 1))
        wrong = step_wrong("%d is there", (int)number);
    return wrong;
}

static const char *check_value(const struct step_death *death)
{
    return check(death, false);
}

static const char *check_array(const struct step_death *death)
{
    return check(death, true);
}

static const char *check_read(const struct step_death *death)
{
    int64_t number;
    const char *wrong = usable(false, !death->done[0], &number);

    return wrong == NULL && number != 1 ? "changed by reading" : wrong;
}

static void single(const char *name, void (*operate)(int who),
                   const char *(*look_at)(const struct step_death *death))
{
    struct step_scenario scenario = {
        .name = name, .setup = make, .begin = enter, .operate = operate, .check = look_at
    };

    step_single(&scenario);
}

static void writing(void **state)
{
    (void)state;
    single("value, write", write_value, check_value);
}

static void updating(void **state)
{
    (void)state;
    single("value, update", update_value, check_value);
}

static void reading(void **state)
{
    (void)state;
    single("value, read", read_value, check_read);
}

static void writing_to_array(void **state)
{
    (void)state;
    single("array, write", write_array, check_array);
}

/* One update at least, both if both came to their end. */
static const char *check_pair(const struct step_death *death)
{
    int64_t number;
    const char *wrong;

    if (!death->done[!death->killed])
        return "the other one did not come to its end";
    wrong = usable(false, !death->done[death->killed], &number);
    if (wrong == NULL && number != 3 && (death->done[death->killed] || number != 2))
        wrong = step_wrong("%d is there", (int)number);
    return wrong;
}

static void two_updates(void **state)
{
    static const struct step_scenario scenario = { .name = "value, update",
                                                   .setup = make,
                                                   .begin = enter,
                                                   .operate = update_value,
                                                   .check = check_pair };

    (void)state;
    step_pairs(&scenario);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(writing, 1800),     TEST_CASE_LIMIT(updating, 600),
    TEST_CASE_LIMIT(reading, 1800),     TEST_CASE_LIMIT(writing_to_array, 600),
    TEST_CASE_LIMIT(two_updates, 1800),
};
TEST_SUITE(crash_value, cases)
