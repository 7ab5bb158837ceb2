/*
 * The lock for readers and writers: what each call answers in each state, and threads that
 * meet at it. Method: a second thread asks from outside, and ends holding the lock where a
 * death is needed. Conservation: what writers count together, no reader sees half-done.
 */
#include "test.h"

#include "shm/presence.h"
#include "sync/rwlock.h"

#include <brood.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static brood_shared *shared;

static brood_rwlock *make(void)
{
    brood_rwlock *rwlock = NULL;

    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_rwlock_create(shared, &rwlock), 0);
    return rwlock;
}

static void unmake(brood_rwlock *rwlock)
{
    assert_int_equal(brood_rwlock_destroy(rwlock), 0);
    brood_shared_detach(shared);
}

/* ---- another thread ---- */

struct asking {
    brood_rwlock *rwlock;
    int (*what)(brood_rwlock *rwlock);
    int answer;
};

static void *ask(void *argument)
{
    struct asking *asking = argument;

    asking->answer = asking->what(asking->rwlock);
    return NULL;
}

/* What a thread hears that does one thing and ends. */
static int elsewhere(brood_rwlock *rwlock, int (*what)(brood_rwlock *rwlock))
{
    struct asking asking = { rwlock, what, -1000 };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, ask, &asking), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return asking.answer;
}

static int read_now(brood_rwlock *rwlock)
{
    int r = brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT);

    return r < 0 ? r : brood_rwlock_release_read(rwlock);
}

static int write_now(brood_rwlock *rwlock)
{
    int r = brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT);

    return r < 0 ? r : brood_rwlock_release_write(rwlock);
}

static int read_soon(brood_rwlock *rwlock)
{
    return brood_rwlock_acquire_read(rwlock, brood_ms(20));
}

static int write_soon(brood_rwlock *rwlock)
{
    return brood_rwlock_acquire_write(rwlock, brood_ms(20));
}

static int keep_reading(brood_rwlock *rwlock)
{
    return brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);
}

static int keep_writing(brood_rwlock *rwlock)
{
    return brood_rwlock_acquire_write(rwlock, BROOD_FOREVER);
}

/* ---- one thread ---- */

static void bad_arguments_are_refused(void **state)
{
    brood_rwlock *rwlock = make();
    brood_lock *lock = NULL;
    brood_owner owner = { .size = 1 };

    (void)state;
    assert_int_equal(brood_rwlock_create(shared, NULL), -EINVAL);
    assert_int_equal(brood_rwlock_acquire_read(NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_rwlock_acquire_write(NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_rwlock_release_read(NULL), -EINVAL);
    assert_int_equal(brood_rwlock_release_write(NULL), -EINVAL);
    assert_int_equal(brood_rwlock_poison(NULL), -EINVAL);
    assert_int_equal(brood_rwlock_set_repair(NULL, NULL, NULL), -EINVAL);
    assert_int_equal(brood_rwlock_writer(NULL, NULL), -EINVAL);
    assert_int_equal(brood_rwlock_readers(NULL), -EINVAL);
    assert_int_equal(brood_rwlock_destroy(NULL), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, -2), -EINVAL);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, INT64_MIN), -EINVAL);

    assert_int_equal(brood_lock_create(shared, NULL, &lock), 0);
    assert_int_equal(brood_rwlock_acquire_read((brood_rwlock *)lock, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_lock_acquire((brood_lock *)rwlock, BROOD_NOWAIT), -EINVAL);

    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_writer(rwlock, &owner), -EINVAL);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake(rwlock);
}

static void read_write_and_ask(void **state)
{
    brood_rwlock *rwlock = make();
    brood_owner owner = BROOD_OWNER_INIT;

    (void)state;
    assert_int_equal(brood_rwlock_readers(rwlock), 0);
    assert_int_equal(brood_rwlock_writer(rwlock, &owner), 0);

    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_FOREVER), 0);
    assert_int_equal(brood_rwlock_readers(rwlock), 1);
    assert_int_equal(brood_rwlock_writer(rwlock, NULL), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);

    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_FOREVER), 0);
    assert_int_equal(brood_rwlock_readers(rwlock), 0);
    assert_int_equal(brood_rwlock_writer(rwlock, NULL), 1);
    assert_int_equal(brood_rwlock_writer(rwlock, &owner), 1);
    assert_int_equal(owner.pid, getpid());
    assert_int_equal(owner.tid, getpid());
    assert_true(owner.since > 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    assert_int_equal(brood_rwlock_writer(rwlock, NULL), 0);
    unmake(rwlock);
}

