/*
 * The semaphore between processes: who owns a permit, and what becomes of it when its owner
 * dies. Method: forked children acquire permits, say so, and are killed; others go on with
 * what they had.
 */
#include "helpers.h"

#include <pthread.h>
#include <stdatomic.h>

#define CHILDREN 4
#define LIMIT brood_seconds(20) /* for what happens at once, on a machine that is busy */

static bool long_mode(void)
{
    const char *value = getenv("BROOD_TEST_LONG");

    return value != NULL && strcmp(value, "1") == 0;
}

static brood_shared *segment(void)
{
    brood_shared *shared = NULL;

    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    return shared;
}

static brood_semaphore *semaphore_in(brood_shared *shared, uint32_t value, uint32_t value_max,
                                     uint32_t flags)
{
    brood_semaphore_options options = BROOD_SEMAPHORE_OPTIONS_INIT;
    brood_semaphore *semaphore = NULL;

    options.value_max = value_max;
    options.flags = flags;
    assert_int_equal(brood_semaphore_create(shared, value, &options, &semaphore), 0);
    return semaphore;
}

static void end_by_kill(pid_t pid)
{
    int status = 0;

    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, SIGKILL); /* it had not ended by itself */
}

static void assert_ends_well(pid_t pid)
{
    int status = -1;

    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void await_sleep(pid_t pid)
{
    int64_t deadline = test_now() + 20000 * MS;

    for (int looks = 0; looks < 5;) {
        assert_true(test_now() < deadline);
        test_pause();
        looks = process_state(pid) == 'S' ? looks + 1 : 0;
    }
}

/* A child that has acquired so many permits and waits to be killed. */
static pid_t holder_of(brood_semaphore *semaphore, int count)
{
    int ends[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        for (int i = 0; i < count; i++)
            if (brood_semaphore_acquire(semaphore, BROOD_FOREVER) < 0)
                _exit(1);
        if (write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_true(pid > 1);
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    return pid;
}

/* What a child hears when it releases one. */
static int result_of_release(brood_semaphore *semaphore)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0)
        _exit(-brood_semaphore_release(semaphore, 1));
    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

/* ---- who owns what ---- */

static void processes_own_their_permits(void **state)
{
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 3, 0, 0);
    pid_t pid;

    (void)state;
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
    pid = holder_of(semaphore, 2);
    assert_int_equal(brood_semaphore_value(semaphore), 0);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(result_of_release(semaphore), -EOVERFLOW); /* it holds none */
    assert_int_equal(brood_semaphore_release(semaphore, 2), -EOVERFLOW);
    assert_int_equal(brood_semaphore_release(semaphore, 1), 0);
    assert_int_equal(brood_semaphore_value(semaphore), 1);
    end_by_kill(pid);
    assert_int_equal(brood_semaphore_value(semaphore), 3);
    brood_shared_detach(shared);
}

static void others_may_add_permits(void **state)
{
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 0, 1, 0);

    (void)state;
    assert_int_equal(result_of_release(semaphore), 0);
    assert_int_equal(brood_semaphore_value(semaphore), 1);
    assert_int_equal(result_of_release(semaphore), -EOVERFLOW);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
    assert_int_equal(result_of_release(semaphore), -EOVERFLOW); /* ours is not theirs */
    brood_shared_detach(shared);
}

static void counting_ones_are_for_signalling(void **state)
{
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 0, 0, BROOD_SEMAPHORE_COUNTING);
    pid_t pid;

    (void)state;
    assert_int_equal(result_of_release(semaphore), 0);
    assert_int_equal(result_of_release(semaphore), 0);
    pid = holder_of(semaphore, 2);
    end_by_kill(pid);
    assert_int_equal(brood_semaphore_value(semaphore), 0); /* nothing comes back */
    assert_int_equal(brood_semaphore_acquire(semaphore, 20 * MS), -ETIMEDOUT);
    brood_shared_detach(shared);
}

static void is_found_by_its_place(void **state)
{
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 2, 0, 0);
    uint64_t place = brood_shared_place(shared, semaphore);
    int fd = brood_shared_fd(shared);
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        brood_shared *again = NULL;
        brood_semaphore *there;

        if (brood_shared_attach_fd(fd, NULL, &again) < 0)
            _exit(1);
        there = brood_shared_at(again, place);
        if (there == semaphore || brood_semaphore_acquire(there, BROOD_NOWAIT) != 0 ||
            brood_semaphore_acquire(semaphore, BROOD_NOWAIT) != 0 ||
            brood_semaphore_value(there) != 0 || brood_semaphore_release(there, 2) != 0)
            _exit(2);
        _exit(brood_semaphore_value(semaphore) == 2 ? 0 : 3);
    }
    assert_ends_well(pid);
    brood_shared_detach(shared);
}

