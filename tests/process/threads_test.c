/*
 * Several threads of one program start, join and ask after processes at the same time.
 * Method: the threads meet at a barrier first and note what they find; the case asserts
 * when they are joined, for an assertion may only fail in its own thread. Under the thread
 * sanitizer these cases watch the registry and the reaper at work.
 */
#include "test.h"

#include <brood.h>

#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

/* Asked as gcc answers it, and as clang does. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_THREAD_SANITIZER true
#endif
#elif defined(__SANITIZE_THREAD__)
#define WITH_THREAD_SANITIZER true
#endif
#ifndef WITH_THREAD_SANITIZER
#define WITH_THREAD_SANITIZER false
#endif

#define THREAD_COUNT 4
#define ROUND_COUNT 8

struct worker {
    pthread_t thread;
    pthread_barrier_t *barrier;
    brood_process *process; /* the one that all share, if they do */
    int number;
    int result;  /* the first error, else 0 */
    int matches; /* how many answers were as they should be */
};

static int give_back(void *argument, size_t argument_bytes)
{
    (void)argument_bytes;
    return *(int *)argument;
}

/* Lives long enough for all to wait for it. */
static int end_later(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    usleep(100000);
    return 5;
}

static int exit_code_of(brood_process *process, int *ret_code)
{
    int r = brood_process_start(process);

    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(process, ret_code);
    return r;
}

static void *start_functions(void *argument)
{
    struct worker *worker = argument;

    pthread_barrier_wait(worker->barrier);
    for (int i = 0; i < ROUND_COUNT && worker->result == 0; i++) {
        int wanted = worker->number * ROUND_COUNT + i;
        brood_process *process = NULL;
        int code = -1;

        worker->result =
            brood_process_create(give_back, &wanted, sizeof wanted, NULL, &process);
        if (worker->result == 0)
            worker->result = exit_code_of(process, &code);
        worker->matches += code == wanted;
        brood_process_free(process);
    }
    return NULL;
}

static void *start_commands(void *argument)
{
    static const char *const command[] = { "sh", "-c", "exit 9", NULL };
    struct worker *worker = argument;

    pthread_barrier_wait(worker->barrier);
    for (int i = 0; i < ROUND_COUNT && worker->result == 0; i++) {
        brood_process *process = NULL;
        int code = -1;

        worker->result = brood_process_create_command(command, NULL, &process);
        if (worker->result == 0)
            worker->result = exit_code_of(process, &code);
        worker->matches += code == 9;
        brood_process_free(process);
    }
    return NULL;
}

static void *join_shared(void *argument)
{
    struct worker *worker = argument;
    int code = -1;

    pthread_barrier_wait(worker->barrier);
    worker->result = brood_process_join(worker->process, BROOD_FOREVER);
    if (worker->result == 0 && brood_process_is_alive(worker->process) == 0 &&
        brood_process_exit_code(worker->process, &code) == 0)
        worker->matches = code == 5;
    return NULL;
}

/* Runs `body` in all threads at once; each must have found `matches` right answers. */
static void run_threads(void *(*body)(void *), brood_process *process, int matches)
{
    struct worker workers[THREAD_COUNT] = { 0 };
    pthread_barrier_t barrier;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREAD_COUNT), 0);
    for (int i = 0; i < THREAD_COUNT; i++) {
        workers[i].barrier = &barrier;
        workers[i].process = process;
        workers[i].number = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
    }
    for (int i = 0; i < THREAD_COUNT; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    for (int i = 0; i < THREAD_COUNT; i++) {
        assert_int_equal(workers[i].result, 0);
        assert_int_equal(workers[i].matches, matches);
    }
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

static void threads_start_functions(void **state)
{
    (void)state;
    run_threads(start_functions, NULL, ROUND_COUNT);
    assert_int_equal(brood_active_children(NULL, 0), 0);
}

/*
 * Until it executes its program, a command's child shares our memory while the thread that
 * made it stands still. The sanitizer's notes on that thread are then the child's too, and
 * end up wrong: it reports a race between pthread_join() and the thread it has joined.
 */
static void threads_start_commands(void **state)
{
    (void)state;
    if (WITH_THREAD_SANITIZER)
        test_skip("the thread sanitizer cannot follow a child that shares our memory");
    run_threads(start_commands, NULL, ROUND_COUNT);
    assert_int_equal(brood_active_children(NULL, 0), 0);
}

static void threads_join_one_process(void **state)
{
    brood_process *process = NULL;

    (void)state;
    assert_int_equal(brood_process_create(end_later, NULL, 0, NULL, &process), 0);
    assert_int_equal(brood_process_start(process), 0);
    run_threads(join_shared, process, 1);
    brood_process_free(process);
}

static const struct test_case cases[] = {
    TEST_CASE(threads_start_functions),
    TEST_CASE(threads_start_commands),
    TEST_CASE(threads_join_one_process),
};
TEST_SUITE(threads, cases)
