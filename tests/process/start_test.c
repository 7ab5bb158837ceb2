/*
 * Starting, joining and ending a function's process, by each start method: what is refused,
 * what the function receives, what becomes of its return. Method: children answer by exit
 * code or on their stdout. The cases follow what Python's own tests ask of Process.
 */
#include "helpers.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdint.h>
#include <sys/stat.h>

#define BIG_BYTES ((size_t)10 << 20)

static void starts_and_joins(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);
        int wanted = 40 + (int)i, code = -1;
        brood_process *process = create(return_int, &wanted, sizeof wanted, &options);
        int pid;

        assert_int_equal(brood_process_is_alive(process), 0);
        assert_int_equal(brood_process_start(process), 0);
        pid = brood_process_pid(process);
        assert_true(pid > 0 && pid != getpid());
        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        assert_int_equal(brood_process_join(process, BROOD_NOWAIT), 0);
        assert_int_equal(brood_process_try_join(process), 0);
        assert_int_equal(brood_process_is_alive(process), 0);
        assert_int_equal(brood_process_exit_code(process, &code), 0);
        assert_int_equal(code, wanted);
        assert_int_equal(brood_process_pid(process), pid);
        brood_process_free(process);
    }
}

static void starts_once_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);
        brood_process *process = start(live_on, NULL, 0, &options);

        assert_int_equal(brood_process_start(process), -EALREADY);
        assert_int_equal(brood_process_kill(process), 0);
        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        assert_int_equal(brood_process_start(process), -EALREADY);
        brood_process_free(process);
    }
}

static void before_the_start_there_is_no_process(void **state)
{
    brood_process *process = create(return_zero, NULL, 0, NULL);
    brood_exit end = BROOD_EXIT_INIT;
    brood_process *set[] = { process };
    size_t index;
    int code;

    (void)state;
    assert_int_equal(brood_process_join(process, BROOD_FOREVER), -ESRCH);
    assert_int_equal(brood_process_try_join(process), -ESRCH);
    assert_int_equal(brood_process_pid(process), -ESRCH);
    assert_int_equal(brood_process_pidfd(process), -ESRCH);
    assert_int_equal(brood_process_exit(process, &end), -ESRCH);
    assert_int_equal(brood_process_exit_code(process, &code), -ESRCH);
    assert_int_equal(brood_process_terminate(process), -ESRCH);
    assert_int_equal(brood_process_kill(process), -ESRCH);
    assert_int_equal(brood_process_interrupt(process), -ESRCH);
    assert_int_equal(brood_process_signal(process, SIGUSR1, BROOD_SCOPE_TREE), -ESRCH);
    assert_int_equal(brood_process_stop(process, 0, BROOD_SCOPE_PROCESS), -ESRCH);
    assert_int_equal(brood_process_wait_any(set, 1, 0, &index), -ESRCH);
    assert_int_equal(brood_process_wait_all(set, 1, 0), -ESRCH);
    assert_int_equal(brood_process_is_alive(process), 0);
    assert_int_equal(brood_process_is_daemon(process), 0);
    assert_int_equal(brood_active_children(NULL, 0), 0);
    brood_process_free(process);
}

