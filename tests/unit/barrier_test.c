/*
 * The barrier: what each call answers in each state, and threads that meet at it, after the
 * cases of CPython's BarrierTests. Method: the case is one of the parties, or looks at the
 * barrier from outside until the others are there.
 */
#include "test.h"

#include "shm/presence.h"
#include "sync/barrier.h"

#include <brood.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static brood_shared *shared;

static brood_barrier *make(uint32_t parties)
{
    brood_barrier *barrier = NULL;

    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_barrier_create(shared, parties, &barrier), 0);
    return barrier;
}

static void unmake(brood_barrier *barrier)
{
    assert_int_equal(brood_barrier_destroy(barrier), 0);
    brood_shared_detach(shared);
}

static void await_waiting(brood_barrier *barrier, int count)
{
    while (brood_barrier_waiting(barrier) != count)
        (void)usleep(200);
}

/* ---- threads ---- */

#define PARTIES 5

struct party {
    pthread_t thread;
    brood_barrier *barrier;
    brood_barrier_action *action;
    void *user;
    int64_t timeout;
    int r;
    uint32_t index;
};

static void *take_part(void *argument)
{
    struct party *party = argument;

    party->r = party->action == NULL
                   ? brood_barrier_wait(party->barrier, party->timeout, &party->index)
                   : brood_barrier_wait_action(party->barrier, party->action, party->user,
                                               party->timeout, &party->index);
    return NULL;
}

static void start(struct party *party, void *(*body)(void *argument), brood_barrier *barrier)
{
    party->barrier = barrier;
    party->timeout = BROOD_FOREVER;
    party->r = -1000;
    party->index = 1000;
    assert_int_equal(pthread_create(&party->thread, NULL, body, party), 0);
}

static void join(struct party *party)
{
    assert_int_equal(pthread_join(party->thread, NULL), 0);
}

static void together(void *(*body)(void *argument), brood_barrier *barrier)
{
    struct party parties[PARTIES] = { 0 };

    for (int i = 0; i < PARTIES; i++)
        start(&parties[i], body, barrier);
    for (int i = 0; i < PARTIES; i++)
        join(&parties[i]);
}

/* ---- by itself ---- */

static int never(void *user)
{
    (void)user;
    return -EIO;
}

static void bad_arguments_are_refused(void **state)
{
    brood_barrier *barrier = make(2);
    brood_barrier *other = NULL;

    (void)state;
    assert_int_equal(brood_barrier_create(shared, 2, NULL), -EINVAL);
    assert_int_equal(brood_barrier_create(shared, 0, &other), -EINVAL);
    assert_int_equal(brood_barrier_create(shared, 513, &other), -EINVAL);
    assert_null(other);
    assert_int_equal(brood_barrier_wait(NULL, BROOD_NOWAIT, NULL), -EINVAL);
    assert_int_equal(brood_barrier_wait(barrier, -2, NULL), -EINVAL);
    assert_int_equal(brood_barrier_wait_action(barrier, NULL, NULL, BROOD_NOWAIT, NULL),
                     -EINVAL);
    assert_int_equal(brood_barrier_wait_action(NULL, never, NULL, BROOD_NOWAIT, NULL), -EINVAL);
    assert_int_equal(brood_barrier_abort(NULL), -EINVAL);
    assert_int_equal(brood_barrier_reset(NULL), -EINVAL);
    assert_int_equal(brood_barrier_parties(NULL), -EINVAL);
    assert_int_equal(brood_barrier_waiting(NULL), -EINVAL);
    assert_int_equal(brood_barrier_is_broken(NULL), -EINVAL);
    assert_int_equal(brood_barrier_destroy(NULL), 0);
    assert_int_equal(brood_barrier_is_broken(barrier), 0);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    unmake(barrier);
}

static int count(void *user)
{
    ++*(int *)user;
    return 0;
}

