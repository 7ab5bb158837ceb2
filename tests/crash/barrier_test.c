/*
 * Barriers: a party that is killed breaks the round if the others would have had to wait for
 * it, and otherwise is as good as not come; all others hear the same, soon.
 */
#include "step.h"

#include "sync/barrier.h"

#include <errno.h>
#include <stdatomic.h>

static brood_barrier *barrier;

/* Notes; the first two for each party, of which the victim is 3. */
enum { RESULT, INDEX = RESULT + 4, ACTED = INDEX + 4, COUNTED };

static void make(void)
{
    assert_int_equal(brood_barrier_create(step_shared, 3, &barrier), 0);
}

static void enter(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

static int act_once(void *user)
{
    (void)user;
    atomic_fetch_add(&step_notes->number[ACTED], 1);
    return 0;
}

static void come_as(int party, bool acting)
{
    uint32_t index = 99;
    int r = acting ? brood_barrier_wait_action(barrier, act_once, NULL, BROOD_FOREVER, &index)
                   : brood_barrier_wait(barrier, BROOD_FOREVER, &index);

    atomic_store(&step_notes->number[INDEX + party], index);
    atomic_store(&step_notes->number[RESULT + party], 1000 + r);
}

static void come(int who)
{
    (void)who;
    come_as(3, false);
}

static void come_acting(int who)
{
    (void)who;
    come_as(3, true);
}

/* Two wait. Helper 2 comes for a victim that is dead without having come. */
static const char *wait_in(int index)
{
    enter(index);
    if (index == 2) {
        step_await_victim_dead();
        if (brood_barrier_waiting(barrier) == 2)
            come_as(2, false);
        return NULL;
    }
    step_coming(index);
    come_as(index, false);
    step_got(index);
    return NULL;
}

static void see_two_asleep(int who)
{
    enter(who);
    step_await_asleep(0);
    step_await_asleep(1);
}

/* It can be made good, and is then as new. */
static const char *usable(void)
{
    int r = brood_barrier_reset(barrier);

    if (r != 0)
        return step_wrong("reset: %d", r);
    if (brood_barrier_is_broken(barrier) != 0 || brood_barrier_waiting(barrier) != 0)
        return "not as new after a reset";
    r = brood_barrier_wait(barrier, BROOD_NOWAIT, NULL);
    return r != -ETIMEDOUT ? step_wrong("a wait without waiting: %d", r) : NULL;
}

static const char *check_two(const struct step_death *death)
{
    int64_t first = atomic_load(&step_notes->number[RESULT]) - 1000;
    int64_t second = atomic_load(&step_notes->number[RESULT + 1]) - 1000;
    const char *wrong = step_late(death, 0);

    if (wrong == NULL)
        wrong = step_late(death, 1);
    if (wrong != NULL)
        return wrong;
    if (first != second || (first != 0 && first != -EPIPE))
        return step_wrong("they hear %lld and %lld", (long long)first, (long long)second);
    if (death->done[0] && first != 0)
        return "the round was over, and is broken";
    if (first == 0 &&
        atomic_load(&step_notes->number[INDEX]) == atomic_load(&step_notes->number[INDEX + 1]))
        return "two have the same index";
    if (atomic_load(&step_notes->number[ACTED]) > 1)
        return "acted more than once";
    return usable();
}

static void last_one(void **state)
{
    static const struct step_scenario scenario = { .name = "barrier, the last to come",
                                                   .setup = make,
                                                   .begin = see_two_asleep,
                                                   .operate = come,
                                                   .help = wait_in,
                                                   .helpers = 3,
                                                   .check = check_two };

    (void)state;
    step_single(&scenario);
}

static void last_one_acting(void **state)
{
    static const struct step_scenario scenario = { .name = "barrier, the last to come, acting",
                                                   .setup = make,
                                                   .begin = see_two_asleep,
                                                   .operate = come_acting,
                                                   .help = wait_in,
                                                   .helpers = 3,
                                                   .check = check_two };

    (void)state;
    step_single(&scenario);
}

/* Two come when the victim sleeps or is dead, and helper 2 for it if need be. */
static const char *come_later(int index)
{
    enter(index);
    if (index == 2) {
        step_await_victim_dead();
        step_await_asleep(0);
        step_await_asleep(1);
        if (brood_barrier_waiting(barrier) == 2)
            come_as(2, false);
        return NULL;
    }
    if (!step_await_victim_asleep() && index == 0 && brood_barrier_waiting(barrier) > 0)
        atomic_store(&step_notes->number[COUNTED], 1);
    if (index == 1)
        step_await_asleep(0);
    step_coming(index);
    come_as(index, false);
    step_got(index);
    return NULL;
}

static const char *check_counted(const struct step_death *death)
{
    if (atomic_load(&step_notes->number[COUNTED]) != 0 &&
        atomic_load(&step_notes->number[RESULT]) == 1000)
        return "they went on with a dead one";
    return check_two(death);
}

static void first_one(void **state)
{
    static const struct step_scenario scenario = { .name = "barrier, the first to come",
                                                   .setup = make,
                                                   .begin = enter,
                                                   .operate = come,
                                                   .help = come_later,
                                                   .helpers = 3,
                                                   .check = check_counted,
                                                   .flags = STEP_SLEEPS | STEP_VARIES };

    (void)state;
    step_single(&scenario);
}

static void abort_it(int who)
{
    (void)who;
    (void)brood_barrier_abort(barrier);
}

static void reset_it(int who)
{
    (void)who;
    (void)brood_barrier_reset(barrier);
}

/* Turned out, if the operation is over, and otherwise that or helped by helper 2. */
static const char *check_turned_out(const struct step_death *death)
{
    struct step_death not_done = *death;

    not_done.done[0] = false;
    if (death->done[0] && atomic_load(&step_notes->number[RESULT]) == 1000)
        return "they went on";
    return check_two(&not_done);
}

static void turn_out(const char *name, void (*operate)(int who))
{
    struct step_scenario scenario = { .name = name,
                                      .setup = make,
                                      .begin = see_two_asleep,
                                      .operate = operate,
                                      .help = wait_in,
                                      .helpers = 3,
                                      .check = check_turned_out };

    step_single(&scenario);
}

static void aborting(void **state)
{
    (void)state;
    turn_out("barrier, abort", abort_it);
}

static void resetting(void **state)
{
    (void)state;
    turn_out("barrier, reset", reset_it);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(last_one, 1800),  TEST_CASE_LIMIT(last_one_acting, 600),
    TEST_CASE_LIMIT(first_one, 1800), TEST_CASE_LIMIT(aborting, 600),
    TEST_CASE_LIMIT(resetting, 1800),
};
TEST_SUITE(crash_barrier, cases)
