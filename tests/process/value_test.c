/*
 * Values and arrays between processes: what one writes others read, also where the segment
 * lies elsewhere; and what is left by those who are killed, at a chosen point (row d of the
 * failure matrix: the holder of a lock) and at random ones. Method: forked children; those
 * that are to be killed at a point say over a pipe that they are there.
 */
#include "helpers.h"

#include <stdatomic.h>

static brood_shared *segment(void)
{
    brood_shared *shared = NULL;

    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    return shared;
}

static brood_value *value_in(brood_shared *shared, size_t bytes)
{
    brood_value *value = NULL;

    assert_int_equal(brood_value_create(shared, bytes, NULL, &value), 0);
    return value;
}

static brood_array *array_in(brood_shared *shared, size_t count, size_t element_bytes)
{
    brood_array *array = NULL;

    assert_int_equal(brood_array_create(shared, count, element_bytes, NULL, &array), 0);
    return array;
}

static int add_one(void *value, size_t value_bytes, void *user)
{
    long *row = value;

    (void)user;
    for (size_t i = 0; i < value_bytes / sizeof *row; i++)
        row[i]++;
    return 0;
}

static int wait_for(pid_t pid)
{
    int status = -1;

    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void kill_child(pid_t pid)
{
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(wait_for(pid), SIGKILL);
}

/* CPython's TestValue: each type is changed by a child, and read back. */
static void what_a_child_writes_its_parent_reads(void **state)
{
    brood_shared *shared = segment();
    brood_value *number = value_in(shared, sizeof(int)), *real = value_in(shared, 8);
    brood_array *row = array_in(shared, 10, sizeof(short));
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0) {
        const int n = -37;
        const double d = 3.75;
        const short some[] = { 5, 6, 7 };
        int r = brood_value_write(number, &n, BROOD_FOREVER);

        r = r < 0 ? r : brood_value_write(real, &d, BROOD_FOREVER);
        r = r < 0 ? r : brood_array_write(row, 4, 3, some, BROOD_FOREVER);
        _exit(r != 0);
    }
    assert_int_equal(wait_for(pid), 0);
    {
        int n = 0;
        double d = 0;
        short some[10];

        assert_int_equal(brood_value_read(number, &n, BROOD_NOWAIT), 0);
        assert_int_equal(n, -37);
        assert_int_equal(brood_value_read(real, &d, BROOD_NOWAIT), 0);
        assert_true(d == 3.75);
        assert_int_equal(brood_array_read(row, 0, 10, some, BROOD_NOWAIT), 0);
        assert_int_equal(some[3], 0);
        assert_int_equal(some[4] * 100 + some[5] * 10 + some[6], 567);
        assert_int_equal(some[7], 0);
    }
    assert_int_equal(brood_value_destroy(number), 0);
    assert_int_equal(brood_value_destroy(real), 0);
    assert_int_equal(brood_array_destroy(row), 0);
    brood_shared_detach(shared);
}

/* The child maps the segment once more, so that it lies at another address. */
static void places_work_where_the_segment_lies_elsewhere(void **state)
{
    brood_shared *shared = segment(), *again = NULL;
    brood_value *value = value_in(shared, sizeof(long));
    brood_array *array = array_in(shared, 3, sizeof(long));
    uint64_t value_place = brood_shared_place(shared, value);
    uint64_t array_place = brood_shared_place(shared, array);
    long numbers[3] = { 0 };
    int fd = brood_shared_fd(shared);
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0) {
        long last = 9;
        int r = brood_shared_attach_fd(fd, NULL, &again);

        if (r < 0 || brood_shared_at(again, value_place) == (void *)value)
            _exit(1);
        r = brood_value_update(brood_shared_at(again, value_place), add_one, NULL,
                               BROOD_FOREVER);
        r = r < 0 ? r
                  : brood_array_write(brood_shared_at(again, array_place), 2, 1, &last,
                                      BROOD_FOREVER);
        _exit(r != 0);
    }
    assert_int_equal(wait_for(pid), 0);
    assert_int_equal(brood_value_read(value, numbers, BROOD_NOWAIT), 0);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(brood_array_read(array, 0, 3, numbers, BROOD_NOWAIT), 0);
    assert_int_equal(numbers[2], 9);
    brood_shared_detach(shared);
}

#define CHILDREN 4
#define ROUNDS 2000

