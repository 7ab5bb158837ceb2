/*
 * The condition between processes: who waits, who notifies, and who dies at it; row e of the
 * failure matrix. Method: forked children wait and are killed at every point of that, stopped
 * first where the point matters; those who live must get what they are due.
 */
#include "helpers.h"

#include <stdatomic.h>

#define CHILDREN 4
#define LIMIT brood_seconds(20) /* for what happens at once, on a machine that is busy */

static bool long_mode(void)
{
    const char *value = getenv("BROOD_TEST_LONG");

    return value != NULL && strcmp(value, "1") == 0;
}

/* What a case works with, in a segment of its own; the counts change with the lock held. */
struct place {
    brood_shared *shared;
    brood_lock *lock;
    brood_condition *condition;
    struct counts {
        int made, used;
        _Atomic int waiting, woken;
    } * counts;
};

static struct place made(void)
{
    struct place place = { NULL, NULL, NULL, NULL };

    assert_int_equal(brood_shared_create(NULL, &place.shared), 0);
    assert_int_equal(brood_lock_create(place.shared, NULL, &place.lock), 0);
    assert_int_equal(brood_condition_create(place.shared, &place.condition), 0);
    assert_int_equal(brood_shared_alloc(place.shared, sizeof *place.counts, BROOD_ALLOC_ZERO,
                                        (void **)&place.counts),
                     0);
    return place;
}

static void unmake(const struct place *place)
{
    assert_int_equal(brood_condition_waiters(place->condition), 0);
    assert_int_equal(brood_condition_destroy(place->condition), 0);
    brood_shared_detach(place->shared);
}

static void acquire(const struct place *place)
{
    assert_int_equal(brood_lock_acquire(place->lock, LIMIT), 0);
}

static void release(const struct place *place)
{
    assert_int_equal(brood_lock_release(place->lock), 0);
}

static void end_by_kill(pid_t pid)
{
    int status = 0;

    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, SIGKILL); /* it had not ended by itself */
}

static void stop(pid_t pid)
{
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
}

