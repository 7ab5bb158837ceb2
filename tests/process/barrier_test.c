/*
 * Processes at a barrier, and their deaths. Method: forked children take part; a death is
 * timed by what the barrier says about who waits, never by a sleep; the time until the
 * others hear of it is bounded. The cases after CPython's TestBarrier that need no death are
 * those of unit/barrier_test.c in processes.
 */
#include "helpers.h"

#include <stdatomic.h>

#define PARTIES 5

/* Within what a death must be noticed, and what a busy machine may add. */
#define NOTICED_MS 100
#define BUSY_MS 2000

/* What the children share beside the barrier. */
struct tally {
    atomic_int first, second, actions, index_sum, zero_indexes;
};

static brood_shared *shared;
static brood_barrier *barrier;
static struct tally *tally;
static brood_lock *reset_lock;

static void make(uint32_t parties)
{
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_barrier_create(shared, parties, &barrier), 0);
    assert_int_equal(
        brood_shared_alloc(shared, sizeof *tally, BROOD_ALLOC_ZERO, (void **)&tally), 0);
}

static void unmake(void)
{
    assert_int_equal(brood_barrier_destroy(barrier), 0);
    brood_shared_detach(shared);
}

/* ---- children ---- */

static pid_t child(int (*body)(void))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body());
    return pid;
}

static int status_of(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void end(pid_t pid)
{
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(WIFSIGNALED(status_of(pid)));
}

static void together(int (*body)(void))
{
    pid_t children[PARTIES];

    for (int i = 0; i < PARTIES; i++)
        children[i] = child(body);
    for (int i = 0; i < PARTIES; i++)
        assert_int_equal(status_of(children[i]), 0);
}

static void await_waiting(int count)
{
    while (brood_barrier_waiting(barrier) != count)
        test_pause();
}

/* What a wait says, as an exit status. */
enum { WENT_ON = 0, WAS_BROKEN = 32, TIMED_OUT, OTHERWISE };

static int outcome(int r)
{
    return r == 0            ? WENT_ON
           : r == -EPIPE     ? WAS_BROKEN
           : r == -ETIMEDOUT ? TIMED_OUT
                             : OTHERWISE;
}

static int wait_forever(void)
{
    return outcome(brood_barrier_wait(barrier, BROOD_FOREVER, NULL));
}

static void check_ended(pid_t pid, int what)
{
    int status = status_of(pid);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), what);
}

/* ---- after CPython ---- */

static int passes;

static int multipass(void)
{
    for (int i = 0; i < passes; i++) {
        atomic_fetch_add(&tally->first, 1);
        if (atomic_load(&tally->second) != i * PARTIES)
            return 1;
        if (brood_barrier_wait(barrier, BROOD_FOREVER, NULL) != 0)
            return 2;
        atomic_fetch_add(&tally->second, 1);
        if (atomic_load(&tally->first) != (i + 1) * PARTIES)
            return 3;
        if (brood_barrier_wait(barrier, BROOD_FOREVER, NULL) != 0)
            return 4;
    }
    return 0;
}

static void run_passes(int count)
{
    passes = count;
    make(PARTIES);
    together(multipass);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    assert_int_equal(brood_barrier_is_broken(barrier), 0);
    unmake();
}

/* test_barrier, test_barrier_10, test_thousand */
static void passed_in_lockstep(void **state)
{
    (void)state;
    run_passes(1);
}

static void passed_ten_times(void **state)
{
    (void)state;
    run_passes(10);
}

static void passed_a_thousand_times(void **state)
{
    (void)state;
    run_passes(1000);
}

static int act(void *user)
{
    (void)user;
    atomic_fetch_add(&tally->actions, 1);
    return 0;
}

/* test_wait_return, test_action: with an index 0 and one action in each round */
static int wait_and_tell_index(void)
{
    for (int i = 1; i <= 20; i++) {
        uint32_t index = 1000;

        if (brood_barrier_wait_action(barrier, act, NULL, BROOD_FOREVER, &index) != 0)
            return 1;
        if (atomic_load(&tally->actions) != i)
            return 2;
        atomic_fetch_add(&tally->index_sum, (int)index);
        atomic_fetch_add(&tally->zero_indexes, index == 0);
        if (brood_barrier_wait(barrier, BROOD_FOREVER, NULL) != 0)
            return 3;
        if (atomic_load(&tally->zero_indexes) != i ||
            atomic_load(&tally->index_sum) != i * (PARTIES - 1) * PARTIES / 2)
            return 4;
        if (brood_barrier_wait(barrier, BROOD_FOREVER, NULL) != 0)
            return 5;
    }
    return 0;
}