static void null_is_refused_everywhere(void **state)
{
    static const brood_process_ops no_run = { sizeof no_run, NULL, NULL, NULL };
    const char *no_words[] = { NULL };
    const char *empty_word[] = { "", NULL };
    brood_process *process = NULL;
    brood_exit end = BROOD_EXIT_INIT;
    size_t index;
    int code;

    (void)state;
    brood_process_free(NULL);
    assert_string_equal(brood_process_name(NULL), "");
    assert_int_equal(brood_process_create(NULL, NULL, 0, NULL, &process), -EINVAL);
    assert_int_equal(brood_process_create(return_zero, NULL, 0, NULL, NULL), -EINVAL);
    assert_int_equal(brood_process_create(return_zero, NULL, 1, NULL, &process), -EINVAL);
    assert_int_equal(brood_process_create_object(NULL, NULL, 0, NULL, &process), -EINVAL);
    assert_int_equal(brood_process_create_object(&no_run, NULL, 0, NULL, &process), -EINVAL);
    assert_int_equal(brood_process_create_command(NULL, NULL, &process), -EINVAL);
    assert_int_equal(brood_process_create_command(no_words, NULL, &process), -EINVAL);
    assert_int_equal(brood_process_create_command(empty_word, NULL, &process), -EINVAL);
    assert_null(process);
    assert_int_equal(brood_process_start(NULL), -EINVAL);
    assert_int_equal(brood_process_join(NULL, 0), -EINVAL);
    assert_int_equal(brood_process_try_join(NULL), -EINVAL);
    assert_int_equal(brood_process_is_alive(NULL), -EINVAL);
    assert_int_equal(brood_process_pid(NULL), -EINVAL);
    assert_int_equal(brood_process_is_daemon(NULL), -EINVAL);
    assert_int_equal(brood_process_exit(NULL, &end), -EINVAL);
    assert_int_equal(brood_process_exit_code(NULL, &code), -EINVAL);
    assert_int_equal(brood_process_pidfd(NULL), -EINVAL);
    assert_int_equal(brood_process_signal(NULL, SIGTERM, 0), -EINVAL);
    assert_int_equal(brood_process_terminate(NULL), -EINVAL);
    assert_int_equal(brood_process_kill(NULL), -EINVAL);
    assert_int_equal(brood_process_interrupt(NULL), -EINVAL);
    assert_int_equal(brood_process_stop(NULL, 0, 0), -EINVAL);
    assert_int_equal(brood_process_wait_any(NULL, 1, 0, &index), -EINVAL);
    assert_int_equal(brood_process_wait_all(NULL, 1, 0), -EINVAL);
    assert_int_equal(brood_current_process(NULL), -EINVAL);
    assert_int_equal(brood_parent_process(NULL), -EINVAL);
    assert_int_equal(brood_active_children(NULL, 1), -EINVAL);
    assert_int_equal(brood_guardian_status(NULL), -EINVAL);

    process = start(return_zero, NULL, 0, NULL);
    assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
    assert_int_equal(brood_process_exit(process, NULL), -EINVAL);
    assert_int_equal(brood_process_exit_code(process, NULL), -EINVAL);
    assert_int_equal(brood_process_wait_any(&process, 1, 0, NULL), -EINVAL);
    brood_process_free(process);
}

static void every_exit_code_arrives(void **state)
{
    (void)state;
    for (int wanted = 0; wanted < 256; wanted++)
        assert_int_equal(end_of(start(return_int, &wanted, sizeof wanted, NULL)), wanted);
}

static void codes_keep_their_low_byte(void **state)
{
    static const int returned[] = { 256, 257, -1, -256, 0x12345678, INT32_MIN };

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        for (size_t i = 0; i < sizeof returned / sizeof returned[0]; i++)
            assert_int_equal(end_of(start(return_int, &returned[i], sizeof(int), &options)),
                             returned[i] & 0xff);
    }
}

/* ---- arguments ---- */

static void arguments_are_copied_at_creation(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);
        int value = 17;
        brood_process *process = create(return_int, &value, sizeof value, &options);

        value = 99;
        assert_int_equal(brood_process_start(process), 0);
        value = 98;
        assert_int_equal(end_of(process), 17);
    }
}

/* Adds to its argument, which the parent must not see, and checks how it is aligned. */
static int change_argument(void *argument, size_t argument_bytes)
{
    int *value = argument;

    if ((uintptr_t)argument % alignof(max_align_t) != 0 || argument_bytes != sizeof *value)
        return 200;
    *value += 1;
    return *value;
}

static void changes_of_a_child_stay_in_it(void **state)
{
    int value = 10;

    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);

        assert_int_equal(end_of(start(change_argument, &value, sizeof value, &options)), 11);
        assert_int_equal(value, 10);
    }
}

static int read_pointer(void *argument, size_t argument_bytes)
{
    int *value = argument;

    if (argument_bytes != 0)
        return 200;
    *value += 5;
    return *value;
}

static void a_pointer_sees_memory_as_of_the_start(void **state)
{
    int *value = malloc(sizeof *value);
    brood_process_options options = options_of(BROOD_START_FORKSERVER);
    brood_process *process;

    (void)state;
    *value = 1;
    process = create(read_pointer, value, 0, NULL);
    *value = 30;
    assert_int_equal(brood_process_start(process), 0);
    assert_int_equal(end_of(process), 35);
    assert_int_equal(*value, 30);

    assert_int_equal(brood_process_create(read_pointer, value, 0, &options, &process), -EINVAL);
    options.start_method = BROOD_START_SPAWN;
    assert_int_equal(brood_process_create(read_pointer, value, 0, &options, &process), -EINVAL);
    free(value);
}