static int code_of(pid_t pid)
{
    int status = -1;

    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A child that waits once, and ends with what it heard. */
static pid_t waiter_of(const struct place *place, int64_t timeout)
{
    pid_t pid = fork();

    if (pid == 0) {
        int r = brood_lock_acquire(place->lock, LIMIT);

        if (r < 0)
            _exit(99);
        (void)atomic_fetch_add(&place->counts->waiting, 1);
        r = brood_condition_wait(place->condition, place->lock, timeout);
        (void)atomic_fetch_add(&place->counts->woken, 1);
        if (brood_lock_release(place->lock) < 0)
            _exit(98);
        _exit(r < 0 ? -r : r);
    }
    assert_true(pid > 1);
    return pid;
}

static void await(const _Atomic int *counter, int count)
{
    int64_t deadline = test_now() + LIMIT;

    while (atomic_load(counter) < count) {
        assert_true(test_now() < deadline);
        test_pause();
    }
    assert_int_equal(atomic_load(counter), count);
}

/* Once so many have said that they wait, the next holder of the lock finds them waiting. */
static void await_waiting(const struct place *place, int count)
{
    await(&place->counts->waiting, count);
    acquire(place);
    release(place);
}

/* ---- notifying ---- */

static void notifies_processes_one_by_one(void **state)
{
    struct place place = made();
    pid_t pids[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = waiter_of(&place, LIMIT);
        await_waiting(&place, i + 1);
    }
    assert_int_equal(brood_condition_waiters(place.condition), CHILDREN);
    for (int i = 0; i < CHILDREN; i++) {
        acquire(&place);
        assert_int_equal(brood_condition_notify(place.condition, 1), 1);
        release(&place);
        assert_int_equal(code_of(pids[i]), 0); /* in the order in which they came */
        assert_int_equal(atomic_load(&place.counts->woken), i + 1);
    }
    unmake(&place);
}

static void notifies_so_many_processes_and_all(void **state)
{
    struct place place = made();
    pid_t pids[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = waiter_of(&place, LIMIT);
        await_waiting(&place, i + 1);
    }
    assert_int_equal(brood_condition_notify(place.condition, 2), 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(code_of(pids[i]), 0);
    assert_int_equal(atomic_load(&place.counts->woken), 2);
    assert_int_equal(brood_condition_notify_all(place.condition), CHILDREN - 2);
    for (int i = 2; i < CHILDREN; i++)
        assert_int_equal(code_of(pids[i]), 0);
    assert_int_equal(brood_condition_notify(place.condition, 3), 0);
    unmake(&place);
}

static void processes_run_out_of_time(void **state)
{
    struct place place = made();
    pid_t pids[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = waiter_of(&place, 20 * MS);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(code_of(pids[i]), ETIMEDOUT);
    unmake(&place);
}

static int is_more(void *user)
{
    const struct place *place = user;

    return place->counts->made > place->counts->used;
}

static void processes_wait_for_a_predicate(void **state)
{
    struct place place = made();
    pid_t pids[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int round = 0; round < 500; round++) {
                if (brood_lock_acquire(place.lock, LIMIT) != 0 ||
                    brood_condition_wait_for(place.condition, place.lock, is_more, &place,
                                             LIMIT) != 0)
                    _exit(1);
                place.counts->used++;
                if (brood_lock_release(place.lock) != 0)
                    _exit(2);
            }
            _exit(0);
        }
        assert_true(pids[i] > 1);
    }
    for (int round = 0; round < CHILDREN * 500; round++) {
        acquire(&place);
        place.counts->made++;
        assert_in_range(brood_condition_notify(place.condition, 1), 0, 1);
        release(&place);
    }
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(code_of(pids[i]), 0);
    assert_int_equal(place.counts->used, place.counts->made);
    unmake(&place);
}

/* ---- waiters that die ---- */

/* Row e: CPython's notify_all() hangs. */
static void row_e_notify_does_not_wait_for_a_killed_waiter(void **state)
{
    struct place place = made();

    (void)state;
    for (int round = 0; round < 20; round++) {
        pid_t victims[CHILDREN], survivor;
        int64_t start;

        atomic_store(&place.counts->waiting, 0);
        for (int i = 0; i < CHILDREN; i++)
            victims[i] = waiter_of(&place, LIMIT);
        survivor = waiter_of(&place, LIMIT);
        await_waiting(&place, CHILDREN + 1);
        for (int i = 0; i < CHILDREN; i++)
            end_by_kill(victims[i]);
        start = test_now();
        acquire(&place);
        if (round % 2 == 0)
            assert_int_equal(brood_condition_notify_all(place.condition), 1);
        else /* it is not wasted on one of the dead, who came first */
            assert_int_equal(brood_condition_notify(place.condition, 1), 1);
        release(&place);
        assert_true(test_now() - start < 1000 * MS);
        assert_int_equal(code_of(survivor), 0);
    }
    unmake(&place);
}

/* Notified while it is stopped, and killed: the notification goes to one who waited then. */
static void notification_of_a_killed_waiter_is_passed_on(void **state)
{
    struct place place = made();

    (void)state;
    for (int round = 0; round < 10; round++) {
        pid_t victim, survivor;
        int64_t start;

        atomic_store(&place.counts->waiting, 0);
        victim = waiter_of(&place, LIMIT);
        await_waiting(&place, 1);
        survivor = waiter_of(&place, LIMIT);
        await_waiting(&place, 2);
        stop(victim);
        assert_int_equal(brood_condition_notify(place.condition, 1), 1);
        assert_int_equal(brood_condition_waiters(place.condition), 1);
        start = test_now();
        end_by_kill(victim);
        assert_int_equal(code_of(survivor), 0);
        assert_true(test_now() - start < 1000 * MS); /* 100, were the machine ours alone */
    }
    unmake(&place);
}

/* The same while it waits for the lock, which it is owed. */
static void notification_of_one_killed_on_its_way_is_passed_on(void **state)
{
    struct place place = made();
    pid_t victim, survivor;

    (void)state;
    victim = waiter_of(&place, LIMIT);
    await_waiting(&place, 1);
    survivor = waiter_of(&place, LIMIT);
    await_waiting(&place, 2);
    acquire(&place);
    assert_int_equal(brood_condition_notify(place.condition, 1), 1);
    for (int i = 0; i < 20; i++)
        test_pause(); /* it may wake, but cannot have the lock */
    end_by_kill(victim);
    release(&place);
    assert_int_equal(code_of(survivor), 0);
    assert_int_equal(atomic_load(&place.counts->woken), 1);
    unmake(&place);
}

/* Those who come after the notification are not meant by it; its slot's next owner neither. */
static void notification_of_the_killed_is_not_for_later_ones(void **state)
{
    struct place place = made();
    pid_t victim, later;

    (void)state;
    victim = waiter_of(&place, LIMIT);
    await_waiting(&place, 1);
    stop(victim);
    assert_int_equal(brood_condition_notify(place.condition, 1), 1);
    end_by_kill(victim);
    later = waiter_of(&place, 300 * MS);
    assert_int_equal(code_of(later), ETIMEDOUT);
    unmake(&place);
}

/* Another process gets the slot of the one that died with a notification, and waits itself:
 * it passes on what it finds there. */
static void notification_survives_its_slot(void **state)
{
    struct place place = made();

    (void)state;
    for (int round = 0; round < 5; round++) {
        pid_t victim, survivor, heir;

        atomic_store(&place.counts->waiting, 0);
        victim = waiter_of(&place, LIMIT);
        await_waiting(&place, 1);
        survivor = waiter_of(&place, LIMIT);
        await_waiting(&place, 2);
        stop(victim);
        stop(survivor); /* so that it does not come for it first */
        assert_int_equal(brood_condition_notify(place.condition, 1), 1);
        end_by_kill(victim);
        heir = waiter_of(&place, 20 * MS);
        assert_int_equal(code_of(heir), ETIMEDOUT);
        assert_int_equal(brood_condition_waiters(place.condition), 0); /* it has it */
        assert_int_equal(kill(survivor, SIGCONT), 0);
        assert_int_equal(code_of(survivor), 0);
    }
    unmake(&place);
}

/* ---- holders that die ---- */

/* The one who was to notify dies with the lock, and nobody else comes for that. */
static void waiter_hears_of_a_holder_that_died(void **state)
{
    struct place place = made();

    (void)state;
    for (int round = 0; round < 10; round++) {
        pid_t waiters[CHILDREN], holder;
        int status, recovered = 0;
        int64_t start;

        atomic_store(&place.counts->waiting, 0);
        for (int i = 0; i < CHILDREN; i++)
            waiters[i] = waiter_of(&place, LIMIT);
        await_waiting(&place, CHILDREN);
        holder = fork();
        if (holder == 0) {
            if (brood_lock_acquire(place.lock, LIMIT) != 0)
                _exit(1);
            (void)kill(getpid(), SIGKILL);
        }
        assert_true(holder > 1);
        start = test_now();
        assert_int_equal(waitpid(holder, &status, 0), holder);
        assert_int_equal(status, SIGKILL);
        await(&place.counts->woken, round * CHILDREN + 1);
        assert_true(test_now() - start < 1000 * MS);
        acquire(&place); /* in order again: he who heard of it has released it */
        assert_int_equal(brood_condition_waiters(place.condition), CHILDREN - 1);
        assert_int_equal(brood_condition_notify_all(place.condition), CHILDREN - 1);
        release(&place);
        for (int i = 0; i < CHILDREN; i++) {
            int code = code_of(waiters[i]);

            assert_in_range(code, 0, BROOD_LOCK_RECOVERED);
            recovered += code;
        }
        assert_int_equal(recovered, 1);
    }
    unmake(&place);
}

static int never(void *user)
{
    (void)user;
    return 0;
}

static void predicate_is_not_asked_about_what_may_be_torn(void **state)
{
    struct place place = made();
    pid_t waiter = fork(), holder;

    (void)state;
    if (waiter == 0) {
        if (brood_lock_acquire(place.lock, LIMIT) != 0)
            _exit(99);
        atomic_store(&place.counts->waiting, 1);
        _exit(brood_condition_wait_for(place.condition, place.lock, never, NULL, LIMIT));
    }
    assert_true(waiter > 1);
    await_waiting(&place, 1);
    holder = fork();
    if (holder == 0) {
        if (brood_lock_acquire(place.lock, LIMIT) == 0)
            (void)kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_true(holder > 1);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(code_of(waiter), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_acquire(place.lock, LIMIT), BROOD_LOCK_RECOVERED); /* its end */
    release(&place);
    unmake(&place);
}

/* ---- at random ---- */

/* Uses what there is, for ever. */
static pid_t consumer(const struct place *place)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;) {
            int r = brood_lock_acquire(place->lock, LIMIT);

            while (r >= 0 && place->counts->made == place->counts->used)
                r = brood_condition_wait(place->condition, place->lock, BROOD_FOREVER);
            if (r < 0)
                _exit(1);
            place->counts->used++;
            if (brood_lock_release(place->lock) < 0)
                _exit(2);
        }
    assert_true(pid > 1);
    return pid;
}

