/*
 * Fork handlers of the program's own, and forks at bad moments. Method: handlers registered
 * before the library's first use call the library, or take a lock that another thread holds
 * while it calls the library; threads fork while others are inside the library.
 */
#include "../process/helpers.h"

#include <pthread.h>
#include <stdatomic.h>

static int calls[3];

static void before(void)
{
    calls[0]++;
}

static void after_in_parent(void)
{
    calls[1]++;
}

static void after_in_child(void)
{
    calls[2]++;
}

static int count_calls(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    return calls[0] * 16 + calls[2];
}

static void handlers_run_for_forked_children(void **state)
{
    (void)state;
    assert_int_equal(pthread_atfork(before, after_in_parent, after_in_child), 0);
    assert_int_equal(end_of(start(count_calls, NULL, 0, NULL)), 16 + 1);
    assert_int_equal(end_of(start(count_calls, NULL, 0, NULL)), 32 + 1);
    assert_int_equal(calls[1], 2);
    assert_int_equal(calls[2], 0);
}

static void ask(void)
{
    calls[0] += brood_active_children(NULL, 0) >= 0;
}

/* Prepare handlers run last registered first. Ours must be the older ones, or these would
 * call a library that has locked itself for the fork. */
static void handlers_may_call_the_library(void **state)
{
    (void)state;
    assert_int_equal(pthread_atfork(ask, ask, ask), 0);
    kill_and_free(start(live_on, NULL, 0, NULL));
    assert_true(calls[0] > 0);
    assert_int_equal(status_of_fork(ask), 0);
}

/* ---- a lock of the program's, held over calls of the library ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool over;

static void take(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void give(void)
{
    (void)pthread_mutex_unlock(&lock);
}

static void *call_with_lock(void *process)
{
    while (!atomic_load(&over)) {
        take();
        for (int i = 0; i < 50; i++)
            (void)brood_process_is_alive(process);
        give();
    }
    return NULL;
}

static void locks_over_calls_and_in_handlers(void **state)
{
    pthread_t thread;
    brood_process *process;

    (void)state;
    assert_int_equal(pthread_atfork(take, give, give), 0);
    process = start(live_on, NULL, 0, NULL);
    assert_int_equal(pthread_create(&thread, NULL, call_with_lock, process), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(status_of_fork(test_pause), 0);
    atomic_store(&over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    kill_and_free(process);
}

/* ---- forks while another thread is in the library ---- */

static void *register_names(void *unused)
{
    while (!atomic_load(&over))
        (void)brood_function_register("name-1", return_zero); /* the oldest: a long search */
    return unused;
}

static void register_in_fork(void)
{
    (void)alarm(5);
    _exit(brood_function_register("of the child", return_int) == 0 ? 0 : 1);
}

static void a_fork_while_names_are_registered(void **state)
{
    pthread_t thread;
    char name[32];

    (void)state;
    for (int i = 1; i <= 3000; i++) {
        (void)snprintf(name, sizeof name, "name-%d", i);
        assert_int_equal(brood_function_register(name, return_zero), 0);
    }
    assert_int_equal(pthread_create(&thread, NULL, register_names, NULL), 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(status_of_fork(register_in_fork), 0);
    atomic_store(&over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void say_nothing(int level, const char *message, void *user)
{
    (void)level, (void)message, (void)user;
}

static void *use_library(void *unused)
{
    while (!atomic_load(&over)) {
        brood_process *process = NULL;

        (void)brood_set_log(say_nothing, NULL, BROOD_LOG_ERROR);
        if (brood_process_create(return_zero, NULL, 0, NULL, &process) == 0 &&
            brood_process_start(process) == 0)
            (void)brood_process_join(process, BROOD_FOREVER);
        brood_process_free(process);
    }
    return unused;
}

static void start_in_fork(void)
{
    int wanted = 3;

    (void)alarm(10);
    (void)brood_set_log(NULL, NULL, 0);
    if (end_of(start(return_int, &wanted, sizeof wanted, NULL)) != 3)
        _exit(1);
    if (brood_shutdown(BROOD_FOREVER) != 0)
        _exit(2);
}

static void a_fork_while_others_start_and_join(void **state)
{
    pthread_t threads[2];

    (void)state;
    if (SANITIZED)
        test_skip("this sanitizer does not survive a fork while other threads allocate");
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_library, NULL), 0);
    for (int i = 0; i < 60; i++)
        assert_int_equal(status_of_fork(start_in_fork), 0);
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(brood_active_children(NULL, 0), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(handlers_run_for_forked_children),
    TEST_CASE_LIMIT(handlers_may_call_the_library, 5),
    TEST_CASE_LIMIT(locks_over_calls_and_in_handlers, 10),
    TEST_CASE(a_fork_while_names_are_registered),
    TEST_CASE(a_fork_while_others_start_and_join),
};
TEST_SUITE(atfork, cases)
