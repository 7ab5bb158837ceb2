/*
 * Processes at one lock for readers and writers, and their deaths. Method: forked children
 * say over a pipe where they are, and are killed there; the case then goes on as the one
 * that is left, and the time until it can is bounded.
 */
#include "helpers.h"

static brood_shared *shared;
static brood_rwlock *rwlock;

static void make(void)
{
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_rwlock_create(shared, &rwlock), 0);
}

static void unmake(void)
{
    assert_int_equal(brood_rwlock_destroy(rwlock), 0);
    brood_shared_detach(shared);
}

/* Within what a death must be noticed, and what a busy machine may add. */
#define NOTICED_MS 100
#define BUSY_MS 2000

/* ---- children ---- */

static int line[2]; /* a byte for each child that is where it should be */

static void say_ready(void)
{
    if (write(line[1], "x", 1) != 1)
        _exit(90);
}

static void await_ready(int count)
{
    char byte;

    for (int i = 0; i < count; i++)
        assert_int_equal(read(line[0], &byte, 1), 1);
}

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

static void make_with_line(void)
{
    make();
    assert_int_equal(pipe2(line, O_CLOEXEC), 0);
}

static void unmake_with_line(void)
{
    assert_int_equal(close(line[0]), 0);
    assert_int_equal(close(line[1]), 0);
    unmake();
}

_Noreturn static void stay(void)
{
    say_ready();
    for (;;)
        (void)pause();
}

static int read_and_stay(void)
{
    if (brood_rwlock_acquire_read(rwlock, BROOD_FOREVER) != 0)
        return 1;
    stay();
}

static int write_and_stay(void)
{
    if (brood_rwlock_acquire_write(rwlock, BROOD_FOREVER) != 0)
        return 1;
    stay();
}

/* Says so, and then waits for what somebody else has. */
static int wait_to_write(void)
{
    say_ready();
    return brood_rwlock_acquire_write(rwlock, BROOD_FOREVER) == 0 ? 0 : 1;
}

static int hear_recovered_reading(void)
{
    say_ready();
    return brood_rwlock_acquire_read(rwlock, BROOD_FOREVER) == BROOD_LOCK_RECOVERED &&
                   brood_rwlock_release_read(rwlock) == 0
               ? 0
               : 1;
}

/* What a fresh reader hears: readers are kept out from when a writer waits for others. */
static void await_writer_at_the_gate(void)
{
    for (;;) {
        int r = brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT);

        if (r == -ETIMEDOUT)
            return;
        assert_int_equal(r, 0);
        assert_int_equal(brood_rwlock_release_read(rwlock), 0);
        test_pause();
    }
}

/* ---- cases ---- */

static void a_dead_reader_is_removed(void **state)
{
    pid_t readers[3];
    int64_t start;

    (void)state;
    make_with_line();
    for (int i = 0; i < 3; i++)
        readers[i] = child(read_and_stay);
    await_ready(3);
    assert_int_equal(brood_rwlock_readers(rwlock), 3);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), -ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        end(readers[i]);
    start = test_now();
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_FOREVER), 0);
    assert_true(test_now() - start < (NOTICED_MS + BUSY_MS) * MS);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    assert_int_equal(brood_rwlock_readers(rwlock), 0);
    unmake_with_line();
}

static void a_writer_that_waits_notices_the_last_reader_die(void **state)
{
    pid_t reader, writer;
    int64_t start;

    (void)state;
    make_with_line();
    reader = child(read_and_stay);
    await_ready(1);
    writer = child(wait_to_write);
    await_ready(1);
    await_writer_at_the_gate();
    start = test_now();
    end(reader);
    assert_int_equal(status_of(writer), 0);
    assert_true(test_now() - start < (NOTICED_MS + BUSY_MS) * MS);
    /* The writer ended with the lock. */
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake_with_line();
}

static void row_d_a_dead_writer_gives_recovered_to_a_writer(void **state)
{
    pid_t writer;

    (void)state;
    make_with_line();
    writer = child(write_and_stay);
    await_ready(1);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), -ETIMEDOUT);
    end(writer);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, brood_seconds(10)),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake_with_line();
}

static void row_d_a_dead_writer_gives_recovered_to_a_reader(void **state)
{
    pid_t writer, reader;

    (void)state;
    make_with_line();
    writer = child(write_and_stay);
    await_ready(1);
    reader = child(hear_recovered_reading); /* asleep by then, or about to be */
    await_ready(1);
    end(writer);
    assert_int_equal(status_of(reader), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    unmake_with_line();
}

static int recover_and_stay(void)
{
    if (brood_rwlock_acquire_read(rwlock, BROOD_FOREVER) != BROOD_LOCK_RECOVERED)
        return 1;
    stay();
}

static void a_reader_that_dies_repairing_hands_recovered_on(void **state)
{
    pid_t pid;

    (void)state;
    make_with_line();
    pid = child(write_and_stay);
    await_ready(1);
    end(pid);
    pid = child(recover_and_stay);
    await_ready(1);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, brood_ms(20)), -ETIMEDOUT);
    end(pid);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, brood_seconds(10)),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    unmake_with_line();
}

_Noreturn static int stay_in_hook(void *user)
{
    (void)user;
    stay();
}

static int acquire_with_hook(void)
{
    (void)brood_rwlock_set_repair(rwlock, stay_in_hook, NULL);
    return brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);
}

static int count_repairs(void *user)
{
    ++*(int *)user;
    return 0;
}