static int left_to_use(const struct place *place)
{
    int left;

    assert_true(brood_lock_acquire(place->lock, LIMIT) >= 0);
    left = place->counts->made - place->counts->used;
    assert_int_equal(brood_lock_release(place->lock), 0);
    return left;
}

/*
 * Consumers are killed at every point of waiting and using, while one producer notifies once
 * for each thing it makes. What is made gets used: a notification that died with a consumer
 * would leave things lying with another asleep.
 */
static void kills_lose_no_notification(void **state)
{
    const int kills = long_mode() ? 3000 : 150;
    struct place place = made();
    pid_t pids[CHILDREN];
    unsigned seed = 1;

    (void)state;
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = consumer(&place);
    for (int i = 0; i < kills; i++) {
        int64_t deadline = test_now() + LIMIT;

        for (int n = 0; n < 3; n++) {
            assert_true(brood_lock_acquire(place.lock, LIMIT) >= 0);
            place.counts->made++;
            assert_in_range(brood_condition_notify(place.condition, 1), 0, 1);
            assert_int_equal(brood_lock_release(place.lock), 0);
        }
        (void)usleep((useconds_t)((unsigned)rand_r(&seed) % 200));
        end_by_kill(pids[i % CHILDREN]);
        while (left_to_use(&place) > 0) {
            if (test_now() > deadline)
                fail_msg("things were left lying after kill %d", i);
            test_pause();
        }
        pids[i % CHILDREN] = consumer(&place);
    }
    for (int i = 0; i < CHILDREN; i++)
        end_by_kill(pids[i]);
    unmake(&place);
}

static const struct test_case cases[] = {
    TEST_CASE(notifies_processes_one_by_one),
    TEST_CASE(notifies_so_many_processes_and_all),
    TEST_CASE(processes_run_out_of_time),
    TEST_CASE(processes_wait_for_a_predicate),
    TEST_CASE(row_e_notify_does_not_wait_for_a_killed_waiter),
    TEST_CASE(notification_of_a_killed_waiter_is_passed_on),
    TEST_CASE(notification_of_one_killed_on_its_way_is_passed_on),
    TEST_CASE(notification_of_the_killed_is_not_for_later_ones),
    TEST_CASE(notification_survives_its_slot),
    TEST_CASE(waiter_hears_of_a_holder_that_died),
    TEST_CASE(predicate_is_not_asked_about_what_may_be_torn),
    TEST_CASE_LIMIT(kills_lose_no_notification, 240),
};
TEST_SUITE(condition_processes, cases)
