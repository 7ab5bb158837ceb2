/*
 * Lock tables: no row stays locked by the dead, who comes next to a row that one died with
 * hears so, once, and no record is lost.
 */
#include "step.h"

#include "sync/lock_table.h"

#include <errno.h>
#include <stdatomic.h>

static brood_lock_table *table;

enum { INSIDE, HELD }; /* notes */

static void make(void)
{
    brood_lock_table_options options = BROOD_LOCK_TABLE_OPTIONS_INIT;

    options.records_max = 8;
    options.key_bytes_max = 8;
    assert_int_equal(brood_lock_table_create(step_shared, &options, &table), 0);
}

static void enter(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

static int take(const char *key, uint32_t mode, int64_t timeout)
{
    return brood_lock_table_acquire(table, key, 1, mode, timeout, NULL);
}

static int give(const char *key)
{
    return brood_lock_table_release(table, key, 1);
}

static void use(int who)
{
    (void)who;
    if (take("a", BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER) < 0)
        return;
    atomic_store(&step_notes->number[INSIDE], 1);
    atomic_store(&step_notes->number[INSIDE], 0);
    (void)give("a");
}

static void use_shared(int who)
{
    (void)who;
    if (take("a", BROOD_LOCK_SHARED, BROOD_FOREVER) >= 0)
        (void)give("a");
}

static void use_more_and_more(int who)
{
    (void)who;
    (void)take("a", BROOD_LOCK_SHARED, BROOD_FOREVER);
    (void)take("a", BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER);
    (void)take("b", BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER);
    (void)brood_lock_table_release_all(table);
}

static void use_table(int who)
{
    (void)who;
    if (brood_lock_table_acquire_table(table, BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER, NULL) < 0)
        return;
    atomic_store(&step_notes->number[INSIDE], 1);
    atomic_store(&step_notes->number[INSIDE], 0);
    (void)brood_lock_table_release_table(table);
}

/* A row can be had, with word of a death only if there may have been one; and then again. */
static const char *row_usable(const char *key, bool may_be_recovered, bool must_be_recovered)
{
    int r = take(key, BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT);

    if (r < 0 || (r != 0 && !may_be_recovered) || (r == 0 && must_be_recovered))
        return step_wrong("row %s, acquire: %d", key, r);
    r = give(key);
    return r != 0 ? step_wrong("row %s, release: %d", key, r) : NULL;
}

/* The whole table can be had; after that nothing is left of anything. */
static const char *as_new(void)
{
    int r = brood_lock_table_acquire_table(table, BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT, NULL);

    if (r >= 0)
        r = brood_lock_table_release_table(table);
    if (r < 0)
        return step_wrong("the table: %d", r);
    r = take("a", BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT);
    if (r != 0)
        return step_wrong("second acquire: %d", r);
    (void)give("a");
    r = brood_lock_table_count(table);
    if (r != 0)
        return step_wrong("%d records are in use", r);
    for (int i = 0; i < 8; i++) {
        const char key[2] = { (char)('a' + i), 0 };

        r = take(key, BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT);
        if (r != 0)
            return step_wrong("row %d of 8: %d", i + 1, r);
    }
    r = take("z", BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT);
    if (r != -ENOSPC)
        return step_wrong("a record too many: %d", r);
    r = brood_lock_table_release_all(table);
    return r < 8 ? step_wrong("released %d", r) : NULL;
}

static const char *usable(bool may_be_recovered, bool must_be_recovered)
{
    const char *wrong = row_usable("a", may_be_recovered, must_be_recovered);

    if (wrong == NULL)
        wrong = row_usable("b", may_be_recovered, false);
    return wrong != NULL ? wrong : as_new();
}

static const char *check(const struct step_death *death)
{
    return usable(!death->done[0], atomic_load(&step_notes->number[INSIDE]) != 0);
}

static const char *check_untouched(const struct step_death *death)
{
    (void)death;
    return usable(false, false);
}

static void single(const char *name, void (*operate)(int who),
                   const char *(*look)(const struct step_death *death))
{
    struct step_scenario scenario = { .name = name,
                                      .setup = make,
                                      .begin = enter,
                                      .operate = operate,
                                      .check = look,
                                      .bytes = 16384 };

    step_single(&scenario);
}

static void row(void **state)
{
    (void)state;
    single("lock table, a row", use, check);
}

static void row_shared(void **state)
{
    (void)state;
    single("lock table, a row, shared", use_shared, check_untouched);
}

static void rows(void **state)
{
    (void)state;
    single("lock table, rows, one converted", use_more_and_more, check);
}

static void whole(void **state)
{
    (void)state;
    single("lock table, the table", use_table, check);
}

/* ---- with others who wait ---- */

static const char *come_and_go(int index)
{
    int r;

    step_coming(index);
    r = take("a", index == 0 ? BROOD_LOCK_SHARED : BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER);
    step_got(index);
    if (r < 0)
        return step_wrong("acquire: %d", r);
    r = give("a");
    return r < 0 ? step_wrong("release: %d", r) : NULL;
}

static const char *wait_for_it(int index)
{
    enter(index);
    step_await_number(HELD, 1);
    return come_and_go(index);
}

static void hold_while_two_wait(int who)
{
    enter(who);
    (void)take("a", BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER);
    atomic_store(&step_notes->number[HELD], 1);
    step_await_asleep(0);
    step_await_asleep(1);
}

static void release(int who)
{
    (void)who;
    (void)give("a");
}

/* The mark of the dead one's has been removed by helper 1, who had the row exclusively. */
static const char *check_waiters(const struct step_death *death)
{
    const char *wrong = step_late(death, 0);

    if (wrong == NULL)
        wrong = step_late(death, 1);
    return wrong != NULL ? wrong : usable(false, false);
}

static void releasing(void **state)
{
    static const struct step_scenario scenario = { .name =
                                                       "lock table, release with two waiting",
                                                   .setup = make,
                                                   .begin = hold_while_two_wait,
                                                   .operate = release,
                                                   .help = wait_for_it,
                                                   .helpers = 2,
                                                   .check = check_waiters,
                                                   .bytes = 16384 };

    (void)state;
    step_single(&scenario);
}

static const char *be_before_or_behind(int index)
{
    enter(index);
    if (index == 1) {
        step_await_number(HELD, 1);
        (void)step_await_victim_asleep();
        return come_and_go(1);
    }
    (void)take("a", BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER);
    atomic_store(&step_notes->number[HELD], 1);
    step_await_asleep(1);
    release(0);
    return NULL;
}

static void await_held(int who)
{
    enter(who);
    step_await_number(HELD, 1);
}

static const char *check_behind(const struct step_death *death)
{
    const char *wrong = step_late(death, 1);

    return wrong != NULL ? wrong : usable(false, false);
}

static void woken_waiter(void **state)
{
    static const struct step_scenario scenario = { .name = "lock table, a waiter that is woken",
                                                   .setup = make,
                                                   .begin = await_held,
                                                   .operate = use,
                                                   .help = be_before_or_behind,
                                                   .helpers = 2,
                                                   .check = check_behind,
                                                   .flags = STEP_SLEEPS | STEP_VARIES,
                                                   .bytes = 16384,
                                                   .seconds = 2 };

    (void)state;
    step_single(&scenario);
}

/* ---- pairs ---- */

static const char *check_pair(const struct step_death *death)
{
    if (!death->done[!death->killed])
        return "the other one did not come to its end";
    return usable(!death->done[death->killed], false);
}

static void pairs(const char *name, void (*operate)(int who))
{
    struct step_scenario scenario = { .name = name,
                                      .setup = make,
                                      .begin = enter,
                                      .operate = operate,
                                      .check = check_pair,
                                      .bytes = 16384 };

    step_pairs(&scenario);
}

static void two_for_a_row(void **state)
{
    (void)state;
    pairs("lock table, a row", use);
}

/* The one takes the rows in one order, the other in the other. */
static void use_crosswise(int who)
{
    const char *const first = who == 0 ? "a" : "b";
    const char *const second = who == 0 ? "b" : "a";

    (void)take(first, BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER);
    (void)take(second, BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER);
    (void)brood_lock_table_release_all(table);
}

static void crosswise(void **state)
{
    (void)state;
    pairs("lock table, two rows crosswise", use_crosswise);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(row, 1800),           TEST_CASE_LIMIT(row_shared, 600),
    TEST_CASE_LIMIT(rows, 1800),          TEST_CASE_LIMIT(whole, 600),
    TEST_CASE_LIMIT(releasing, 1800),     TEST_CASE_LIMIT(woken_waiter, 600),
    TEST_CASE_LIMIT(two_for_a_row, 1800), TEST_CASE_LIMIT(crosswise, 600),
};
TEST_SUITE(crash_lock_table, cases)