static void one_acts_and_each_gets_another_index(void **state)
{
    (void)state;
    make(PARTIES);
    together(wait_and_tell_index);
    unmake();
}

/* test_abort */
static int abort_in_the_middle(void)
{
    uint32_t index;

    if (brood_barrier_wait(barrier, BROOD_FOREVER, &index) != 0)
        return 1;
    if (index == PARTIES / 2)
        return brood_barrier_abort(barrier);
    return brood_barrier_wait(barrier, BROOD_FOREVER, NULL) == -EPIPE ? 0 : 2;
}

static void all_hear_of_an_abort(void **state)
{
    (void)state;
    make(PARTIES);
    together(abort_in_the_middle);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake();
}

/* test_reset */
static int reset_in_the_middle(void)
{
    uint32_t index;

    if (brood_barrier_wait(barrier, BROOD_FOREVER, &index) != 0)
        return 1;
    if (index == PARTIES / 2) {
        await_waiting(PARTIES - 1);
        if (brood_barrier_reset(barrier) != 0)
            return 2;
    } else if (brood_barrier_wait(barrier, BROOD_FOREVER, NULL) != -EPIPE) {
        return 3;
    }
    return brood_barrier_wait(barrier, BROOD_FOREVER, NULL) == 0 ? 0 : 4;
}

static void a_reset_frees_those_who_wait(void **state)
{
    (void)state;
    make(PARTIES);
    for (int i = 0; i < 20; i++)
        together(reset_in_the_middle);
    unmake();
}

/* test_timeout */
static int come_in_time_or_late(void)
{
    uint32_t index;
    int r;

    if (brood_barrier_wait(barrier, BROOD_FOREVER, &index) != 0)
        return 1;
    while (index == PARTIES / 2 && brood_barrier_is_broken(barrier) == 0)
        test_pause(); /* this one is late: it comes when the others have given up */
    r = brood_barrier_wait(barrier, brood_ms(50), NULL);
    return r == -EPIPE || r == -ETIMEDOUT ? 0 : 2;
}

static void a_late_one_finds_it_broken(void **state)
{
    (void)state;
    make(PARTIES);
    together(come_in_time_or_late);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake();
}

/* ---- deaths ---- */

static void row_g_a_dead_waiter_breaks_it_for_who_comes_later(void **state)
{
    int64_t start;
    pid_t pid;

    (void)state;
    make(2);
    pid = child(wait_forever);
    await_waiting(1);
    end(pid);
    start = test_now();
    assert_int_equal(brood_barrier_wait(barrier, brood_seconds(20), NULL), -EPIPE);
    assert_true(test_now() - start < (NOTICED_MS + BUSY_MS) * MS);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake();
}

static void row_g_a_dead_waiter_breaks_it_for_those_who_wait(void **state)
{
    pid_t victim, others[2];
    int64_t start;

    (void)state;
    make(4);
    victim = child(wait_forever);
    for (int i = 0; i < 2; i++)
        others[i] = child(wait_forever);
    await_waiting(3);
    start = test_now();
    end(victim);
    for (int i = 0; i < 2; i++)
        check_ended(others[i], WAS_BROKEN);
    assert_true(test_now() - start < (NOTICED_MS + BUSY_MS) * MS);
    /* And it is as good as new after a reset. */
    assert_int_equal(brood_barrier_reset(barrier), 0);
    for (int i = 0; i < 2; i++)
        others[i] = child(wait_forever);
    await_waiting(2);
    victim = child(wait_forever);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_FOREVER, NULL), 0);
    check_ended(victim, WENT_ON);
    for (int i = 0; i < 2; i++)
        check_ended(others[i], WENT_ON);
    unmake();
}

static void a_question_notices_a_dead_waiter(void **state)
{
    pid_t pid;

    (void)state;
    make(3);
    pid = child(wait_forever);
    await_waiting(1);
    end(pid);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake();
}

/* The new process gets the dead one's slot, and must not pass for it. */
static void a_successor_does_not_stand_in_for_a_dead_waiter(void **state)
{
    pid_t pid;

    (void)state;
    make(3);
    await_waiting(0); /* the case has its own slot before */
    pid = child(wait_forever);
    await_waiting(1);
    end(pid);
    pid = child(wait_forever);
    check_ended(pid, WAS_BROKEN);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake();
}

_Noreturn static int stay(void *user)
{
    (void)user;
    atomic_fetch_add(&tally->actions, 1);
    for (;;)
        (void)pause();
}

static int act_for_ever(void)
{
    return outcome(brood_barrier_wait_action(barrier, stay, NULL, BROOD_FOREVER, NULL));
}

