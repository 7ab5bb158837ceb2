/*
 * The assertions of cmocka that our tests use, for C libraries for which no cmocka is
 * packaged. Each case has a process of its own, so a failed one may simply end it.
 */
#ifndef TESTS_SUPPORT_PLAIN_ASSERT_H
#define TESTS_SUPPORT_PLAIN_ASSERT_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

_Noreturn void plain_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline void plain_check(int holds, const char *what, const char *file, int line)
{
    if (!holds)
        plain_fail(file, line, "%s", what);
}

static inline void plain_compare(intmax_t a, intmax_t b, int want_equal, const char *file,
                                 int line)
{
    if ((a == b) != want_equal)
        plain_fail(file, line, "%jd %s %jd", a, want_equal ? "!=" : "==", b);
}

static inline void plain_range(uintmax_t value, uintmax_t least, uintmax_t most, int want_in,
                               const char *file, int line)
{
    if ((value >= least && value <= most) != want_in)
        plain_fail(file, line, "%ju is %s %ju to %ju", value, want_in ? "not in" : "in", least,
                   most);
}

static inline void plain_strings(const char *a, const char *b, int want_equal, const char *file,
                                 int line)
{
    if ((strcmp(a, b) == 0) != want_equal)
        plain_fail(file, line, "\"%s\" %s \"%s\"", a, want_equal ? "!=" : "==", b);
}

static inline void plain_memory(const void *a, const void *b, size_t bytes, int want_equal,
                                const char *file, int line)
{
    if ((memcmp(a, b, bytes) == 0) != want_equal)
        plain_fail(file, line, "%zu bytes %s", bytes, want_equal ? "differ" : "are the same");
}

#define assert_true(c) plain_check(!!(c), #c " is false", __FILE__, __LINE__)
#define assert_false(c) plain_check(!(c), #c " is true", __FILE__, __LINE__)
#define assert_null(p) plain_check((p) == NULL, #p " is not NULL", __FILE__, __LINE__)
#define assert_non_null(p) plain_check((p) != NULL, #p " is NULL", __FILE__, __LINE__)
#define assert_int_equal(a, b)                                                                 \
    plain_compare((intmax_t)(a), (intmax_t)(b), 1, __FILE__, __LINE__)
#define assert_int_not_equal(a, b)                                                             \
    plain_compare((intmax_t)(a), (intmax_t)(b), 0, __FILE__, __LINE__)
#define assert_ptr_equal(a, b)                                                                 \
    plain_compare((intmax_t)(intptr_t)(a), (intmax_t)(intptr_t)(b), 1, __FILE__, __LINE__)
#define assert_ptr_not_equal(a, b)                                                             \
    plain_compare((intmax_t)(intptr_t)(a), (intmax_t)(intptr_t)(b), 0, __FILE__, __LINE__)
#define assert_in_range(v, least, most)                                                        \
    plain_range((uintmax_t)(v), (uintmax_t)(least), (uintmax_t)(most), 1, __FILE__, __LINE__)
#define assert_not_in_range(v, least, most)                                                    \
    plain_range((uintmax_t)(v), (uintmax_t)(least), (uintmax_t)(most), 0, __FILE__, __LINE__)
#define assert_string_equal(a, b) plain_strings(a, b, 1, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) plain_strings(a, b, 0, __FILE__, __LINE__)
#define assert_memory_equal(a, b, n) plain_memory(a, b, n, 1, __FILE__, __LINE__)
#define assert_memory_not_equal(a, b, n) plain_memory(a, b, n, 0, __FILE__, __LINE__)
#define assert_return_code(r, e)                                                               \
    plain_check((r) >= 0, #r " is negative", __FILE__, ((void)(e), __LINE__))
#define fail() plain_fail(__FILE__, __LINE__, "failed")
#define fail_msg(...) plain_fail(__FILE__, __LINE__, __VA_ARGS__)
#define print_message(...) ((void)printf(__VA_ARGS__))

#endif
