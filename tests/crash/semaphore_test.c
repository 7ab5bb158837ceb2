/*
 * Semaphores: permits of the dead come back, all of them and none too many, and whoever
 * waits for one gets it soon. What a counting one counts is before or after, never between.
 */
#include "step.h"

#include "sync/semaphore.h"

#include <errno.h>
#include <stdatomic.h>

static brood_semaphore *semaphore;
static int value; /* of the semaphore, while nobody holds a permit */
static int change;

enum { HELD, DONE }; /* notes */

static void make(uint32_t permits, uint32_t permits_max, uint32_t flags)
{
    brood_semaphore_options options = BROOD_SEMAPHORE_OPTIONS_INIT;

    options.value_max = permits_max;
    options.flags = flags;
    assert_int_equal(brood_semaphore_create(step_shared, permits, &options, &semaphore), 0);
    value = (int)permits;
}

static void make_two(void)
{
    make(2, 2, 0);
}

static void make_one(void)
{
    make(1, 1, 0);
}

static void make_none_of_three(void)
{
    make(0, 3, 0);
}

static void make_counting(void)
{
    make(2, 0, BROOD_SEMAPHORE_COUNTING);
}

static void make_counting_empty(void)
{
    make(0, 0, BROOD_SEMAPHORE_COUNTING);
}

