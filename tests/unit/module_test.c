/* Addresses as module and offset. Method: code and data of this program and of libc. */
#include "process/module.h"

#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int written = 1;
static int zeroed[1000];
static const int constant = 2;

static int function(void)
{
    return written;
}

static void data_and_code_are_told_apart(void **state)
{
    const void *const data[] = { &written, &zeroed[999], &constant };
    const void *code = (const void *)(uintptr_t)function;
    brood_function_id id;
    void *address = NULL;

    (void)state;
    assert_int_equal(brood__module_locate(code, &id), 0);
    assert_int_equal(brood__module_resolve(&id, true, &address), 0);
    assert_ptr_equal(address, code);
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
        assert_int_equal(brood__module_locate(data[i], &id), 0);
        assert_int_equal(brood__module_resolve(&id, false, &address), 0);
        assert_ptr_equal(address, data[i]);
        if (data[i] != &constant) /* which some linkers put among the code */
            assert_int_equal(brood__module_resolve(&id, true, &address), -ENOENT);
    }
}

static void modules_are_told_apart(void **state)
{
    brood_function_id ours, libc, again;
    void *address = NULL;

    (void)state;
    assert_int_equal(brood__module_locate(&written, &ours), 0);
    assert_int_equal(brood__module_locate(stdout, &libc), 0);
    if (memcmp(ours.module, libc.module, sizeof ours.module) == 0)
        test_skip("one static program");
    assert_int_equal(brood__module_locate(&zeroed[0], &again), 0);
    assert_memory_equal(ours.module, again.module, sizeof ours.module);
    assert_int_equal(brood__module_resolve(&libc, false, &address), 0);
    assert_ptr_equal(address, stdout);
    memset(libc.module, 0, sizeof libc.module);
    assert_int_equal(brood__module_resolve(&libc, false, &address), -ENOENT);
}

static void other_memory_is_in_no_module(void **state)
{
    brood_function_id id;
    char *heap = calloc(1, 100);

    (void)state;
    assert_int_equal(brood__module_locate(heap, &id), -ENOENT);
    assert_int_equal(brood__module_locate(&id, &id), -ENOENT);
    assert_int_equal(brood__module_locate(NULL, &id), -ENOENT);
    assert_int_equal(brood__module_locate((const void *)UINTPTR_MAX, &id), -ENOENT);
    free(heap);
}

static const struct test_case cases[] = {
    TEST_CASE(data_and_code_are_told_apart),
    TEST_CASE(modules_are_told_apart),
    TEST_CASE(other_memory_is_in_no_module),
};
TEST_SUITE(module_unit, cases)
