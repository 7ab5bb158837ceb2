/*
 * What a test file includes. It holds cases, a table of them, and the suite's name:
 *
 *     static void adds(void **state)
 *     {
 *         (void)state;
 *         assert_int_equal(1 + 1, 2);
 *     }
 *
 *     static const struct test_case cases[] = {
 *         TEST_CASE(adds),
 *         TEST_CASE_LIMIT(adds_for_long, 120),
 *     };
 *     TEST_SUITE(sums, cases)
 *
 * The assertions are cmocka's (or, where there is no cmocka, those of plain_assert.h, which
 * have the same names). A case leaves through a failed assertion, test_skip() or its end.
 * In a process that the case forked a failed assertion ends that process with status 99.
 *
 * Around each case the harness compares the open descriptors; after it, before the second
 * look, it calls brood_shutdown(BROOD_FOREVER). tests/README.md has the rest.
 */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#ifdef TEST_WITHOUT_CMOCKA
#include "plain_assert.h"
#else
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#endif

/* 1 in a build with the address sanitizer. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if !defined(SANITIZED) && defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* For threads of a program, from which an assertion could not find back to the harness. */
#define INSIST(holds, ...)                                                                     \
    do {                                                                                       \
        if (!(holds)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #holds);                  \
            (void)fprintf(stderr, __VA_ARGS__);                                                \
            (void)fputc('\n', stderr);                                                         \
            _exit(TEST_EXIT_FAILED_IN_CHILD);                                                  \
        }                                                                                      \
    } while (0)

#define TEST_EXIT_SKIPPED 77
#define TEST_EXIT_FAILED_IN_CHILD 99

struct test_case {
    const char *name;
    void (*body)(void **state);
    int limit_s; /* 0: the runner's default, 30 s */
};

struct test_suite {
    const char *name;
    const struct test_case *cases;
    size_t case_count;
    struct test_suite *next;
};

/* clang-format off */
#define TEST_CASE(body) { #body, body, 0 }
#define TEST_CASE_LIMIT(body, seconds) { #body, body, seconds }
/* clang-format on */

/* Registers the table, an array, as the suite of this name; one a file. */
#define TEST_SUITE(suite_name, table)                                                          \
    static struct test_suite suite_name##_suite = { #suite_name, table,                        \
                                                    sizeof(table) / sizeof((table)[0]),        \
                                                    NULL };                                    \
    __attribute__((constructor)) static void suite_name##_suite_register(void)                 \
    {                                                                                          \
        test_suite_register(&suite_name##_suite);                                              \
    }

void test_suite_register(struct test_suite *suite);

/* Ends the case as skipped, saying why: what it needs is not to be had here. */
_Noreturn void test_skip(const char *reason);

#endif