/* test_single_thread */
static void one_party_goes_straight_on(void **state)
{
    brood_barrier *barrier = make(1);
    uint32_t index = 7;
    int acted = 0;

    (void)state;
    assert_int_equal(brood_barrier_parties(barrier), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(brood_barrier_wait(barrier, BROOD_NOWAIT, &index), 0);
        assert_int_equal(index, 0);
        assert_int_equal(brood_barrier_wait_action(barrier, count, &acted, BROOD_FOREVER, NULL),
                         0);
        assert_int_equal(acted, i + 1);
    }
    unmake(barrier);
}

/* test_default_timeout */
static void a_timeout_breaks_it(void **state)
{
    brood_barrier *barrier = make(2);
    struct timespec before, now;
    uint32_t index = 7;

    (void)state;
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(brood_barrier_wait(barrier, brood_ms(100), &index), -ETIMEDOUT);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    assert_true((now.tv_sec - before.tv_sec) * 1000000000L + now.tv_nsec - before.tv_nsec >=
                100000000L);
    assert_int_equal(index, 7);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_FOREVER, &index), -EPIPE);
    assert_int_equal(brood_barrier_reset(barrier), 0);
    assert_int_equal(brood_barrier_is_broken(barrier), 0);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_NOWAIT, NULL), -ETIMEDOUT);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake(barrier);
}

static void abort_and_reset_of_an_empty_one(void **state)
{
    brood_barrier *barrier = make(2);
    uint64_t turn = brood__barrier_turn(barrier);

    (void)state;
    assert_int_equal(brood_barrier_reset(barrier), 0);
    assert_true(brood__barrier_turn(barrier) == turn);
    assert_int_equal(brood_barrier_abort(barrier), 0);
    assert_int_equal(brood_barrier_abort(barrier), 0);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    assert_true(brood__barrier_turn(barrier) != turn);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_FOREVER, NULL), -EPIPE);
    assert_int_equal(brood_barrier_reset(barrier), 0);
    assert_int_equal(brood_barrier_is_broken(barrier), 0);
    unmake(barrier);
}

static int wait_inside(void *user)
{
    return brood_barrier_wait(user, BROOD_FOREVER, NULL);
}

static void a_wait_inside_the_action_is_refused(void **state)
{
    brood_barrier *barrier = make(1);

    (void)state;
    assert_int_equal(
        brood_barrier_wait_action(barrier, wait_inside, barrier, BROOD_FOREVER, NULL),
        -EDEADLK);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake(barrier);
}

static int abort_inside(void *user)
{
    return brood_barrier_abort(user);
}

static int reset_inside(void *user)
{
    return brood_barrier_reset(user);
}

static void an_action_may_break_the_round(void **state)
{
    brood_barrier *barrier = make(1);

    (void)state;
    assert_int_equal(
        brood_barrier_wait_action(barrier, reset_inside, barrier, BROOD_FOREVER, NULL), -EPIPE);
    assert_int_equal(brood_barrier_is_broken(barrier), 0);
    assert_int_equal(
        brood_barrier_wait_action(barrier, abort_inside, barrier, BROOD_FOREVER, NULL), -EPIPE);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake(barrier);
}

/* The numbers of rounds come again after 2^30. */
static void the_numbers_of_rounds_may_come_again(void **state)
{
    brood_barrier *barrier = make(1);
    uint64_t last = UINT64_MAX << BROOD__BARRIER_ROUND_SHIFT;

    (void)state;
    atomic_store(&barrier->state, last);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_NOWAIT, NULL), 0);
    assert_true(atomic_load(&barrier->state) == 0);
    unmake(barrier);
}