static void a_death_in_the_action_breaks_it(void **state)
{
    pid_t acting, waiting;
    int64_t start;

    (void)state;
    make(2);
    waiting = child(wait_forever);
    await_waiting(1);
    acting = child(act_for_ever);
    while (atomic_load(&tally->actions) == 0)
        test_pause();
    assert_int_equal(brood_barrier_waiting(barrier), 2);
    start = test_now();
    end(acting);
    check_ended(waiting, WAS_BROKEN);
    assert_true(test_now() - start < (NOTICED_MS + BUSY_MS) * MS);
    unmake();
}

static int time_out(void)
{
    return outcome(brood_barrier_wait(barrier, brood_ms(30), NULL));
}

static void a_deadline_is_kept_while_another_acts(void **state)
{
    pid_t acting, waiting;

    (void)state;
    make(2);
    waiting = child(time_out);
    while (brood_barrier_waiting(barrier) != 1 && brood_barrier_is_broken(barrier) == 0)
        test_pause();
    acting = child(act_for_ever);
    check_ended(waiting, TIMED_OUT);
    if (atomic_load(&tally->actions) == 0)
        check_ended(acting, WAS_BROKEN); /* it came too late to act */
    else
        end(acting);
    assert_int_equal(brood_barrier_is_broken(barrier), 1);
    unmake();
}

static void wait_as_child(void)
{
    /* A mark of the parent's, which waits in another thread or not, is not the child's. */
    assert_int_equal(brood_barrier_wait(barrier, BROOD_NOWAIT, NULL), -ETIMEDOUT);
    assert_int_equal(brood_barrier_reset(barrier), 0);
}

static void children_are_parties_of_their_own(void **state)
{
    pid_t pid;

    (void)state;
    make(2);
    assert_int_equal(brood_barrier_waiting(barrier), 0);
    assert_int_equal(status_of_fork(wait_as_child), 0);
    pid = child(wait_forever);
    assert_int_equal(brood_barrier_wait(barrier, BROOD_FOREVER, NULL), 0);
    check_ended(pid, WENT_ON);
    unmake();
}

/* ---- deaths at any moment ---- */

#define CREW 4

static int reset_if_broken(void)
{
    int r = brood_lock_acquire(reset_lock, BROOD_FOREVER);

    if (r >= 0 && brood_barrier_is_broken(barrier) == 1)
        r = brood_barrier_reset(barrier);
    return r < 0 ? r : brood_lock_release(reset_lock);
}

/* Takes part for ever. One of those who find it broken resets it. */
static int work(void)
{
    for (;;) {
        int r = brood_barrier_wait(barrier, BROOD_FOREVER, NULL);

        if (r == -EPIPE)
            r = reset_if_broken();
        else
            atomic_fetch_add(&tally->first, 1);
        if (r != 0)
            return 1;
    }
}

static void deaths_at_any_moment_are_survived(void **state)
{
    pid_t crew[CREW];

    (void)state;
    make(CREW);
    assert_int_equal(brood_lock_create(shared, NULL, &reset_lock), 0);
    for (int i = 0; i < CREW; i++)
        crew[i] = child(work);
    for (int i = 0; i < 100; i++) {
        int before = atomic_load(&tally->first);

        while (atomic_load(&tally->first) < before + CREW)
            test_pause();
        end(crew[i % CREW]);
        crew[i % CREW] = child(work);
    }
    for (int i = 0; i < CREW; i++)
        end(crew[i]);
    assert_int_equal(brood_barrier_reset(barrier), 0);
    unmake();
}

static const struct test_case cases[] = {
    TEST_CASE(passed_in_lockstep),
    TEST_CASE(passed_ten_times),
    TEST_CASE_LIMIT(passed_a_thousand_times, 120),
    TEST_CASE(one_acts_and_each_gets_another_index),
    TEST_CASE(all_hear_of_an_abort),
    TEST_CASE_LIMIT(a_reset_frees_those_who_wait, 120),
    TEST_CASE(a_late_one_finds_it_broken),
    TEST_CASE(row_g_a_dead_waiter_breaks_it_for_who_comes_later),
    TEST_CASE(row_g_a_dead_waiter_breaks_it_for_those_who_wait),
    TEST_CASE(a_question_notices_a_dead_waiter),
    TEST_CASE(a_successor_does_not_stand_in_for_a_dead_waiter),
    TEST_CASE(a_death_in_the_action_breaks_it),
    TEST_CASE(a_deadline_is_kept_while_another_acts),
    TEST_CASE(children_are_parties_of_their_own),
    TEST_CASE_LIMIT(deaths_at_any_moment_are_survived, 120),
};
TEST_SUITE(barrier, cases)