static void a_death_in_the_hook_is_followed_by_another_repair(void **state)
{
    int repairs = 0;
    pid_t pid;

    (void)state;
    make_with_line();
    pid = child(write_and_stay);
    await_ready(1);
    end(pid);
    pid = child(acquire_with_hook);
    await_ready(1);
    end(pid);
    assert_int_equal(brood_rwlock_set_repair(rwlock, count_repairs, &repairs), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, brood_seconds(10)),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(repairs, 1);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake_with_line();
}

static void a_writer_that_dies_waiting_leaves_nothing(void **state)
{
    pid_t writer;

    (void)state;
    make_with_line();
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    writer = child(wait_to_write);
    await_ready(1);
    /* The case itself reads, and so would come in again: another process must ask. */
    assert_int_equal(status_of_fork(await_writer_at_the_gate), 0);
    end(writer);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, brood_seconds(10)), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake_with_line();
}

static void ask_as_child(void)
{
    assert_int_equal(brood_rwlock_release_read(rwlock), -EPERM);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_readers(rwlock), 2);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(brood_rwlock_readers(rwlock), 1);
}

static void ask_as_child_of_a_writer(void)
{
    assert_int_equal(brood_rwlock_release_write(rwlock), -EPERM);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(brood_rwlock_writer(rwlock, NULL), 1);
}

static void a_child_holds_nothing_of_its_parents(void **state)
{
    (void)state;
    make();
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(status_of_fork(ask_as_child), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(status_of_fork(ask_as_child_of_a_writer), 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake();
}

/* ---- all at once ---- */

#define CHILD_COUNT 4
#define ROUND_COUNT 4000

struct numbers {
    long a, b;
};
static struct numbers *numbers;

static int mix(void)
{
    for (int i = 0; i < ROUND_COUNT; i++) {
        if (i % 8 == 0) {
            if (brood_rwlock_acquire_write(rwlock, BROOD_FOREVER) != 0)
                return 1;
            numbers->a++;
            numbers->b++;
            if (brood_rwlock_release_write(rwlock) != 0)
                return 2;
        } else {
            if (brood_rwlock_acquire_read(rwlock, BROOD_FOREVER) != 0)
                return 3;
            if (numbers->a != numbers->b)
                return 4;
            if (brood_rwlock_release_read(rwlock) != 0)
                return 5;
        }
    }
    return 0;
}

static void processes_see_whole_changes(void **state)
{
    pid_t children[CHILD_COUNT];

    (void)state;
    make();
    assert_int_equal(
        brood_shared_alloc(shared, sizeof *numbers, BROOD_ALLOC_ZERO, (void **)&numbers), 0);
    for (int i = 0; i < CHILD_COUNT; i++)
        children[i] = child(mix);
    for (int i = 0; i < CHILD_COUNT; i++)
        assert_int_equal(status_of(children[i]), 0);
    assert_int_equal(numbers->a, CHILD_COUNT * (ROUND_COUNT / 8));
    assert_int_equal(numbers->b, numbers->a);
    unmake();
}

/* Children work until they are killed; whoever recovers makes the numbers equal again. */
static int mix_on(void)
{
    say_ready();
    for (int i = 0;; i++) {
        int writes = i % 4 == 0;
        int r = writes ? brood_rwlock_acquire_write(rwlock, BROOD_FOREVER)
                       : brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);

        if (r < 0)
            return 1;
        if (r == BROOD_LOCK_RECOVERED)
            numbers->b = numbers->a;
        if (numbers->a != numbers->b)
            return 2;
        if (writes) {
            __atomic_store_n(&numbers->a, numbers->a + 1, __ATOMIC_RELAXED);
            __atomic_store_n(&numbers->b, numbers->b + 1, __ATOMIC_RELAXED);
        }
        r = writes ? brood_rwlock_release_write(rwlock) : brood_rwlock_release_read(rwlock);
        if (r != 0)
            return 3;
    }
}

static void deaths_at_any_moment_are_survived(void **state)
{
    pid_t children[CHILD_COUNT];
    long before;

    (void)state;
    make_with_line();
    assert_int_equal(
        brood_shared_alloc(shared, sizeof *numbers, BROOD_ALLOC_ZERO, (void **)&numbers), 0);
    for (int i = 0; i < CHILD_COUNT; i++)
        children[i] = child(mix_on);
    await_ready(CHILD_COUNT);
    for (int i = 0; i < 100; i++) {
        pid_t *victim = &children[i % CHILD_COUNT];

        /* Those who are left go on: the numbers grow after each death. */
        before = __atomic_load_n(&numbers->a, __ATOMIC_RELAXED);
        while (__atomic_load_n(&numbers->a, __ATOMIC_RELAXED) == before)
            test_pause();
        end(*victim);
        *victim = child(mix_on);
        await_ready(1);
    }
    for (int i = 0; i < CHILD_COUNT; i++)
        end(children[i]);
    assert_true(brood_rwlock_acquire_write(rwlock, brood_seconds(10)) >= 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake_with_line();
}

static const struct test_case cases[] = {
    TEST_CASE(a_dead_reader_is_removed),
    TEST_CASE(a_writer_that_waits_notices_the_last_reader_die),
    TEST_CASE(row_d_a_dead_writer_gives_recovered_to_a_writer),
    TEST_CASE(row_d_a_dead_writer_gives_recovered_to_a_reader),
    TEST_CASE(a_reader_that_dies_repairing_hands_recovered_on),
    TEST_CASE(a_death_in_the_hook_is_followed_by_another_repair),
    TEST_CASE(a_writer_that_dies_waiting_leaves_nothing),
    TEST_CASE(a_child_holds_nothing_of_its_parents),
    TEST_CASE_LIMIT(processes_see_whole_changes, 120),
    TEST_CASE_LIMIT(deaths_at_any_moment_are_survived, 120),
};
TEST_SUITE(rwlock, cases)
