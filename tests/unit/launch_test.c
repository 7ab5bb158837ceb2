/*
 * Launches: packed, checked when received, read back. Method: one with every part filled is
 * packed, and each of its bytes' worth of structure is bent in turn: a bent block is refused
 * and never read outside itself (the sanitizer watches).
 */
#include "process/environment.h"
#include "process/launch.h"

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int function(void *argument, size_t argument_bytes)
{
    return argument != NULL && argument_bytes > 0;
}

static const char *const environment[] = { "A=1", "B=", "EMPTY", NULL };

static struct brood__launch *pack_full(void)
{
    static const char *const argv[] = { "word", "", "third", NULL };
    static const int cpus[] = { 0, 5 }, descriptors[] = { 3 };
    const struct brood__launch what = { .kind = LAUNCH_FUNCTION, .function = function };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    struct brood__launch *launch = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(fd, 3);
    options.name = "full";
    options.environment = environment;
    options.working_directory = "/tmp";
    options.cpus = cpus;
    options.cpu_count = 2;
    options.descriptors = descriptors;
    options.descriptor_count = 1;
    options.nice_increment = 2;
    assert_int_equal(brood__launch_pack(&what, "argument", 9, argv, &options, &launch), 0);
    assert_int_equal(close(fd), 0);
    return launch;
}

static void what_is_packed_can_be_read(void **state)
{
    struct brood__launch *launch = pack_full();
    char **strings = brood__launch_strings(launch, &launch->argv, 2);

    (void)state;
    assert_true(brood__launch_is_sound(launch, launch->bytes));
    assert_string_equal(brood__launch_argument(launch), "argument");
    assert_int_equal(launch->argument.count, 9);
    assert_int_equal((uintptr_t)brood__launch_argument(launch) % _Alignof(max_align_t), 0);
    assert_string_equal(launch->name, "full");
    assert_string_equal(brood__launch_directory(launch), "/tmp");
    assert_int_equal(brood__launch_ints(launch, &launch->cpus)[1], 5);
    assert_int_equal(brood__launch_ints(launch, &launch->descriptors)[0], 3);
    assert_string_equal(strings[0], "word");
    assert_string_equal(strings[1], "");
    assert_string_equal(strings[2], "third");
    for (int i = 3; i < 6; i++)
        assert_null(strings[i]);
    free(strings);
    free(launch);
}

/* A copy elsewhere means the same: there are no pointers in it. */
static void a_launch_can_be_moved(void **state)
{
    struct brood__launch *launch = pack_full();
    struct brood__launch *moved = malloc(launch->bytes);
    size_t bytes = launch->bytes;

    (void)state;
    memcpy(moved, launch, bytes);
    memset(launch, 0xff, bytes);
    free(launch);
    assert_true(brood__launch_is_sound(moved, bytes));
    assert_string_equal(brood__launch_argument(moved), "argument");
    assert_string_equal(brood__launch_directory(moved), "/tmp");
    assert_int_equal(brood__launch_locate(moved), 0);
    moved->function = NULL;
    assert_int_equal(brood__launch_resolve(moved), 0);
    assert_true(moved->function == function);
    free(moved);
}

static void bent_launches_are_refused(void **state)
{
    static const uint64_t wrong[] = { 0, 1, 8, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 40 };
    struct brood__launch *launch = pack_full();
    struct brood__launch_part *const parts[] = {
        &launch->argument,          &launch->argv,       &launch->environment, &launch->cpus,
        &launch->working_directory, &launch->descriptors
    };

    (void)state;
    for (size_t bytes = 0; bytes < launch->bytes; bytes += 7)
        assert_false(brood__launch_is_sound(launch, bytes));
    assert_false(brood__launch_is_sound(launch, launch->bytes + 1));
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        struct brood__launch_part good = *parts[p];

        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            parts[p]->at = wrong[i];
            assert_false(brood__launch_is_sound(launch, launch->bytes));
            *parts[p] = good;
            if (i < 3)
                continue;
            parts[p]->count = wrong[i];
            assert_false(brood__launch_is_sound(launch, launch->bytes));
            *parts[p] = good;
        }
    }
    launch->magic ^= 1;
    assert_false(brood__launch_is_sound(launch, launch->bytes));
    launch->magic ^= 1;
    assert_true(brood__launch_is_sound(launch, launch->bytes));
    free(launch);
}

static void an_empty_launch(void **state)
{
    const struct brood__launch what = { .kind = LAUNCH_FUNCTION, .function = function };
    struct brood__launch *launch = NULL;
    char **strings;

    (void)state;
    assert_int_equal(brood__launch_pack(&what, NULL, 0, NULL, NULL, &launch), 0);
    assert_true(brood__launch_is_sound(launch, launch->bytes));
    assert_null(brood__launch_argument(launch));
    assert_null(brood__launch_directory(launch));
    strings = brood__launch_strings(launch, &launch->environment, 0);
    assert_null(strings[0]);
    assert_int_equal(launch->has_environment, 0);
    free(strings);
    free(launch);
}

static void sizes_that_cannot_be_had(void **state)
{
    const struct brood__launch what = { .kind = LAUNCH_FUNCTION, .function = function };
    struct brood__launch *launch = NULL;

    (void)state;
    assert_int_equal(brood__launch_pack(&what, "x", SIZE_MAX, NULL, NULL, &launch), -ENOMEM);
    assert_int_equal(brood__launch_pack(&what, "x", SIZE_MAX / 2, NULL, NULL, &launch),
                     -ENOMEM);
    assert_null(launch);
}

/* ---- environments ---- */

static void environments_are_replaced_by_name(void **state)
{
    char one[] = "A=2", two[] = "C=3";
    char *entries[] = { one, two, NULL };
    struct brood__launch *launch = pack_full();
    char **vector = brood__environment(launch, entries);

    (void)state;
    assert_string_equal(brood__environment_get(vector, "A"), "2");
    assert_string_equal(brood__environment_get(vector, "B"), "");
    assert_string_equal(brood__environment_get(vector, "C"), "3");
    assert_null(brood__environment_get(vector, "EMPTY")); /* no value, and no "=" */
    assert_null(brood__environment_get(vector, ""));
    assert_null(brood__environment_get(vector, "AA"));
    free(vector);
    vector = brood__environment(launch, NULL);
    for (int i = 0; i < 3; i++)
        assert_string_equal(vector[i], environment[i]);
    assert_null(vector[3]);
    free(vector);
    free(launch);
}

static void without_one_ours_is_taken(void **state)
{
    const struct brood__launch what = { .kind = LAUNCH_FUNCTION, .function = function };
    struct brood__launch *launch = NULL;
    char **vector;

    (void)state;
    assert_int_equal(setenv("BROOD_TEST", "here", 1), 0);
    assert_int_equal(brood__launch_pack(&what, NULL, 0, NULL, NULL, &launch), 0);
    vector = brood__environment(launch, NULL);
    assert_string_equal(brood__environment_get(vector, "BROOD_TEST"), "here");
    free(vector);
    assert_int_equal(clearenv(), 0);
    vector = brood__environment(launch, NULL);
    assert_null(vector[0]);
    free(vector);
    free(launch);
}

static const struct test_case cases[] = {
    TEST_CASE(what_is_packed_can_be_read), TEST_CASE(a_launch_can_be_moved),
    TEST_CASE(bent_launches_are_refused),  TEST_CASE(an_empty_launch),
    TEST_CASE(sizes_that_cannot_be_had),   TEST_CASE(environments_are_replaced_by_name),
    TEST_CASE(without_one_ours_is_taken),
};
TEST_SUITE(launch_unit, cases)
