/*
 * The main() of every test program: lists its cases, or runs one of them and looks at the
 * descriptors before and after. Whatever else a case may leave behind, the runner sees.
 */
#include "test.h"

#include <brood.h>

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DESCRIPTOR_LIMIT 4096

static struct test_suite *suites;

/* The case at work. */
static const struct test_case *current;
static pid_t current_process;

void test_suite_register(struct test_suite *suite)
{
    struct test_suite **at = &suites;

    while (*at != NULL)
        at = &(*at)->next;
    *at = suite;
}

_Noreturn void test_skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    fflush(NULL);
    _exit(getpid() == current_process ? TEST_EXIT_SKIPPED : TEST_EXIT_FAILED_IN_CHILD);
}

/* Marks the open descriptors, without the one that is open for looking. */
static void descriptors_read(bool open_ones[DESCRIPTOR_LIMIT])
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *item;

    memset(open_ones, 0, DESCRIPTOR_LIMIT * sizeof *open_ones);
    if (directory == NULL) {
        perror("/proc/self/fd");
        exit(EXIT_FAILURE);
    }
    while ((item = readdir(directory)) != NULL) {
        int fd = item->d_name[0] == '.' ? -1 : atoi(item->d_name);

        if (fd >= 0 && fd < DESCRIPTOR_LIMIT && fd != dirfd(directory))
            open_ones[fd] = true;
    }
    closedir(directory);
}

static size_t descriptors_compare(const bool before[DESCRIPTOR_LIMIT])
{
    static bool after[DESCRIPTOR_LIMIT];
    char target[PATH_MAX];
    size_t differences = 0;
    char path[64];
    ssize_t length;

    descriptors_read(after);
    for (int fd = 0; fd < DESCRIPTOR_LIMIT; fd++) {
        if (before[fd] == after[fd])
            continue;
        differences++;
        if (before[fd]) {
            printf("descriptor %d was closed by the case\n", fd);
            continue;
        }
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = '\0';
        printf("descriptor %d was left open: %s\n", fd, target);
    }
    return differences;
}

#ifdef TEST_WITHOUT_CMOCKA

void plain_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;

    printf("%s:%d: ", file, line);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(NULL);
    _exit(getpid() == current_process ? EXIT_FAILURE : TEST_EXIT_FAILED_IN_CHILD);
}

static int body_run(void)
{
    void *state = NULL;

    current->body(&state);
    return 0;
}

#else

static bool body_returned;

/*
 * cmocka catches the signals of a crash and jumps back into itself. A child that the case
 * makes would do the same instead of dying, so they get their default again: a crash then
 * kills the test, which the runner reports.
 */
static void body_without_handlers(void **state)
{
    static const int crashes[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS };

    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        (void)signal(crashes[i], SIG_DFL);
    current->body(state);
    body_returned = true;
}

static int body_run(void)
{
    const struct CMUnitTest test = { current->name, body_without_handlers, NULL, NULL, NULL };
    const struct CMUnitTest group[] = { test };

    int failed = _cmocka_run_group_tests(current->name, group, 1, NULL, NULL);

    /* A case that neither failed nor came to its end called cmocka's skip(). */
    if (failed == 0 && !body_returned)
        test_skip("the case says so");
    return failed;
}

#endif

static int case_run(const struct test_case *one)
{
    static bool before[DESCRIPTOR_LIMIT];
    int failed;
    int r;

    current = one;
    current_process = getpid();
    descriptors_read(before);
    failed = body_run();
    fflush(NULL);
    if (getpid() != current_process) /* a failed assertion brought a forked child here */
        _exit(TEST_EXIT_FAILED_IN_CHILD);
    if (failed != 0)
        return EXIT_FAILURE;

    r = brood_shutdown(BROOD_FOREVER);
    if (r < 0)
        printf("brood_shutdown: %s\n", brood_strerror(r));
    return r < 0 || descriptors_compare(before) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int cases_list(void)
{
    for (const struct test_suite *suite = suites; suite != NULL; suite = suite->next)
        for (size_t i = 0; i < suite->case_count; i++)
            printf("%s.%s\t%d\n", suite->name, suite->cases[i].name, suite->cases[i].limit_s);
    return EXIT_SUCCESS;
}

static const struct test_case *case_find(const char *name)
{
    for (const struct test_suite *suite = suites; suite != NULL; suite = suite->next) {
        size_t length = strlen(suite->name);

        if (strncmp(name, suite->name, length) != 0 || name[length] != '.')
            continue;
        for (size_t i = 0; i < suite->case_count; i++)
            if (strcmp(suite->cases[i].name, name + length + 1) == 0)
                return &suite->cases[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct test_case *one;
    int r = brood_main(argc, argv);

    if (r < 0) {
        fprintf(stderr, "brood_main: %s\n", brood_strerror(r));
        return EXIT_FAILURE;
    }
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return cases_list();
    if (argc != 3 || strcmp(argv[1], "--run") != 0) {
        fprintf(stderr, "usage: %s --list | --run SUITE.CASE\n", argv[0]);
        return 2;
    }
    one = case_find(argv[2]);
    if (one == NULL) {
        fprintf(stderr, "%s: no case %s\n", argv[0], argv[2]);
        return 2;
    }
    return case_run(one);
}