static void enter(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

static void acquire(int who)
{
    (void)who;
    (void)brood_semaphore_acquire(semaphore, BROOD_FOREVER);
}

static void acquire_two(int who)
{
    acquire(who);
    acquire(who);
}

static void acquire_and_release(int who)
{
    acquire(who);
    (void)brood_semaphore_release(semaphore, 1);
}

static void release(int who)
{
    (void)who;
    (void)brood_semaphore_release(semaphore, 1);
}

static void release_two(int who)
{
    (void)who;
    (void)brood_semaphore_release(semaphore, 2);
}

static void try_without_hope(int who)
{
    (void)who;
    (void)brood_semaphore_acquire(semaphore, brood_ms(3));
}

/* All permits can be had, and no more. */
static const char *all_there(int count)
{
    int r = brood_semaphore_value(semaphore);

    if (r != count)
        return step_wrong("the value is %d, not %d", r, count);
    for (int i = 0; i < count; i++)
        if ((r = brood_semaphore_acquire(semaphore, BROOD_NOWAIT)) != 0)
            return step_wrong("acquire %d of %d: %d", i + 1, count, r);
    if ((r = brood_semaphore_acquire(semaphore, BROOD_NOWAIT)) != -ETIMEDOUT)
        return step_wrong("one too many: %d", r);
    for (int i = 0; i < count; i++)
        if ((r = brood_semaphore_release(semaphore, 1)) != 0)
            return step_wrong("release %d of %d: %d", i + 1, count, r);
    return NULL;
}

static const char *check_all_there(const struct step_death *death)
{
    (void)death;
    return all_there(value);
}

/* The operation changed the value, for good, or it did not. */
static const char *check_before_or_after(const struct step_death *death)
{
    int now = brood_semaphore_value(semaphore);

    if (now != value + change && (death->done[0] || now != value))
        return step_wrong("the value is %d", now);
    return all_there(now);
}

/* Some of them, which is what the header says of several new ones. */
static const char *check_some(const struct step_death *death)
{
    int now = brood_semaphore_value(semaphore);

    if (now > value + change || now < value || (death->done[0] && now != value + change))
        return step_wrong("the value is %d", now);
    return all_there(now);
}

static void single(const char *name, void (*setup)(void), void (*begin)(int who),
                   void (*operate)(int who),
                   const char *(*check)(const struct step_death *death))
{
    struct step_scenario scenario = {
        .name = name, .setup = setup, .begin = begin, .operate = operate, .check = check
    };

    step_single(&scenario);
}

static void acquiring(void **state)
{
    (void)state;
    single("semaphore, acquire", make_two, enter, acquire, check_all_there);
}

static void acquiring_and_releasing(void **state)
{
    (void)state;
    single("semaphore, acquire and release", make_two, enter, acquire_and_release,
           check_all_there);
}

static void releasing_two(void **state)
{
    (void)state;
    single("semaphore, release two", make_two, acquire_two, release_two, check_all_there);
}

static void releasing_new_ones(void **state)
{
    (void)state;
    change = 2;
    single("semaphore, release two new ones", make_none_of_three, enter, release_two,
           check_some);
}

static void giving_up(void **state)
{
    struct step_scenario scenario = { .name = "semaphore, a waiter that gives up",
                                      .setup = make_two,
                                      .begin = acquire_two,
                                      .operate = try_without_hope,
                                      .check = check_all_there,
                                      .flags = STEP_SLEEPS | STEP_VARIES };

    (void)state;
    step_single(&scenario);
}

static void counting_acquire(void **state)
{
    (void)state;
    change = -1;
    single("semaphore, counting, acquire", make_counting, enter, acquire,
           check_before_or_after);
}

static void counting_release(void **state)
{
    (void)state;
    change = 1;
    single("semaphore, counting, release", make_counting, enter, release,
           check_before_or_after);
}

/* ---- with others who wait ---- */

static const char *get_and_give_back(int index)
{
    int r = brood_semaphore_acquire(semaphore, BROOD_FOREVER);

    step_got(index);
    if (r == 0)
        r = brood_semaphore_release(semaphore, 1);
    return r < 0 ? step_wrong("%d", r) : NULL;
}

static const char *want_one(int index)
{
    enter(index);
    step_await_number(HELD, 1);
    step_coming(index);
    return get_and_give_back(index);
}

static void hold_while_two_wait(int who)
{
    acquire(who);
    atomic_store(&step_notes->number[HELD], 1);
    step_await_asleep(0);
    step_await_asleep(1);
}

static const char *check_two_got_it(const struct step_death *death)
{
    const char *wrong = step_late(death, 0);

    if (wrong == NULL)
        wrong = step_late(death, 1);
    return wrong != NULL ? wrong : all_there(value);
}

static void releasing_to_two(void **state)
{
    static const struct step_scenario scenario = { .name =
                                                       "semaphore, release with two waiting",
                                                   .setup = make_one,
                                                   .begin = hold_while_two_wait,
                                                   .operate = release,
                                                   .help = want_one,
                                                   .helpers = 2,
                                                   .check = check_two_got_it };

    (void)state;
    step_single(&scenario);
}

/* Helper 0 has the permit until the victim sleeps for it, and helper 1 behind it. */
static const char *be_before_or_behind(int index)
{
    enter(index);
    if (index == 1) {
        step_await_number(HELD, 1);
        (void)step_await_victim_asleep();
        step_coming(1);
        return get_and_give_back(1);
    }
    acquire(0);
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

static const char *check_other_got_it(const struct step_death *death)
{
    const char *wrong = step_late(death, 1);

    return wrong != NULL ? wrong : all_there(value);
}

static void woken_waiter(void **state)
{
    static const struct step_scenario scenario = { .name = "semaphore, a waiter that is woken",
                                                   .setup = make_one,
                                                   .begin = await_held,
                                                   .operate = acquire,
                                                   .help = be_before_or_behind,
                                                   .helpers = 2,
                                                   .check = check_other_got_it,
                                                   .flags = STEP_SLEEPS | STEP_VARIES };

    (void)state;
    step_single(&scenario);
}

/* Two wait for what the victim is about to count; if it does not come to that, helper 2
 * does it. */
static const char *want_counted(int index)
{
    int r;

    enter(index);
    if (index == 2) {
        step_await_victim_dead();
        r = atomic_load(&step_notes->number[DONE]) == 0 &&
                    brood_semaphore_value(semaphore) == 0 &&
                    atomic_load(&step_notes->got[0]) == 0 &&
                    atomic_load(&step_notes->got[1]) == 0
                ? brood_semaphore_release(semaphore, 2)
                : 0;
        return r < 0 ? step_wrong("release: %d", r) : NULL;
    }
    step_coming(index);
    r = brood_semaphore_acquire(semaphore, BROOD_FOREVER);
    step_got(index);
    return r < 0 ? step_wrong("acquire: %d", r) : NULL;
}

static void see_two_asleep(int who)
{
    enter(who);
    step_await_asleep(0);
    step_await_asleep(1);
}

static const char *check_counted(const struct step_death *death)
{
    const char *wrong = step_late(death, 0);

    if (wrong == NULL)
        wrong = step_late(death, 1);
    return wrong != NULL ? wrong : all_there(0);
}

static void counting_release_to_two(void **state)
{
    static const struct step_scenario scenario = {
        .name = "semaphore, counting, release two with two waiting",
        .setup = make_counting_empty,
        .begin = see_two_asleep,
        .operate = release_two,
        .help = want_counted,
        .helpers = 3,
        .check = check_counted
    };

    (void)state;
    step_single(&scenario);
}

/* ---- pairs ---- */

static void pairs(const char *name, void (*setup)(void), void (*begin)(int who),
                  void (*operate)(int who))
{
    struct step_scenario scenario = { .name = name,
                                      .setup = setup,
                                      .begin = begin,
                                      .operate = operate,
                                      .check = check_all_there };

    step_pairs(&scenario);
}

static void two_for_one(void **state)
{
    (void)state;
    pairs("semaphore, one permit", make_one, enter, acquire_and_release);
}

static void release_several_or_acquire(int who)
{
    if (who == 0)
        release_two(0);
    else
        acquire_and_release(1);
}

static void acquire_both_as_first(int who)
{
    enter(who);
    if (who == 0)
        acquire_two(0);
}

static void release_two_and_acquire(void **state)
{
    (void)state;
    pairs("semaphore, release two and acquire", make_two, acquire_both_as_first,
          release_several_or_acquire);
}

/* Who is done has taken or given exactly one. */
static const char *check_counts(const struct step_death *death)
{
    int now = brood_semaphore_value(semaphore);
    int done = death->done[0] + death->done[1];
    bool may_be_one_more = done < 2;

    if (now != value + change * done &&
        (!may_be_one_more || now != value + change * (done + 1)))
        return step_wrong("the value is %d after %d", now, done);
    return all_there(now);
}

static void count_pairs(const char *name, void (*operate)(int who), int by)
{
    struct step_scenario scenario = { .name = name,
                                      .setup = make_counting,
                                      .begin = enter,
                                      .operate = operate,
                                      .check = check_counts };

    change = by;
    step_pairs(&scenario);
}

static void two_counting_releases(void **state)
{
    (void)state;
    count_pairs("semaphore, counting, release", release, 1);
}

static void two_counting_acquires(void **state)
{
    (void)state;
    count_pairs("semaphore, counting, acquire", acquire, -1);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(acquiring, 1800),
    TEST_CASE_LIMIT(acquiring_and_releasing, 1800),
    TEST_CASE_LIMIT(releasing_two, 1800),
    TEST_CASE_LIMIT(releasing_new_ones, 1800),
    TEST_CASE_LIMIT(giving_up, 1800),
    TEST_CASE_LIMIT(counting_acquire, 1800),
    TEST_CASE_LIMIT(counting_release, 1800),
    TEST_CASE_LIMIT(releasing_to_two, 1800),
    TEST_CASE_LIMIT(woken_waiter, 1800),
    TEST_CASE_LIMIT(counting_release_to_two, 1800),
    TEST_CASE_LIMIT(two_for_one, 1800),
    TEST_CASE_LIMIT(release_two_and_acquire, 1800),
    TEST_CASE_LIMIT(two_counting_releases, 1800),
    TEST_CASE_LIMIT(two_counting_acquires, 1800),
};
TEST_SUITE(crash_semaphore, cases)