/* ---- many at a time ---- */

struct floor {
    _Atomic int inside;
    _Atomic int over;
};

static pid_t visitor(brood_semaphore *semaphore, struct floor *floor, int most, int rounds)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (int i = 0; i < rounds; i++) {
            if (brood_semaphore_acquire(semaphore, LIMIT) < 0)
                _exit(1);
            if (atomic_fetch_add(&floor->inside, 1) >= most)
                _exit(2);
            (void)atomic_fetch_sub(&floor->inside, 1);
            if (brood_semaphore_release(semaphore, 1) < 0)
                _exit(3);
        }
        _exit(0);
    }
    assert_true(pid > 1);
    return pid;
}

static void admits_so_many_processes(void **state)
{
    static const uint32_t values[] = { 1, 2, 3, 2 };
    brood_shared *shared = segment();
    struct floor *floor = shared_page();

    (void)state;
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        brood_semaphore *semaphore =
            semaphore_in(shared, values[v], 0, v == 3 ? BROOD_SEMAPHORE_COUNTING : 0);
        pid_t pids[CHILDREN];

        for (int i = 0; i < CHILDREN; i++)
            pids[i] = visitor(semaphore, floor, (int)values[v], 20000);
        for (int i = 0; i < CHILDREN; i++)
            assert_ends_well(pids[i]);
        assert_int_equal(brood_semaphore_value(semaphore), values[v]);
    }
    assert_int_equal(munmap(floor, 4096), 0);
    brood_shared_detach(shared);
}

/* ---- deaths ---- */

static void permits_of_the_killed_are_there_at_once(void **state)
{
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 2, 0, 0);

    (void)state;
    for (int round = 0; round < 50; round++) {
        end_by_kill(holder_of(semaphore, 2));
        assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
        assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
        assert_int_equal(brood_semaphore_release(semaphore, 2), 0);
    }
    brood_shared_detach(shared);
}

static void waiter_gets_the_permit_of_a_killed_holder(void **state)
{
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 1, 0, 0);
    struct floor *floor = shared_page();

    (void)state;
    for (int round = 0; round < 10; round++) {
        pid_t holder = holder_of(semaphore, 1);
        pid_t waiter = visitor(semaphore, floor, 1, 1);
        int64_t start;

        await_sleep(waiter);
        start = test_now();
        end_by_kill(holder);
        assert_ends_well(waiter);
        assert_true(test_now() - start < 1000 * MS); /* 100, were the machine ours alone */
    }
    assert_int_equal(munmap(floor, 4096), 0);
    brood_shared_detach(shared);
}

/* Also where others keep the rest so busy that nobody sleeps for long. */
static void permit_comes_back_amid_traffic(void **state)
{
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 2, 0, 0);
    struct floor *floor = shared_page();
    int64_t deadline = test_now() + 20000 * MS;
    pid_t holder = holder_of(semaphore, 1), pids[CHILDREN];
    bool back = false;

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            while (!atomic_load(&floor->over)) {
                if (brood_semaphore_acquire(semaphore, LIMIT) < 0)
                    _exit(1);
                if (atomic_fetch_add(&floor->inside, 1) > 0)
                    atomic_store(&floor->over, 1); /* two at a time: it is back */
                (void)usleep(200);
                (void)atomic_fetch_sub(&floor->inside, 1);
                if (brood_semaphore_release(semaphore, 1) < 0)
                    _exit(2);
            }
            _exit(0);
        }
        assert_true(pids[i] > 1);
    }
    end_by_kill(holder);
    while (!back && test_now() < deadline) {
        test_pause();
        back = atomic_load(&floor->over) != 0;
    }
    atomic_store(&floor->over, 1);
    for (int i = 0; i < CHILDREN; i++)
        assert_ends_well(pids[i]);
    assert_true(back);
    assert_int_equal(munmap(floor, 4096), 0);
    brood_shared_detach(shared);
}

static void *acquire_and_end(void *argument)
{
    INSIST(brood_semaphore_acquire(argument, LIMIT) == 0, "acquire");
    return NULL;
}