static void what_is_not_held_is_not_released(void **state)
{
    brood_rwlock *rwlock = make();

    (void)state;
    assert_int_equal(brood_rwlock_release_read(rwlock), -EPERM);
    assert_int_equal(brood_rwlock_release_write(rwlock), -EPERM);
    assert_int_equal(brood_rwlock_poison(rwlock), -EPERM);

    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), -EPERM);
    assert_int_equal(brood_rwlock_poison(rwlock), -EPERM);
    assert_int_equal(elsewhere(rwlock, brood_rwlock_release_read), -EPERM);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), -EPERM);

    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), -EPERM);
    assert_int_equal(elsewhere(rwlock, brood_rwlock_release_write), -EPERM);
    assert_int_equal(elsewhere(rwlock, brood_rwlock_poison), -EPERM);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), -EPERM);
    unmake(rwlock);
}

static void nested_reads_count_and_sides_do_not_mix(void **state)
{
    brood_rwlock *rwlock = make();

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_readers(rwlock), 1);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_FOREVER), -EDEADLK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(elsewhere(rwlock, write_now), -ETIMEDOUT);
        assert_int_equal(elsewhere(rwlock, read_now), 0);
        assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    }
    assert_int_equal(elsewhere(rwlock, write_now), 0);

    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_FOREVER), -EDEADLK);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_FOREVER), -EDEADLK);
    assert_int_equal(elsewhere(rwlock, read_now), -ETIMEDOUT);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake(rwlock);
}

static void reads_nested_too_deep_are_refused(void **state)
{
    brood_rwlock *rwlock = make();
    brood__roll_word *word;

    (void)state;
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    word = brood__rwlock_word(rwlock, brood__here.slot);
    atomic_store(word, brood__roll_pack(brood__here.generation, UINT32_MAX));
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), -EOVERFLOW);
    atomic_store(word, brood__roll_pack(brood__here.generation, 1));
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    unmake(rwlock);
}

static void each_slot_has_a_word_of_its_own(void **state)
{
    static const uint32_t sizes[] = { 1, 7, 8, 9, 500, 512, 513, 4096 };

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
        brood_rwlock *rwlock = NULL;
        brood__roll_word *first;
        static char seen[8192];
        size_t words;

        memset(seen, 0, sizeof seen);
        options.members_max = sizes[s];
        assert_int_equal(brood_shared_create(&options, &shared), 0);
        assert_int_equal(brood_rwlock_create(shared, &rwlock), 0);
        first = rwlock->roll;
        words = (size_t)8 << rwlock->lines_shift;
        for (uint32_t i = 0; i < sizes[s]; i++) {
            size_t at = (size_t)(brood__rwlock_word(rwlock, i) - first);

            assert_true(at < words);
            assert_int_equal(seen[at]++, 0);
        }
        unmake(rwlock);
    }
}

static void destroy_refuses_while_somebody_holds(void **state)
{
    brood_rwlock *rwlock = make();

    (void)state;
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_destroy(rwlock), -EBUSY);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_destroy(rwlock), -EBUSY);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake(rwlock);
}

/* ---- threads that end with it ---- */