static void old_marks_do_not_come_to_life(void **state)
{
    brood_barrier *barrier = make(1);
    uint64_t old = UINT64_C(5) << BROOD__BARRIER_ROUND_SHIFT;
    uint64_t far = UINT64_C(1) << (BROOD__BARRIER_ROUND_SHIFT + 22);

    (void)state;
    assert_int_equal(brood_barrier_wait(barrier, BROOD_NOWAIT, NULL), 0);
    /* A thread that is dead was in round 5: its mark would be found at the next round 5. */
    atomic_store(&barrier->roll[brood__here.slot],
                 brood__roll_pack(brood__here.generation - 1, 5 << 2 | 1));
    atomic_store(&barrier->state, far);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_NOWAIT, NULL), 0);
    assert_int_equal(atomic_load(&barrier->roll[brood__here.slot]), 0);
    atomic_store(&barrier->state, old);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_NOWAIT, NULL), 0);
    unmake(barrier);
}

/* ---- threads at it ---- */

static atomic_int first, second;

static void multipass(struct party *party, int passes)
{
    for (int i = 0; i < passes; i++) {
        atomic_fetch_add(&first, 1);
        INSIST(atomic_load(&second) == i * PARTIES, "%d", atomic_load(&second));
        INSIST(brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL) == 0, "pass %d", i);
        atomic_fetch_add(&second, 1);
        INSIST(atomic_load(&first) == (i + 1) * PARTIES, "%d", atomic_load(&first));
        INSIST(brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL) == 0, "pass %d", i);
    }
}

static void *pass_once(void *argument)
{
    multipass(argument, 1);
    return NULL;
}

static void *pass_10(void *argument)
{
    multipass(argument, 10);
    return NULL;
}

static void *pass_1000(void *argument)
{
    multipass(argument, 1000);
    return NULL;
}

static void run_passes(void *(*body)(void *argument))
{
    brood_barrier *barrier = make(PARTIES);

    assert_int_equal(brood_barrier_parties(barrier), PARTIES);
    together(body, barrier);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    assert_int_equal(brood_barrier_is_broken(barrier), 0);
    unmake(barrier);
}

/* test_barrier, test_barrier_10, test_thousand */
static void threads_pass_in_lockstep(void **state)
{
    (void)state;
    run_passes(pass_once);
}

static void threads_pass_ten_times(void **state)
{
    (void)state;
    run_passes(pass_10);
}

static void threads_pass_a_thousand_times(void **state)
{
    (void)state;
    run_passes(pass_1000);
}

/* test_wait_return */
static void each_thread_gets_another_index(void **state)
{
    brood_barrier *barrier = make(PARTIES);
    struct party parties[PARTIES] = { 0 };
    unsigned seen = 0;

    (void)state;
    for (int i = 0; i < PARTIES; i++)
        start(&parties[i], take_part, barrier);
    for (int i = 0; i < PARTIES; i++) {
        join(&parties[i]);
        assert_int_equal(parties[i].r, 0);
        assert_true(parties[i].index < PARTIES);
        seen |= 1u << parties[i].index;
    }
    assert_int_equal(seen, (1u << PARTIES) - 1);
    unmake(barrier);
}

/* test_action */
static atomic_int actions;

static int act(void *user)
{
    (void)user;
    atomic_fetch_add(&actions, 1);
    return 0;
}

static void *wait_and_look(void *argument)
{
    struct party *party = argument;

    for (int i = 1; i <= 100; i++) {
        INSIST(brood_barrier_wait_action(party->barrier, act, NULL, BROOD_FOREVER, NULL) == 0,
               "round %d", i);
        INSIST(atomic_load(&actions) == i, "%d in round %d", atomic_load(&actions), i);
        INSIST(brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL) == 0, "round %d", i);
    }
    return NULL;
}

static void one_thread_acts_before_the_others_go_on(void **state)
{
    brood_barrier *barrier = make(PARTIES);

    (void)state;
    together(wait_and_look, barrier);
    assert_int_equal(atomic_load(&actions), 100);
    unmake(barrier);
}