static void a_pointer_cannot_follow_a_changed_default(void **state)
{
    int value = 1;
    brood_process *process = create(read_pointer, &value, 0, NULL);

    (void)state;
    assert_int_equal(brood_set_start_method(BROOD_START_SPAWN), 0);
    assert_int_equal(brood_process_start(process), -EINVAL);
    assert_int_equal(brood_set_start_method(BROOD_START_FORK), 0);
    assert_int_equal(brood_process_start(process), 0);
    assert_int_equal(end_of(process), 6);
}

static int is_null(void *argument, size_t argument_bytes)
{
    return argument == NULL && argument_bytes == 0;
}

static void no_argument_is_null(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);

        assert_int_equal(end_of(start(is_null, NULL, 0, &options)), 1);
    }
}

static int check_big(void *argument, size_t argument_bytes)
{
    const unsigned char *bytes = argument;

    for (size_t i = 0; i < argument_bytes; i++)
        if (bytes[i] != (unsigned char)(i * 7 + i / 4096))
            return 1;
    return argument_bytes == BIG_BYTES ? 42 : 2;
}

static void ten_mebibytes_arrive_whole(void **state)
{
    unsigned char *bytes = malloc(BIG_BYTES);

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < BIG_BYTES; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 4096);
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);

        assert_int_equal(end_of(start(check_big, bytes, BIG_BYTES, &options)), 42);
    }
    free(bytes);
}

/* Around the size at which a launch no longer fits into the forkserver's message. */
static int count_bytes(void *argument, size_t argument_bytes)
{
    const unsigned char *bytes = argument;

    for (size_t i = 0; i < argument_bytes; i++)
        if (bytes[i] != 0x5a)
            return 255;
    return (int)(argument_bytes % 251);
}

static void arguments_around_the_size_of_a_message(void **state)
{
    brood_process_options options = options_of(BROOD_START_FORKSERVER);
    static unsigned char bytes[34000];

    (void)state;
    memset(bytes, 0x5a, sizeof bytes);
    for (size_t count = 31000; count < sizeof bytes; count += 97)
        assert_int_equal(end_of(start(count_bytes, bytes, count, &options)),
                         (int)(count % 251));
}

/* ---- names, parents ---- */

static void names_count_from_one(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *first = create(return_zero, NULL, 0, NULL);
    brood_process *second = create(return_zero, NULL, 0, NULL);
    brood_process *named, *fourth;
    char name[BROOD_NAME_BYTES + 1];

    (void)state;
    assert_string_equal(brood_process_name(first), "process-1");
    assert_string_equal(brood_process_name(second), "process-2");
    memset(name, 'n', sizeof name);
    name[BROOD_NAME_BYTES - 1] = '\0';
    options.name = name;
    named = create(return_zero, NULL, 0, &options);
    assert_string_equal(brood_process_name(named), name);
    name[0] = 'x';
    assert_int_equal(brood_process_name(named)[0], 'n');
    fourth = create(return_zero, NULL, 0, NULL);
    assert_string_equal(brood_process_name(fourth), "process-4");
    name[BROOD_NAME_BYTES - 1] = 'n';
    name[BROOD_NAME_BYTES] = '\0';
    assert_int_equal(brood_process_create(return_zero, NULL, 0, &options, &named),
                     -ENAMETOOLONG);
    brood_process_free(first);
    brood_process_free(second);
    brood_process_free(named);
    brood_process_free(fourth);
}

static int print_name_and_descend(void *argument, size_t argument_bytes)
{
    int depth = *(int *)argument - 1;
    brood_process_info info = BROOD_PROCESS_INFO_INIT;
    int r = brood_current_process(&info);

    (void)argument_bytes;
    dprintf(1, "%s ", info.name);
    for (int i = 0; r == 0 && depth > 0 && i < 2; i++) {
        brood_process *process = NULL;

        r = brood_process_create(print_name_and_descend, &depth, sizeof depth, NULL, &process);
        if (r == 0)
            r = brood_process_start(process);
        if (r == 0)
            r = brood_process_join(process, BROOD_FOREVER);
        brood_process_free(process);
    }
    return r == 0 ? 0 : 1;
}

