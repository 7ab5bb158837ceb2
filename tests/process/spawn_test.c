/*
 * Functions that cross address spaces, and spawn. Method: ids are made, bent and resolved;
 * a second library, loaded only now, stands for a module that the other side lacks; a second
 * copy of libbrood, loaded by name, for a program that never called brood_main().
 */
#include "helpers.h"

#include <dlfcn.h>
#include <limits.h>

static int one_function(void *argument, size_t argument_bytes)
{
    return return_int(argument, argument_bytes);
}

static int other_function(void *argument, size_t argument_bytes)
{
    return return_int(argument, argument_bytes) + 1;
}

/* ---- ids ---- */

static void an_id_leads_back(void **state)
{
    brood_process_function *function = NULL;
    brood_function_id id, again;

    (void)state;
    memset(&id, 0xff, sizeof id);
    assert_int_equal(brood_function_locate(one_function, &id), 0);
    assert_int_equal(id.by_name, 0);
    assert_int_equal(brood_function_locate(one_function, &again), 0);
    assert_memory_equal(&id, &again, sizeof id);
    assert_int_equal(brood_function_resolve(&id, &function), 0);
    assert_true(function == one_function);
}

static void bent_ids_lead_nowhere(void **state)
{
    static int data = 1;
    static const uint64_t offsets[] = { UINT64_MAX, UINT64_MAX / 2, (uint64_t)1 << 40 };
    brood_process_function *function = NULL;
    brood_function_id id, wrong;
    union {
        int *data;
        brood_process_function *function;
    } cast = { &data };

    (void)state;
    assert_int_equal(brood_function_locate(one_function, &id), 0);
    wrong = id;
    wrong.module[0] ^= 1;
    assert_int_equal(brood_function_resolve(&wrong, &function), -ENOENT);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        wrong = id;
        wrong.offset = offsets[i];
        assert_int_equal(brood_function_resolve(&wrong, &function), -ENOENT);
    }
    /* A datum has a place in a module too, but must never be jumped to. */
    if (brood_function_locate(cast.function, &wrong) == 0)
        assert_int_equal(brood_function_resolve(&wrong, &function), -ENOENT);
    /* Stack and heap belong to none. */
    cast.data = &(int){ 0 };
    assert_int_equal(brood_function_locate(cast.function, &wrong), -ENOENT);
    cast.data = malloc(sizeof data);
    assert_int_equal(brood_function_locate(cast.function, &wrong), -ENOENT);
    free(cast.data);
    assert_null(function);

    assert_int_equal(brood_function_locate(NULL, &id), -EINVAL);
    assert_int_equal(brood_function_locate(one_function, NULL), -EINVAL);
    assert_int_equal(brood_function_resolve(NULL, &function), -EINVAL);
    assert_int_equal(brood_function_resolve(&id, NULL), -EINVAL);
}

static void names_are_kept(void **state)
{
    char name[BROOD_FUNCTION_NAME_BYTES + 1];
    brood_process_function *function = NULL;
    brood_function_id id;

    (void)state;
    memset(name, 'n', sizeof name);
    name[BROOD_FUNCTION_NAME_BYTES] = '\0';
    assert_int_equal(brood_function_register(name, one_function), -ENAMETOOLONG);
    name[BROOD_FUNCTION_NAME_BYTES - 1] = '\0';
    assert_int_equal(brood_function_register(NULL, one_function), -EINVAL);
    assert_int_equal(brood_function_register("", one_function), -EINVAL);
    assert_int_equal(brood_function_register(name, NULL), -EINVAL);
    assert_int_equal(brood_function_register(name, one_function), 0);
    assert_int_equal(brood_function_register(name, one_function), 0);
    assert_int_equal(brood_function_register(name, other_function), -EEXIST);

    assert_int_equal(brood_function_locate(one_function, &id), 0);
    assert_int_equal(id.by_name, 1);
    assert_string_equal(id.name, name);
    assert_int_equal(brood_function_resolve(&id, &function), 0);
    assert_true(function == one_function);
    id.name[0] = 'x';
    assert_int_equal(brood_function_resolve(&id, &function), -ENOENT);
    memset(id.name, 'n', sizeof id.name); /* without an end */
    assert_int_equal(brood_function_resolve(&id, &function), -ENOENT);
}