static void updates_of_processes_add_up(void **state)
{
    brood_shared *shared = segment();
    brood_value *value = value_in(shared, sizeof(long));
    brood_array *array = array_in(shared, 2, sizeof(long));
    pid_t pids[CHILDREN];
    long sum = 0, row[2];

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int k = 0; k < ROUNDS; k++) {
                if (brood_value_update(value, add_one, NULL, BROOD_FOREVER) != 0 ||
                    brood_lock_acquire(brood_array_lock(array), BROOD_FOREVER) != 0)
                    _exit(1);
                ++*(long *)brood_array_at(array, 0);
                --*(long *)brood_array_at(array, 1);
                if (brood_lock_release(brood_array_lock(array)) != 0)
                    _exit(1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(wait_for(pids[i]), 0);
    assert_int_equal(brood_value_read(value, &sum, BROOD_NOWAIT), 0);
    assert_int_equal(sum, CHILDREN * ROUNDS);
    assert_int_equal(brood_array_read(array, 0, 2, row, BROOD_NOWAIT), 0);
    assert_int_equal(row[0], CHILDREN * ROUNDS);
    assert_int_equal(row[1], -CHILDREN * ROUNDS);
    brood_shared_detach(shared);
}

/* ---- deaths at a chosen point ---- */

static int ready_end;

static int spoil_and_stay(void *value, size_t value_bytes, void *user)
{
    (void)user;
    memset(value, 0xee, value_bytes);
    if (write(ready_end, "x", 1) != 1)
        _exit(1);
    return live_on(NULL, 0);
}

/* A child that does `body` with the object, which says by ready_end that it is there, and
 * does not come back. */
static pid_t child_inside(void (*body)(void *object), void *object)
{
    int ends[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        ready_end = ends[1];
        body(object);
        _exit(1);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    return pid;
}

static void update_for_ever(void *object)
{
    (void)brood_value_update(object, spoil_and_stay, NULL, BROOD_FOREVER);
}

static void who_dies_in_an_update_leaves_the_old_value_row_d(void **state)
{
    brood_shared *shared = segment();
    brood_value *value = value_in(shared, sizeof(long));
    long number = 5;
    pid_t pid;

    (void)state;
    assert_int_equal(brood_value_write(value, &number, BROOD_NOWAIT), 0);
    pid = child_inside(update_for_ever, value);
    assert_int_equal(brood_value_read(value, &number, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(brood_value_update(value, add_one, NULL, brood_ms(5)), -ETIMEDOUT);
    kill_child(pid);
    assert_int_equal(brood_value_read(value, &number, brood_seconds(20)), BROOD_LOCK_RECOVERED);
    assert_int_equal(number, 5);
    assert_int_equal(brood_value_update(value, add_one, NULL, BROOD_NOWAIT), 0);
    assert_int_equal(brood_value_read(value, &number, BROOD_NOWAIT), 0);
    assert_int_equal(number, 6);
    assert_int_equal(brood_value_destroy(value), 0);
    brood_shared_detach(shared);
}

static void half_change_by_pointer(void *object)
{
    if (brood_lock_acquire(brood_array_lock(object), BROOD_FOREVER) != 0)
        _exit(1);
    *(long *)brood_array_at(object, 0) = 1;
    if (write(ready_end, "x", 1) != 1)
        _exit(1);
    (void)live_on(NULL, 0);
}

static int mend(void *user)
{
    brood_array *array = user;

    *(long *)brood_array_at(array, 1) = *(long *)brood_array_at(array, 0);
    return 0;
}

static void who_dies_with_the_lock_is_told_of_row_d(void **state)
{
    brood_shared *shared = segment();
    brood_array *array = array_in(shared, 2, sizeof(long));
    long row[2] = { 0 };

    (void)state;
    kill_child(child_inside(half_change_by_pointer, array));
    assert_int_equal(brood_array_read(array, 0, 2, row, brood_seconds(20)),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(row[0], 1);
    assert_int_equal(row[1], 0);
    assert_int_equal(brood_lock_set_repair(brood_array_lock(array), mend, array), 0);
    kill_child(child_inside(half_change_by_pointer, array));
    assert_int_equal(brood_array_read(array, 0, 2, row, brood_seconds(20)),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(row[1], 1);
    assert_int_equal(brood_array_read(array, 0, 2, row, BROOD_NOWAIT), 0);
    assert_int_equal(brood_array_destroy(array), 0);
    brood_shared_detach(shared);
}

/* One that waits for the lock has it soon after the holder's death. */
static void who_waits_for_a_dead_one_goes_on_row_d(void **state)
{
    brood_shared *shared = segment();
    brood_value *value = value_in(shared, sizeof(long));
    pid_t holder = child_inside(update_for_ever, value), waiter;
    int64_t killed;

    (void)state;
    waiter = fork();
    if (waiter == 0)
        _exit(brood_value_update(value, add_one, NULL, BROOD_FOREVER) != BROOD_LOCK_RECOVERED);
    test_pause();
    killed = test_now();
    kill_child(holder);
    assert_int_equal(wait_for(waiter), 0);
    assert_true(test_now() - killed < 10000 * MS);
    brood_shared_detach(shared);
}

/* ---- deaths at random points ---- */

#define WIDE 64
#define KILLS 150

struct tally {
    _Atomic long begun[CHILDREN];
    _Atomic long done[CHILDREN];
    _Atomic long torn;
};

static bool whole(const long *row, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (row[i] != row[0])
            return false;
    return true;
}

_Noreturn static void change_for_ever(brood_value *value, brood_array *array,
                                      struct tally *tally, int number)
{
    long row[WIDE];

    for (long turn = number;; turn += CHILDREN) {
        if (brood_value_read(value, row, BROOD_FOREVER) < 0 || !whole(row, WIDE) ||
            brood_array_read(array, 0, WIDE, row, BROOD_FOREVER) < 0 || !whole(row, WIDE))
            atomic_fetch_add(&tally->torn, 1);
        for (int i = 0; i < WIDE; i++)
            row[i] = turn;
        atomic_fetch_add(&tally->begun[number], 1);
        if (brood_value_update(value, add_one, NULL, BROOD_FOREVER) < 0)
            atomic_fetch_add(&tally->torn, 1);
        atomic_fetch_add(&tally->done[number], 1);
        if (brood_array_write(array, 0, WIDE, row, BROOD_FOREVER) < 0)
            atomic_fetch_add(&tally->torn, 1);
    }
}

/* Every child is killed when it has come some way since its start. */
static void kills_at_random_leave_whole_values(void **state)
{
    brood_shared *shared = segment();
    brood_value *value = value_in(shared, sizeof(long[WIDE]));
    brood_array *array = array_in(shared, WIDE, sizeof(long));
    struct tally *tally = shared_page();
    pid_t pids[CHILDREN] = { 0 };
    long row[WIDE], begun = 0, done = 0;
    unsigned seed = 1;

    (void)state;
    for (int kills = -CHILDREN; kills < KILLS; kills++) {
        int i = (kills + CHILDREN) % CHILDREN;
        long from = atomic_load(&tally->done[i]);

        if (pids[i] != 0)
            kill_child(pids[i]);
        pids[i] = fork();
        if (pids[i] == 0)
            change_for_ever(value, array, tally, i);
        seed = seed * 1103515245 + 12345;
        while (atomic_load(&tally->done[i]) < from + 1)
            test_pause();
        for (unsigned spin = seed / 65536 % 5000; spin > 0; spin--)
            (void)atomic_load(&tally->torn);
    }
    for (int i = 0; i < CHILDREN; i++) {
        kill_child(pids[i]);
        begun += tally->begun[i];
        done += tally->done[i];
    }
    assert_int_equal(tally->torn, 0);
    assert_true(brood_value_read(value, row, brood_seconds(20)) >= 0);
    assert_true(whole(row, WIDE));
    assert_true(row[0] >= done && row[0] <= begun);
    assert_true(brood_array_read(array, 0, WIDE, row, brood_seconds(20)) >= 0);
    assert_true(whole(row, WIDE));
    assert_int_equal(brood_value_destroy(value), 0);
    assert_int_equal(brood_array_destroy(array), 0);
    assert_int_equal(munmap(tally, 4096), 0);
    brood_shared_detach(shared);
}

static const struct test_case cases[] = {
    TEST_CASE(what_a_child_writes_its_parent_reads),
    TEST_CASE(places_work_where_the_segment_lies_elsewhere),
    TEST_CASE(updates_of_processes_add_up),
    TEST_CASE(who_dies_in_an_update_leaves_the_old_value_row_d),
    TEST_CASE(who_dies_with_the_lock_is_told_of_row_d),
    TEST_CASE(who_waits_for_a_dead_one_goes_on_row_d),
    TEST_CASE_LIMIT(kills_at_random_leave_whole_values, 120),
};
TEST_SUITE(value_processes, cases)