static void names_tell_the_lineage(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);
        char wanted[256];
        int depth = 3, n = (int)i + 1;

        (void)snprintf(wanted, sizeof wanted,
                       "process-%d process-%d:1 process-%d:1:1 process-%d:1:2 process-%d:2 "
                       "process-%d:2:1 process-%d:2:2 ",
                       n, n, n, n, n, n, n);
        assert_string_equal(output_of(print_name_and_descend, &depth, sizeof depth, &options),
                            wanted);
    }
}

static int print_parent_pid(void *argument, size_t argument_bytes)
{
    brood_process_info parent = BROOD_PROCESS_INFO_INIT, self = BROOD_PROCESS_INFO_INIT;

    (void)argument, (void)argument_bytes;
    if (brood_parent_process(&parent) != 0 || brood_current_process(&self) != 0)
        return 1;
    dprintf(1, "%d %d %d %s", getppid(), parent.pid, self.pid == getpid(), parent.name);
    return 0;
}

static void a_forked_child_is_a_true_child(void **state)
{
    char wanted[128];

    (void)state;
    (void)snprintf(wanted, sizeof wanted, "%d %d 1 main", getpid(), getpid());
    assert_string_equal(output_of(print_parent_pid, NULL, 0, NULL), wanted);
}

/* ---- daemons ---- */

static int print_daemon_and_descend(void *argument, size_t argument_bytes)
{
    int depth = *(int *)argument - 1;
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process_info info = BROOD_PROCESS_INFO_INIT;
    brood_process *process = NULL;
    int r = brood_current_process(&info);

    (void)argument_bytes;
    dprintf(1, "%d", info.daemon);
    if (depth == 1)
        options.daemon = BROOD_DAEMON_NO;
    if (r == 0 && depth > 0)
        r = brood_process_create(print_daemon_and_descend, &depth, sizeof depth, &options,
                                 &process);
    if (r == 0 && depth > 0)
        r = brood_process_start(process);
    if (r == 0 && depth > 0)
        r = brood_process_join(process, BROOD_FOREVER);
    brood_process_free(process);
    return r == 0 ? 0 : 1;
}

static void daemons_are_inherited_and_may_have_children(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);
        int depth = 3;

        assert_string_equal(output_of(print_daemon_and_descend, &depth, sizeof depth, &options),
                            "000");
        options.daemon = BROOD_DAEMON_YES;
        assert_string_equal(output_of(print_daemon_and_descend, &depth, sizeof depth, &options),
                            "110");
    }
}

static void a_handle_knows_that_it_is_a_daemon(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process;

    (void)state;
    options.daemon = BROOD_DAEMON_YES;
    process = create(return_zero, NULL, 0, &options);
    assert_int_equal(brood_process_is_daemon(process), 1);
    brood_process_free(process);
}

/* ---- the child's end ---- */

static int exit_by_itself(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    exit(23);
}

static void exit_in_a_child_is_its_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);

        assert_int_equal(end_of(start(exit_by_itself, NULL, 0, &options)), 23);
    }
}

static void say_exit_handler(void)
{
    (void)!write(1, "handler", 7);
}

static void inherited_exit_handlers_do_not_run(void **state)
{
    (void)state;
    assert_int_equal(atexit(say_exit_handler), 0);
    assert_string_equal(output_of(return_zero, NULL, 0, NULL), "");
}

static int print_unflushed(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    printf("child");
    fprintf(stderr, "!");
    return 0;
}

static void buffers_are_written_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);

        options.stderr_fd = BROOD_STDIO_STDOUT;
        printf("(of the parent)\n"); /* stays in the buffer: stdout is a file here */
        assert_string_equal(output_of(print_unflushed, NULL, 0, &options), "!child");
    }
}

static void *return_late(void *argument)
{
    test_pause();
    return argument;
}

