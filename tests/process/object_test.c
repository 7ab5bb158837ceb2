/*
 * The object form: a static table with hooks, found in the child as functions are. Method:
 * one table, whose hooks write letters in the order of their calls, by each start method.
 */
#include "helpers.h"

struct letters {
    char text[8]; /* of the object's own; each process has a copy */
};

static int parent_calls;
static brood_process *parent_saw;

static void in_child(void *object, size_t object_bytes)
{
    struct letters *letters = object;

    if (object_bytes == sizeof *letters)
        (void)strcat(letters->text, "c");
}

static int run(void *object, size_t object_bytes)
{
    struct letters *letters = object;

    (void)strcat(letters->text, "r");
    return write(1, letters->text, strlen(letters->text)) > 0 && object_bytes > 0 ? 0 : 1;
}

static void in_parent(void *object, size_t object_bytes, brood_process *process)
{
    struct letters *letters = object;

    parent_calls++;
    parent_saw = process;
    assert_int_equal(object_bytes, sizeof *letters);
    assert_string_equal(letters->text, "x"); /* neither the caller's nor the child's */
    assert_true(brood_process_pid(process) > 0);
    assert_int_equal(brood_process_start(process), -EALREADY);
}

static const brood_process_ops all_hooks = { sizeof all_hooks, run, in_child, in_parent };
static const brood_process_ops only_run = { sizeof only_run, run, NULL, NULL };

static const char *output_of_object(const brood_process_ops *ops, int method)
{
    brood_process_options options = options_of(method);
    struct letters letters = { "x" };
    brood_process *process = NULL;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.stdout_fd = ends[1];
    assert_int_equal(
        brood_process_create_object(ops, &letters, sizeof letters, &options, &process), 0);
    letters.text[0] = 'y';
    return output_from(process, ends);
}

static void hooks_run_in_order(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        parent_calls = 0;
        assert_string_equal(output_of_object(&all_hooks, start_methods[m]), "xcr");
        assert_int_equal(parent_calls, 1);
        assert_non_null(parent_saw);
        assert_string_equal(output_of_object(&only_run, start_methods[m]), "xr");
        assert_int_equal(parent_calls, 1);
    }
}

static void no_hook_runs_for_a_failed_start(void **state)
{
    (void)state;
    parent_calls = 0;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        struct letters letters = { "x" };
        brood_process *process = NULL;

        options.working_directory = "missing";
        assert_int_equal(brood_process_create_object(&all_hooks, &letters, sizeof letters,
                                                     &options, &process),
                         0);
        assert_int_equal(brood_process_start(process), -ENOENT);
        assert_int_equal(parent_calls, 0);
        brood_process_free(process);
    }
}

static void tables_of_unknown_size_are_refused(void **state)
{
    brood_process_ops ops = { sizeof ops + 8, run, NULL, NULL };
    brood_process *process = NULL;

    (void)state;
    assert_int_equal(brood_process_create_object(&ops, "x", 1, NULL, &process), -EINVAL);
    ops.size = sizeof ops - 8;
    assert_int_equal(brood_process_create_object(&ops, "x", 1, NULL, &process), -EINVAL);
    ops.size = 0;
    assert_int_equal(brood_process_create_object(&ops, "x", 1, NULL, &process), -EINVAL);
    assert_null(process);
}

static int read_object(void *object, size_t object_bytes)
{
    return object_bytes == 0 ? *(int *)object : 255;
}

/* A pointer, and a table on the heap: both only for fork. */
static void by_pointer(void **state)
{
    brood_process_ops *ops = calloc(1, sizeof *ops);
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int value = 1;

    (void)state;
    ops->size = sizeof *ops;
    ops->run = read_object;
    assert_int_equal(brood_process_create_object(ops, &value, 0, NULL, &process), 0);
    value = 61;
    assert_int_equal(brood_process_start(process), 0);
    assert_int_equal(end_of(process), 61);

    for (size_t m = 1; m < START_METHOD_COUNT; m++) {
        options.start_method = start_methods[m];
        assert_int_equal(brood_process_create_object(ops, &value, 0, &options, &process),
                         -EINVAL);
        assert_int_equal(brood_process_create_object(ops, &value, 4, &options, &process), 0);
        assert_int_equal(brood_process_start(process), -ENOENT); /* not in any module */
        brood_process_free(process);
    }
    free(ops);
}

static const struct test_case cases[] = {
    TEST_CASE(hooks_run_in_order),
    TEST_CASE(no_hook_runs_for_a_failed_start),
    TEST_CASE(tables_of_unknown_size_are_refused),
    TEST_CASE(by_pointer),
};
TEST_SUITE(object, cases)