static int know_name(void *argument, size_t argument_bytes)
{
    brood_process_function *function = NULL;
    brood_function_id id;

    memset(&id, 0, sizeof id);
    id.by_name = 1;
    (void)strcpy(id.name, argument);
    (void)argument_bytes;
    return -brood_function_resolve(&id, &function);
}

static void forks_know_names_and_spawned_ones_do_not(void **state)
{
    brood_process_options options = options_of(BROOD_START_SPAWN);
    int value = 8;

    (void)state;
    assert_int_equal(brood_function_register("test.other", other_function), 0);
    assert_int_equal(end_of(start(know_name, "test.other", 11, NULL)), 0);
    assert_int_equal(end_of(start(know_name, "test.other", 11, &options)), ENOENT);
    assert_int_equal(end_of(start(other_function, &value, sizeof value, NULL)), 9);
}

/* A name that the spawned program has not registered is an error of the start. */
static void an_unknown_name_fails_the_start(void **state)
{
    brood_process_options options = options_of(BROOD_START_SPAWN);
    brood_process *process;

    (void)state;
    assert_int_equal(brood_function_register("test.one", one_function), 0);
    process = create(one_function, NULL, 0, &options);
    assert_int_equal(brood_process_start(process), -ENOENT);
    brood_process_free(process);
}

/* ---- a module the other side lacks ---- */

/* A function of a library that nothing here needs; it is never called. */
static brood_process_function *strange_function(void **ret_library)
{
    static const char *const libraries[][2] = { { "libthread_db.so.1", "td_init" },
                                                { "libcrypt.so.1", "crypt" },
                                                { "libz.so.1", "zlibVersion" } };

    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        union {
            void *data;
            brood_process_function *function;
        } cast;

        *ret_library = dlopen(libraries[i][0], RTLD_NOLOAD | RTLD_LAZY);
        if (*ret_library != NULL && dlclose(*ret_library) == 0)
            continue;
        *ret_library = dlopen(libraries[i][0], RTLD_NOW | RTLD_LOCAL);
        if (*ret_library == NULL)
            continue;
        cast.data = dlsym(*ret_library, libraries[i][1]);
        if (cast.data != NULL)
            return cast.function;
    }
    test_skip("no library to load");
}

static void a_module_that_is_not_there(void **state)
{
    brood_process_function *function;
    void *library = NULL;

    (void)state;
    assert_int_equal(brood_guardian_start(NULL), 0);
    function = strange_function(&library);
    for (size_t m = 1; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = create(function, NULL, 0, &options);
        brood_exit end = BROOD_EXIT_INIT;

        for (int attempt = 0; attempt < 3; attempt++) {
            assert_int_equal(brood_process_start(process), -ENOENT);
            assert_int_equal(brood_process_is_alive(process), 0);
            assert_int_equal(brood_active_children(NULL, 0), 0);
            /* Nothing was started, whatever tried to be. */
            assert_int_equal(brood_process_pid(process), -ESRCH);
            assert_int_equal(brood_process_join(process, BROOD_NOWAIT), -ESRCH);
            assert_int_equal(brood_process_exit(process, &end), -ESRCH);
            assert_int_equal(brood_process_pidfd(process), -ESRCH);
        }
        brood_process_free(process);
    }
    assert_int_equal(dlclose(library), 0);
}

/* ---- without brood_main() ---- */

static void *load_copy(void)
{
    char path[PATH_MAX], *slash;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    void *copy;

    assert_true(n > 0);
    path[n] = '\0';
    slash = strrchr(path, '/');
    (void)strcpy(slash, "/../libbrood.so");
    copy = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (copy == NULL)
        test_skip("no shared library beside the tests");
    return copy;
}