static int use_threads(void *argument, size_t argument_bytes)
{
    pthread_t thread;
    void *result = NULL;

    if (pthread_create(&thread, NULL, return_late, argument) != 0 ||
        pthread_join(thread, &result) != 0)
        return 1;
    return result == argument && argument_bytes == 1 ? 0 : 2;
}

static void children_may_have_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);

        assert_int_equal(end_of(start(use_threads, "x", 1, &options)), 0);
    }
}

/* ---- trying again ---- */

static void a_failed_start_may_be_tried_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        brood_process_options options = options_of(start_methods[i]);
        brood_exit end = BROOD_EXIT_INIT;
        brood_process *process;

        options.working_directory = "not-there-yet";
        process = create(return_zero, NULL, 0, &options);
        for (int attempt = 0; attempt < 2; attempt++) {
            assert_int_equal(brood_process_start(process), -ENOENT);
            assert_int_equal(brood_process_is_alive(process), 0);
            assert_int_equal(brood_process_pid(process), -ESRCH);
            assert_int_equal(brood_process_join(process, BROOD_NOWAIT), -ESRCH);
            assert_int_equal(brood_process_exit(process, &end), -ESRCH);
            assert_int_equal(brood_process_kill(process), -ESRCH);
            assert_int_equal(brood_active_children(NULL, 0), 0);
        }
        assert_int_equal(mkdir("not-there-yet", 0700), 0);
        assert_int_equal(brood_process_start(process), 0);
        assert_int_equal(end_of(process), 0);
        assert_int_equal(rmdir("not-there-yet"), 0);
    }
}

/* ---- the default method ---- */

static int print_default_method(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    dprintf(1, "%d", brood_start_method());
    return 0;
}

static void the_default_method_is_used_and_inherited(void **state)
{
    brood_process_info info = BROOD_PROCESS_INFO_INIT;

    (void)state;
    assert_int_equal(brood_start_method(), BROOD_START_FORK);
    assert_int_equal(brood_set_start_method(BROOD_START_DEFAULT), -EINVAL);
    assert_int_equal(brood_set_start_method(4), -EINVAL);
    assert_int_equal(brood_set_start_method(-1), -EINVAL);
    assert_int_equal(brood_start_method(), BROOD_START_FORK);
    for (size_t i = 0; i < START_METHOD_COUNT; i++) {
        char wanted[2] = { (char)('0' + start_methods[i]), '\0' };
        brood_process *process;

        assert_int_equal(brood_set_start_method(start_methods[i]), 0);
        assert_int_equal(brood_start_method(), start_methods[i]);
        process = start(live_on, NULL, 0, NULL);
        assert_int_equal(brood_active_children(&info, 1), 1);
        assert_int_equal(info.start_method, start_methods[i]);
        kill_and_free(process);
        assert_string_equal(output_of(print_default_method, NULL, 0, NULL), wanted);
    }
}

static const struct test_case cases[] = {
    TEST_CASE(starts_and_joins),
    TEST_CASE(starts_once_only),
    TEST_CASE(before_the_start_there_is_no_process),
    TEST_CASE(null_is_refused_everywhere),
    TEST_CASE(every_exit_code_arrives),
    TEST_CASE(codes_keep_their_low_byte),
    TEST_CASE(arguments_are_copied_at_creation),
    TEST_CASE(changes_of_a_child_stay_in_it),
    TEST_CASE(a_pointer_sees_memory_as_of_the_start),
    TEST_CASE(a_pointer_cannot_follow_a_changed_default),
    TEST_CASE(no_argument_is_null),
    TEST_CASE(ten_mebibytes_arrive_whole),
    TEST_CASE(arguments_around_the_size_of_a_message),
    TEST_CASE(names_count_from_one),
    TEST_CASE(names_tell_the_lineage),
    TEST_CASE(a_forked_child_is_a_true_child),
    TEST_CASE(daemons_are_inherited_and_may_have_children),
    TEST_CASE(a_handle_knows_that_it_is_a_daemon),
    TEST_CASE(exit_in_a_child_is_its_code),
    TEST_CASE(inherited_exit_handlers_do_not_run),
    TEST_CASE(buffers_are_written_once),
    TEST_CASE(children_may_have_threads),
    TEST_CASE(a_failed_start_may_be_tried_again),
    TEST_CASE(the_default_method_is_used_and_inherited),
};
TEST_SUITE(start, cases)
