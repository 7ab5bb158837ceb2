/*
 * Events: killed at any instruction, set and clear have happened or not, and whoever waits
 * for an event that is set wakes soon, whoever died ringing or waking.
 */
#include "step.h"

#include "sync/event.h"

#include <errno.h>
#include <stdatomic.h>

static brood_event *event;

static void make_clear(void)
{
    assert_int_equal(brood_event_create(step_shared, &event), 0);
}

static void make_set(void)
{
    make_clear();
    assert_int_equal(brood_event_set(event), 0);
}

static void set(int who)
{
    (void)who;
    (void)brood_event_set(event);
}

static void clear(int who)
{
    (void)who;
    (void)brood_event_clear(event);
}

static void wait_for_it(int who)
{
    (void)who;
    (void)brood_event_wait(event, BROOD_FOREVER);
}

/* Whether it is set or clear, it can be changed as ever. */
static const char *usable(void)
{
    if (brood_event_set(event) != 0 || brood_event_is_set(event) != 1 ||
        brood_event_wait(event, BROOD_NOWAIT) != 0)
        return "cannot be set";
    if (brood_event_clear(event) != 0 || brood_event_is_set(event) != 0 ||
        brood_event_wait(event, BROOD_NOWAIT) != -ETIMEDOUT)
        return "cannot be cleared";
    return NULL;
}

static const char *check_cleared(const struct step_death *death)
{
    if (death->done[0] && brood_event_is_set(event) != 0)
        return "not cleared";
    return usable();
}

static void clearing(void **state)
{
    static const struct step_scenario scenario = {
        .name = "event, clear", .setup = make_set, .operate = clear, .check = check_cleared
    };

    (void)state;
    step_single(&scenario);
}

/* Two wait; helper 2 sets the event if the victim did not come to it. */
static const char *await_event(int index)
{
    if (index == 2) {
        step_await_victim_dead();
        if (brood_event_is_set(event) == 0)
            set(2);
        return NULL;
    }
    step_coming(index);
    wait_for_it(index);
    step_got(index);
    return NULL;
}

static void see_two_asleep(int who)
{
    (void)who;
    step_await_asleep(0);
    step_await_asleep(1);
}

static const char *check_two_woken(const struct step_death *death)
{
    const char *wrong = step_late(death, 0);

    if (wrong == NULL)
        wrong = step_late(death, 1);
    if (wrong == NULL && brood_event_is_set(event) != 1)
        wrong = "not set";
    return wrong != NULL ? wrong : usable();
}

static void setting(void **state)
{
    static const struct step_scenario scenario = { .name = "event, set with two waiting",
                                                   .setup = make_clear,
                                                   .begin = see_two_asleep,
                                                   .operate = set,
                                                   .help = await_event,
                                                   .helpers = 3,
                                                   .check = check_two_woken };

    (void)state;
    step_single(&scenario);
}

/* Helper 0 sets it when the victim sleeps, and helper 1 beside it. */
static const char *set_or_await(int index)
{
    if (index == 0) {
        step_await_asleep(1);
        (void)step_await_victim_asleep();
        set(0);
        return NULL;
    }
    return await_event(1);
}

static const char *check_other_woken(const struct step_death *death)
{
    const char *wrong = step_late(death, 1);

    return wrong != NULL ? wrong : usable();
}

static void woken_waiter(void **state)
{
    static const struct step_scenario scenario = { .name = "event, a waiter that is woken",
                                                   .setup = make_clear,
                                                   .operate = wait_for_it,
                                                   .help = set_or_await,
                                                   .helpers = 2,
                                                   .check = check_other_woken,
                                                   .flags = STEP_SLEEPS | STEP_VARIES };

    (void)state;
    step_single(&scenario);
}

static void set_or_clear(int who)
{
    if (who == 0)
        set(0);
    else
        clear(1);
}

static const char *check_pair(const struct step_death *death)
{
    return death->done[!death->killed] ? usable() : "the other one did not come to its end";
}

static void set_and_clear(void **state)
{
    static const struct step_scenario scenario = { .name = "event, set and clear",
                                                   .setup = make_clear,
                                                   .operate = set_or_clear,
                                                   .check = check_pair };

    (void)state;
    step_pairs(&scenario);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(clearing, 1800),
    TEST_CASE_LIMIT(setting, 1800),
    TEST_CASE_LIMIT(woken_waiter, 1800),
    TEST_CASE_LIMIT(set_and_clear, 1800),
};
TEST_SUITE(crash_event, cases)