static void a_thread_that_ends_reading_is_no_reader(void **state)
{
    brood_rwlock *rwlock = make();

    (void)state;
    assert_int_equal(elsewhere(rwlock, keep_reading), 0);
    assert_int_equal(brood_rwlock_readers(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    unmake(rwlock);
}

static void the_next_writer_after_a_dead_thread_recovers(void **state)
{
    brood_rwlock *rwlock = make();

    (void)state;
    assert_int_equal(elsewhere(rwlock, keep_writing), 0);
    assert_int_equal(brood_rwlock_writer(rwlock, NULL), 0);
    /* Each that ends with it unreleased hands it on in the same way. */
    assert_int_equal(elsewhere(rwlock, keep_writing), BROOD_LOCK_RECOVERED);
    assert_int_equal(elsewhere(rwlock, keep_reading), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    unmake(rwlock);
}

static void a_reader_after_a_dead_thread_has_it_alone(void **state)
{
    brood_rwlock *rwlock = make();
    brood_owner owner = BROOD_OWNER_INIT;

    (void)state;
    assert_int_equal(elsewhere(rwlock, keep_writing), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), -EDEADLK);
    assert_int_equal(brood_rwlock_release_write(rwlock), -EPERM);
    assert_int_equal(brood_rwlock_readers(rwlock), 1);
    assert_int_equal(brood_rwlock_writer(rwlock, &owner), 1);
    assert_int_equal(owner.tid, getpid());
    assert_int_equal(brood_rwlock_destroy(rwlock), -EBUSY);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(elsewhere(rwlock, read_now), -ETIMEDOUT);
    assert_int_equal(elsewhere(rwlock, read_soon), -ETIMEDOUT);
    assert_int_equal(elsewhere(rwlock, write_soon), -ETIMEDOUT);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(elsewhere(rwlock, read_now), 0);
    assert_int_equal(elsewhere(rwlock, write_now), 0);
    unmake(rwlock);
}

static int repaired;

static int repair(void *user)
{
    repaired++;
    return *(int *)user;
}

static void the_hook_repairs_for_readers_and_writers(void **state)
{
    brood_rwlock *rwlock = make();
    int result = 0;

    (void)state;
    assert_int_equal(brood_rwlock_set_repair(rwlock, repair, &result), 0);
    assert_int_equal(elsewhere(rwlock, keep_writing), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(repaired, 1);
    assert_int_equal(elsewhere(rwlock, read_now), 0); /* it is shared at once */
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);

    assert_int_equal(elsewhere(rwlock, keep_writing), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(repaired, 2);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_write(rwlock), 0);
    assert_int_equal(repaired, 2);

    result = -EIO;
    assert_int_equal(elsewhere(rwlock, keep_writing), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), -ENOTRECOVERABLE);
    assert_int_equal(repaired, 3);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_FOREVER), -ENOTRECOVERABLE);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_FOREVER), -ENOTRECOVERABLE);
    assert_int_equal(repaired, 3);
    unmake(rwlock);
}

/* ---- a hook that uses another segment ---- */

static int use_another(void *user)
{
    return read_now(user);
}

static void *make_another(void *segment)
{
    brood_rwlock *another = NULL;

    return brood_rwlock_create(segment, &another) == 0 ? another : NULL;
}

/* There the calling thread is of a later generation: one that has ended had its slot. */
static void a_hook_that_uses_another_segment_leaves_a_reader(void **state)
{
    brood_rwlock *rwlock = make();
    brood_shared *segment = NULL;
    void *another = NULL;
    pthread_t thread;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &segment), 0);
    assert_int_equal(pthread_create(&thread, NULL, make_another, segment), 0);
    assert_int_equal(pthread_join(thread, &another), 0);
    assert_non_null(another);
    assert_int_equal(brood_rwlock_set_repair(rwlock, use_another, another), 0);
    assert_int_equal(elsewhere(rwlock, keep_writing), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_rwlock_readers(rwlock), 1);
    assert_int_equal(elsewhere(rwlock, write_now), -ETIMEDOUT);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    brood_shared_detach(segment);
    unmake(rwlock);
}

static void poison_is_for_good(void **state)
{
    brood_rwlock *rwlock = make();

    (void)state;
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_poison(rwlock), 0);
    assert_int_equal(brood_rwlock_poison(rwlock), -EPERM);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_FOREVER), -ENOTRECOVERABLE);
    assert_int_equal(brood_rwlock_acquire_write(rwlock, BROOD_FOREVER), -ENOTRECOVERABLE);
    assert_int_equal(brood_rwlock_readers(rwlock), 0);
    assert_int_equal(brood_rwlock_writer(rwlock, NULL), 0);
    unmake(rwlock);
}

static void a_reader_that_is_to_repair_may_poison(void **state)
{
    brood_rwlock *rwlock = make();

    (void)state;
    assert_int_equal(elsewhere(rwlock, keep_writing), 0);
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_rwlock_poison(rwlock), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), -EPERM);
    assert_int_equal(elsewhere(rwlock, read_now), -ENOTRECOVERABLE);
    unmake(rwlock);
}

/* ---- threads that wait ---- */

static atomic_int order;

/* Takes it for writing when the readers have left, and says when that was. */
static int write_and_note(brood_rwlock *rwlock)
{
    int r = brood_rwlock_acquire_write(rwlock, BROOD_FOREVER);

    if (r == 0) {
        r = atomic_fetch_add(&order, 1);
        (void)brood_rwlock_release_write(rwlock);
    }
    return r;
}

static int read_and_note(brood_rwlock *rwlock)
{
    int r = brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);

    if (r == 0) {
        r = atomic_fetch_add(&order, 1);
        (void)brood_rwlock_release_read(rwlock);
    }
    return r;
}

static void await_gate(brood_rwlock *rwlock, uint32_t gate)
{
    while (atomic_load(&rwlock->gate) != gate)
        (void)usleep(200);
}

