/*
 * Conditions: a notification that was given reaches somebody alive, soon, whoever of those
 * who give it and take it is killed; and no lock stays held.
 */
#include "step.h"

#include "sync/condition.h"

#include <errno.h>
#include <stdatomic.h>

static brood_condition *condition;
static brood_lock *lock;

enum { RETURNED, COUNT }; /* notes */

static void make(void)
{
    assert_int_equal(brood_condition_create(step_shared, &condition), 0);
    assert_int_equal(brood_lock_create(step_shared, NULL, &lock), 0);
}

static void enter(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

static void notify_one(int who)
{
    (void)who;
    (void)brood_lock_acquire(lock, BROOD_FOREVER);
    (void)brood_condition_notify(condition, 1);
    (void)brood_lock_release(lock);
}

static void notify_all(int who)
{
    (void)who;
    (void)brood_lock_acquire(lock, BROOD_FOREVER);
    (void)brood_condition_notify_all(condition);
    (void)brood_lock_release(lock);
}

static void wait_for_it(int who)
{
    (void)who;
    (void)brood_lock_acquire(lock, BROOD_FOREVER);
    (void)brood_condition_wait(condition, lock, BROOD_FOREVER);
    atomic_store(&step_notes->number[RETURNED], 1);
    (void)brood_lock_release(lock);
}

/* Waits as helper `index`, who is asleep when he says that he is. */
static const char *be_notified(int index)
{
    int r = brood_lock_acquire(lock, BROOD_FOREVER);

    if (r < 0)
        return step_wrong("acquire: %d", r);
    step_coming(index);
    r = brood_condition_wait(condition, lock, BROOD_FOREVER);
    step_got(index);
    atomic_fetch_add(&step_notes->number[COUNT], 1);
    if (r < 0)
        return step_wrong("wait: %d", r);
    r = brood_lock_release(lock);
    return r < 0 ? step_wrong("release: %d", r) : NULL;
}

/* The lock is there, nobody waits, and a notification finds nobody. */
static const char *usable(void)
{
    int r = brood_lock_acquire(lock, BROOD_NOWAIT);

    if (r < 0)
        return step_wrong("acquire: %d", r);
    if (brood_condition_waiters(condition) != 0)
        return "somebody waits";
    r = brood_condition_notify(condition, 1);
    if (r != 0)
        return step_wrong("%d notified of none", r);
    r = brood_condition_wait(condition, lock, BROOD_NOWAIT);
    if (r != -ETIMEDOUT)
        return step_wrong("a wait without waiting: %d", r);
    r = brood_lock_release(lock);
    if (r < 0)
        return step_wrong("release: %d", r);
    return brood_lock_acquire(lock, BROOD_NOWAIT) == 0 ? NULL : "recovered twice";
}

/* ---- who notifies is killed ---- */

/* Two wait; helper 2 sees that as many get on as were notified, and then lets all go. */
static const char *wait_in_pair(int index)
{
    int64_t given, deadline;
    int r;

    enter(index);
    if (index < 2)
        return be_notified(index);
    step_await_victim_dead();
    deadline = step_now() + INT64_C(1000000000);
    given = 2 - brood_condition_waiters(condition);
    while (atomic_load(&step_notes->number[COUNT]) < given)
        if (step_now() > deadline)
            return step_wrong("%d were notified and %d got on", (int)given,
                              (int)atomic_load(&step_notes->number[COUNT]));
    r = brood_lock_acquire(lock, BROOD_FOREVER);
    if (r >= 0)
        r = brood_condition_notify_all(condition);
    if (r >= 0)
        r = brood_lock_release(lock);
    return r < 0 ? step_wrong("notify: %d", r) : NULL;
}

static void see_two_asleep(int who)
{
    enter(who);
    step_await_asleep(0);
    step_await_asleep(1);
}

static const char *check_both_woken(const struct step_death *death)
{
    const char *wrong = step_late(death, 0);

    if (wrong == NULL)
        wrong = step_late(death, 1);
    return wrong != NULL ? wrong : usable();
}

static void with_two_waiting(const char *name, void (*operate)(int who))
{
    struct step_scenario scenario = { .name = name,
                                      .setup = make,
                                      .begin = see_two_asleep,
                                      .operate = operate,
                                      .help = wait_in_pair,
                                      .helpers = 3,
                                      .check = check_both_woken };

    step_single(&scenario);
}

static void notifying(void **state)
{
    (void)state;
    with_two_waiting("condition, notify one of two", notify_one);
}

static void notifying_all(void **state)
{
    (void)state;
    with_two_waiting("condition, notify all of two", notify_all);
}

/* ---- who was notified is killed ---- */

/* Helper 1 waits behind the victim, helper 0 notifies one of them, and helper 2 lets helper 1
 * go if the victim has had what was given. */
static const char *notify_or_wait_behind(int index)
{
    enter(index);
    switch (index) {
    case 0:
        step_await_asleep(1);
        notify_one(0);
        return NULL;
    case 1: (void)step_await_victim_asleep(); return be_notified(1);
    default:
        step_await_victim_dead();
        step_await_asleep(1);
        if (atomic_load(&step_notes->number[RETURNED]) != 0 &&
            (atomic_load(brood__robust_word(&lock->mutex)) & BROOD__OWNER_DIED) == 0)
            notify_all(2);
        return NULL;
    }
}

static const char *check_passed_on(const struct step_death *death)
{
    const char *wrong = step_late(death, 1);

    return wrong != NULL ? wrong : usable();
}

static void notified_waiter(void **state)
{
    static const struct step_scenario scenario = { .name =
                                                       "condition, a waiter that is notified",
                                                   .setup = make,
                                                   .begin = enter,
                                                   .operate = wait_for_it,
                                                   .help = notify_or_wait_behind,
                                                   .helpers = 3,
                                                   .check = check_passed_on,
                                                   .flags = STEP_SLEEPS | STEP_VARIES,
                                                   .seconds = 2 };

    (void)state;
    step_single(&scenario);
}

static void give_up(int who)
{
    (void)who;
    (void)brood_lock_acquire(lock, BROOD_FOREVER);
    (void)brood_condition_wait(condition, lock, brood_ms(3));
    (void)brood_lock_release(lock);
}

static const char *check_usable(const struct step_death *death)
{
    (void)death;
    return usable();
}

static void waiter_that_gives_up(void **state)
{
    static const struct step_scenario scenario = { .name = "condition, a waiter that gives up",
                                                   .setup = make,
                                                   .begin = enter,
                                                   .operate = give_up,
                                                   .check = check_usable,
                                                   .flags = STEP_SLEEPS | STEP_VARIES };

    (void)state;
    step_single(&scenario);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(notifying, 1800),
    TEST_CASE_LIMIT(notifying_all, 1800),
    TEST_CASE_LIMIT(notified_waiter, 1800),
    TEST_CASE_LIMIT(waiter_that_gives_up, 1800),
};
TEST_SUITE(crash_condition, cases)