static void a_failed_action_breaks_it_for_all_threads(void **state)
{
    brood_barrier *barrier = make(2);
    struct party party = { .action = never };

    (void)state;
    start(&party, take_part, barrier);
    await_waiting(barrier, 1);
    assert_int_equal(brood_barrier_wait_action(barrier, never, NULL, BROOD_FOREVER, NULL),
                     -EIO);
    join(&party);
    assert_int_equal(party.r, -EPIPE);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake(barrier);
}

/* test_abort, test_reset, test_abort_and_reset: the one in the middle does it. */
static atomic_int passed, heard_broken, passed_again;

static void *abort_in_the_middle(void *argument)
{
    struct party *party = argument;
    uint32_t index;
    int r;

    INSIST(brood_barrier_wait(party->barrier, BROOD_FOREVER, &index) == 0, "first");
    if (index == PARTIES / 2) {
        INSIST(brood_barrier_abort(party->barrier) == 0, "abort");
        return NULL;
    }
    r = brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL);
    atomic_fetch_add(r == 0 ? &passed : &heard_broken, 1);
    INSIST(r == -EPIPE, "%d", r);
    return NULL;
}

static void threads_hear_of_an_abort(void **state)
{
    brood_barrier *barrier = make(PARTIES);

    (void)state;
    together(abort_in_the_middle, barrier);
    assert_int_equal(atomic_load(&heard_broken), PARTIES - 1);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake(barrier);
}

static void *reset_in_the_middle(void *argument)
{
    struct party *party = argument;
    uint32_t index;
    int r;

    INSIST(brood_barrier_wait(party->barrier, BROOD_FOREVER, &index) == 0, "first");
    if (index == PARTIES / 2) {
        await_waiting(party->barrier, PARTIES - 1);
        INSIST(brood_barrier_reset(party->barrier) == 0, "reset");
    } else {
        r = brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL);
        atomic_fetch_add(r == 0 ? &passed : &heard_broken, 1);
        INSIST(r == -EPIPE, "%d", r);
    }
    /* At once, while others have yet to hear of it. */
    r = brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL);
    INSIST(r == 0, "%d", r);
    atomic_fetch_add(&passed_again, 1);
    return NULL;
}

static void a_reset_frees_waiting_threads(void **state)
{
    brood_barrier *barrier = make(PARTIES);

    (void)state;
    for (int i = 1; i <= 50; i++) {
        together(reset_in_the_middle, barrier);
        assert_int_equal(atomic_load(&heard_broken), i * (PARTIES - 1));
        assert_int_equal(atomic_load(&passed_again), i * PARTIES);
        assert_int_equal(brood_barrier_is_broken(barrier), 0);
    }
    unmake(barrier);
}

static brood_barrier *other_barrier;

static void *abort_and_reset(void *argument)
{
    struct party *party = argument;
    uint32_t index;

    INSIST(brood_barrier_wait(party->barrier, BROOD_FOREVER, &index) == 0, "first");
    if (index == PARTIES / 2)
        INSIST(brood_barrier_abort(party->barrier) == 0, "abort");
    else
        INSIST(brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL) == -EPIPE, "second");
    INSIST(brood_barrier_wait(other_barrier, BROOD_FOREVER, &index) == 0, "other");
    if (index == PARTIES / 2)
        INSIST(brood_barrier_reset(party->barrier) == 0, "reset");
    INSIST(brood_barrier_wait(other_barrier, BROOD_FOREVER, NULL) == 0, "other");
    INSIST(brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL) == 0, "third");
    return NULL;
}

static void threads_go_on_after_abort_and_reset(void **state)
{
    brood_barrier *barrier = make(PARTIES);

    (void)state;
    assert_int_equal(brood_barrier_create(shared, PARTIES, &other_barrier), 0);
    for (int i = 0; i < 20; i++)
        together(abort_and_reset, barrier);
    assert_int_equal(brood_barrier_is_broken(barrier), 0);
    assert_int_equal(brood_barrier_destroy(other_barrier), 0);
    unmake(barrier);
}