static void a_waiting_writer_thread_keeps_new_readers_out(void **state)
{
    brood_rwlock *rwlock = make();
    struct asking writer = { rwlock, write_and_note, -1000 };
    struct asking reader = { rwlock, read_and_note, -1000 };
    pthread_t writing, reading;

    (void)state;
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(pthread_create(&writing, NULL, ask, &writer), 0);
    await_gate(rwlock, BROOD__GATE_CLOSING);
    assert_int_equal(elsewhere(rwlock, read_now), -ETIMEDOUT);
    assert_int_equal(elsewhere(rwlock, read_soon), -ETIMEDOUT);
    assert_int_equal(brood_rwlock_writer(rwlock, NULL), 0);
    /* But who is in may come in again. */
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(pthread_create(&reading, NULL, ask, &reader), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(pthread_join(writing, NULL), 0);
    assert_int_equal(pthread_join(reading, NULL), 0);
    assert_int_equal(writer.answer, 0);
    assert_int_equal(reader.answer, 1);
    unmake(rwlock);
}

static void a_writer_thread_that_gives_up_lets_readers_in(void **state)
{
    brood_rwlock *rwlock = make();

    (void)state;
    assert_int_equal(brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT), 0);
    assert_int_equal(elsewhere(rwlock, write_now), -ETIMEDOUT);
    assert_int_equal(elsewhere(rwlock, read_now), 0);
    assert_int_equal(elsewhere(rwlock, write_soon), -ETIMEDOUT);
    assert_int_equal(elsewhere(rwlock, read_now), 0);
    assert_int_equal(brood_rwlock_release_read(rwlock), 0);
    assert_int_equal(elsewhere(rwlock, write_now), 0);
    unmake(rwlock);
}

#define THREAD_COUNT 4
#define ROUND_COUNT 3000

struct numbers {
    brood_rwlock *rwlock;
    long a, b; /* the same, but while a writer is in */
};

static void *mix(void *argument)
{
    struct numbers *numbers = argument;

    for (int i = 0; i < ROUND_COUNT; i++) {
        if (i % 8 == 0) {
            INSIST(brood_rwlock_acquire_write(numbers->rwlock, BROOD_FOREVER) == 0, "write");
            INSIST(numbers->a == numbers->b, "half-done");
            numbers->a++;
            numbers->b++;
            INSIST(brood_rwlock_release_write(numbers->rwlock) == 0, "write");
        } else {
            INSIST(brood_rwlock_acquire_read(numbers->rwlock, BROOD_FOREVER) == 0, "read");
            INSIST(numbers->a == numbers->b, "half-done");
            INSIST(brood_rwlock_release_read(numbers->rwlock) == 0, "read");
        }
    }
    return NULL;
}

static void threads_see_whole_changes(void **state)
{
    struct numbers numbers = { make(), 0, 0 };
    pthread_t threads[THREAD_COUNT];

    (void)state;
    for (int i = 0; i < THREAD_COUNT; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mix, &numbers), 0);
    for (int i = 0; i < THREAD_COUNT; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(numbers.a, THREAD_COUNT * (ROUND_COUNT / 8));
    assert_int_equal(numbers.b, numbers.a);
    assert_int_equal(brood_rwlock_readers(numbers.rwlock), 0);
    unmake(numbers.rwlock);
}

static const struct test_case cases[] = {
    TEST_CASE(bad_arguments_are_refused),
    TEST_CASE(read_write_and_ask),
    TEST_CASE(what_is_not_held_is_not_released),
    TEST_CASE(nested_reads_count_and_sides_do_not_mix),
    TEST_CASE(reads_nested_too_deep_are_refused),
    TEST_CASE(each_slot_has_a_word_of_its_own),
    TEST_CASE(destroy_refuses_while_somebody_holds),
    TEST_CASE(a_thread_that_ends_reading_is_no_reader),
    TEST_CASE(the_next_writer_after_a_dead_thread_recovers),
    TEST_CASE(a_reader_after_a_dead_thread_has_it_alone),
    TEST_CASE(the_hook_repairs_for_readers_and_writers),
    TEST_CASE(a_hook_that_uses_another_segment_leaves_a_reader),
    TEST_CASE(poison_is_for_good),
    TEST_CASE(a_reader_that_is_to_repair_may_poison),
    TEST_CASE(a_waiting_writer_thread_keeps_new_readers_out),
    TEST_CASE(a_writer_thread_that_gives_up_lets_readers_in),
    TEST_CASE_LIMIT(threads_see_whole_changes, 120),
};
TEST_SUITE(rwlock_unit, cases)