/* The thread that acquired it has ended, its process has not: the permit stays taken until
 * that does. */
static void permit_outlives_the_thread_that_acquired_it(void **state)
{
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 1, 0, 0);
    int ends[2];
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, acquire_and_end, semaphore) != 0 ||
            pthread_join(thread, NULL) != 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_true(pid > 1);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(brood_semaphore_value(semaphore), 0);
    assert_int_equal(brood_semaphore_acquire(semaphore, 150 * MS), -ETIMEDOUT);
    end_by_kill(pid);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    brood_shared_detach(shared);
}

/* A permit that waits for a sleeper who is killed is had by another. */
static void wake_is_not_lost_with_a_killed_waiter(void **state)
{
    const int rounds = long_mode() ? 1000 : 50;
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 0, 0, BROOD_SEMAPHORE_COUNTING);
    struct floor *floor = shared_page();

    (void)state;
    for (int round = 0; round < rounds; round++) {
        pid_t victim = fork(), survivor;

        if (victim == 0)
            for (;;) /* takes nothing away: it gives back what it gets */
                if (brood_semaphore_acquire(semaphore, BROOD_FOREVER) == 0)
                    (void)brood_semaphore_release(semaphore, 1);
        assert_true(victim > 1);
        survivor = visitor(semaphore, floor, 1, 1);
        if (round % 2 == 0)
            await_sleep(survivor);
        assert_int_equal(kill(victim, SIGSTOP), 0); /* so that it cannot have the permit */
        assert_int_equal(waitpid(victim, NULL, WUNTRACED), victim);
        if (brood_semaphore_value(semaphore) == 0 && brood_semaphore_release(semaphore, 1) != 0)
            fail_msg("no permit in round %d", round);
        end_by_kill(victim);
        assert_ends_well(survivor);
        while (brood_semaphore_acquire(semaphore, BROOD_NOWAIT) == 0)
            ;
    }
    assert_int_equal(munmap(floor, 4096), 0);
    brood_shared_detach(shared);
}

/* Children that acquire and release one and several are killed at random: at the end all
 * permits are there, and no one more. */
static void kills_lose_no_permit(void **state)
{
    const int kills = long_mode() ? 5000 : 200;
    brood_shared *shared = segment();
    brood_semaphore *semaphore = semaphore_in(shared, 5, 0, 0);
    pid_t pids[CHILDREN] = { 0 };
    unsigned seed = 1;

    (void)state;
    for (int i = 0; i < kills + CHILDREN; i++) {
        pid_t *pid = &pids[i % CHILDREN];

        if (*pid != 0) {
            (void)usleep((useconds_t)((unsigned)rand_r(&seed) % 500));
            end_by_kill(*pid);
        }
        *pid = fork();
        if (*pid == 0)
            for (;;) {
                uint32_t got = 0;

                while (got < 3 && brood_semaphore_acquire(semaphore, got == 0 ? LIMIT : 0) == 0)
                    got++;
                if (got > 0 && brood_semaphore_release(semaphore, got) != 0)
                    _exit(1);
            }
        assert_true(*pid > 1);
    }
    assert_int_equal(brood_semaphore_acquire(semaphore, LIMIT), 0);
    assert_int_equal(brood_semaphore_release(semaphore, 1), 0);
    for (int i = 0; i < CHILDREN; i++)
        end_by_kill(pids[i]);
    assert_int_equal(brood_semaphore_value(semaphore), 5);
    assert_int_equal(brood_semaphore_release(semaphore, 1), -EOVERFLOW);
    brood_shared_detach(shared);
}

static const struct test_case cases[] = {
    TEST_CASE(processes_own_their_permits),
    TEST_CASE(others_may_add_permits),
    TEST_CASE(counting_ones_are_for_signalling),
    TEST_CASE(is_found_by_its_place),
    TEST_CASE_LIMIT(admits_so_many_processes, 60),
    TEST_CASE(permits_of_the_killed_are_there_at_once),
    TEST_CASE(waiter_gets_the_permit_of_a_killed_holder),
    TEST_CASE_LIMIT(permit_comes_back_amid_traffic, 60),
    TEST_CASE(permit_outlives_the_thread_that_acquired_it),
    TEST_CASE_LIMIT(wake_is_not_lost_with_a_killed_waiter, 120),
    TEST_CASE_LIMIT(kills_lose_no_permit, 240),
};
TEST_SUITE(semaphore_processes, cases)