/* test_timeout */
static void a_thread_whose_time_is_over_breaks_it_for_others(void **state)
{
    brood_barrier *barrier = make(3);
    struct party party = { 0 };

    (void)state;
    start(&party, take_part, barrier);
    await_waiting(barrier, 1);
    assert_int_equal(brood_barrier_wait(barrier, brood_ms(30), NULL), -ETIMEDOUT);
    join(&party);
    assert_int_equal(party.r, -EPIPE);
    unmake(barrier);
}

/* test_repr asks for the same numbers. */
static void the_numbers_of_waiting_threads_are_exact(void **state)
{
    brood_barrier *barrier = make(3);
    struct party parties[2] = { 0 };

    (void)state;
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    start(&parties[0], take_part, barrier);
    await_waiting(barrier, 1);
    start(&parties[1], take_part, barrier);
    await_waiting(barrier, 2);
    assert_int_equal(brood_barrier_destroy(barrier), -EBUSY);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_NOWAIT, NULL), 0);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    join(&parties[0]);
    join(&parties[1]);
    assert_int_equal(brood_barrier_abort(barrier), 0);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    unmake(barrier);
}

/* More threads than parties: any two of them make a round, also while others act. A thread
 * may be left over, without a partner, so the case makes sure that there is always one. */
static atomic_int ended;

static void *wait_often(void *argument)
{
    struct party *party = argument;

    for (int i = 0; i < 300; i++) {
        int r = i % 3 == 0
                    ? brood_barrier_wait_action(party->barrier, act, NULL, BROOD_FOREVER, NULL)
                    : brood_barrier_wait(party->barrier, BROOD_FOREVER, NULL);

        INSIST(r == 0, "%d in round %d", r, i);
    }
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void more_threads_than_parties(void **state)
{
    brood_barrier *barrier = make(2);
    struct party parties[4] = { 0 };

    (void)state;
    for (int i = 0; i < 4; i++)
        start(&parties[i], wait_often, barrier);
    while (atomic_load(&ended) < 4)
        if (atomic_load(&ended) == 3 && brood_barrier_waiting(barrier) == 1)
            assert_int_equal(brood_barrier_wait(barrier, BROOD_FOREVER, NULL), 0);
        else
            (void)usleep(1000);
    for (int i = 0; i < 4; i++)
        join(&parties[i]);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    unmake(barrier);
}

static const struct test_case cases[] = {
    TEST_CASE(bad_arguments_are_refused),
    TEST_CASE(one_party_goes_straight_on),
    TEST_CASE(a_timeout_breaks_it),
    TEST_CASE(abort_and_reset_of_an_empty_one),
    TEST_CASE(a_wait_inside_the_action_is_refused),
    TEST_CASE(an_action_may_break_the_round),
    TEST_CASE(the_numbers_of_rounds_may_come_again),
    TEST_CASE(old_marks_do_not_come_to_life),
    TEST_CASE(threads_pass_in_lockstep),
    TEST_CASE(threads_pass_ten_times),
    TEST_CASE_LIMIT(threads_pass_a_thousand_times, 120),
    TEST_CASE(each_thread_gets_another_index),
    TEST_CASE(one_thread_acts_before_the_others_go_on),
    TEST_CASE(a_failed_action_breaks_it_for_all_threads),
    TEST_CASE(threads_hear_of_an_abort),
    TEST_CASE_LIMIT(a_reset_frees_waiting_threads, 120),
    TEST_CASE_LIMIT(threads_go_on_after_abort_and_reset, 120),
    TEST_CASE(a_thread_whose_time_is_over_breaks_it_for_others),
    TEST_CASE(the_numbers_of_waiting_threads_are_exact),
    TEST_CASE_LIMIT(more_threads_than_parties, 120),
};
TEST_SUITE(barrier_unit, cases)