static void *symbol(void *copy, const char *name)
{
    void *address = dlsym(copy, name);

    assert_non_null(address);
    return address;
}

/*
 * Two copies of the library in one program: each has its own children, and the one that
 * brood_main() was not called in cannot spawn, but all else.
 */
static void without_brood_main_there_is_no_spawn(void **state)
{
    void *copy = load_copy();
    union {
        void *data;
        __typeof__(brood_process_create) *create;
        __typeof__(brood_process_start) *start;
        __typeof__(brood_process_join) *join;
        __typeof__(brood_process_exit_code) *exit_code;
        __typeof__(brood_process_free) *free;
        __typeof__(brood_shutdown) *shutdown;
    } call;
    brood_process *mine = start(live_on, NULL, 0, NULL), *process = NULL;
    static const int wanted[] = { 0, 0, -ENOSYS };
    int value = 31, code = -1;

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        call.data = symbol(copy, "brood_process_create");
        assert_int_equal(call.create(one_function, &value, sizeof value, &options, &process),
                         0);
        call.data = symbol(copy, "brood_process_start");
        assert_int_equal(call.start(process), wanted[m]);
        call.data = symbol(copy, "brood_process_join");
        assert_int_equal(call.join(process, BROOD_FOREVER), wanted[m] == 0 ? 0 : -ESRCH);
        call.data = symbol(copy, "brood_process_exit_code");
        assert_int_equal(call.exit_code(process, &code), wanted[m] == 0 ? 0 : -ESRCH);
        assert_int_equal(code, 31);
        call.data = symbol(copy, "brood_process_free");
        call.free(process);
    }
    assert_int_equal(brood_active_children(NULL, 0), 1);
    call.data = symbol(copy, "brood_shutdown");
    assert_int_equal(call.shutdown(BROOD_FOREVER), 0);
    assert_int_equal(brood_process_is_alive(mine), 1);
    kill_and_free(mine);
}

/* ---- spawn ---- */

static int letter_stays_hidden(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    return getenv("BROOD_SPAWN") != NULL;
}

static void the_way_in_leaves_no_trace(void **state)
{
    brood_process_options options = options_of(BROOD_START_SPAWN);

    (void)state;
    assert_int_equal(end_of(start(letter_stays_hidden, NULL, 0, &options)), 0);
}

static int own_spawns(void *argument, size_t argument_bytes)
{
    int depth = *(int *)argument - 1, code = 99, r = 0;
    brood_process_options options = options_of(BROOD_START_SPAWN);
    brood_process *process = NULL;

    (void)argument_bytes;
    if (depth == 0)
        return 17;
    r = brood_process_create(own_spawns, &depth, sizeof depth, &options, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(process, &code);
    brood_process_free(process);
    return r == 0 ? code : 98;
}

static void spawned_children_spawn(void **state)
{
    int depth = 3;

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        assert_int_equal(end_of(start(own_spawns, &depth, sizeof depth, &options)), 17);
    }
}

static void brood_main_refuses_null(void **state)
{
    (void)state;
    assert_int_equal(brood_main(0, NULL), -EINVAL);
}

static const struct test_case cases[] = {
    TEST_CASE(an_id_leads_back),
    TEST_CASE(bent_ids_lead_nowhere),
    TEST_CASE(names_are_kept),
    TEST_CASE(forks_know_names_and_spawned_ones_do_not),
    TEST_CASE(an_unknown_name_fails_the_start),
    TEST_CASE(a_module_that_is_not_there),
    TEST_CASE(without_brood_main_there_is_no_spawn),
    TEST_CASE(the_way_in_leaves_no_trace),
    TEST_CASE(spawned_children_spawn),
    TEST_CASE(brood_main_refuses_null),
};
TEST_SUITE(spawn, cases)
