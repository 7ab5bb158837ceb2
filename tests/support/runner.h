/*
 * The test runner's parts. A test is a `struct entry`; a keeper process of its own runs it
 * and looks afterwards for what it left behind.
 */
#ifndef TESTS_SUPPORT_RUNNER_H
#define TESTS_SUPPORT_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

#define EXIT_SKIPPED 77

struct entry {
    char *name;          /* suite.case, as it is reported */
    char *path;          /* the program */
    char *case_name;     /* given to --run, or NULL for a script or an example */
    char *expected_path; /* what stdout must equal, or NULL */
    bool shell_script;   /* run by sh */
    double limit_s;      /* before scaling */
};

struct entry_list {
    struct entry *items;
    size_t count;
};

/* What a keeper finds out, in memory shared with the runner. */
struct verdict {
    int64_t elapsed_ms; /* of the test itself, without the search for leftovers */
    int exit_code;      /* 0 passed, EXIT_SKIPPED, or anything else: failed */
};

/* The descriptors of one run: unlinked memory files, read when it is over. */
struct run_files {
    int out;
    int err; /* the same as `out`, unless stdout is compared */
    int report;
};

/* runner_list.c */
char *runner_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
int list_add_manifest(struct entry_list *list, const char *path);
int list_add_program(struct entry_list *list, const char *suite, const char *path);
int list_add_script(struct entry_list *list, const char *suite, const char *path);
int list_add_example(struct entry_list *list, const char *path, const char *expected);

/* runner_keeper.c */
int64_t now_ms(void);
_Noreturn void keep(const struct entry *entry, const struct run_files *files,
                    const char *directory, double limit_s, pid_t runner,
                    struct verdict *verdict);

/* runner_leftovers.c */
size_t descendants_print(pid_t root, FILE *report);
void descendants_kill(pid_t root);
void shm_remember(void);
size_t shm_print_new(struct timespec since, FILE *report);

/* runner_compare.c */
bool output_matches(int out, const char *expected_path, FILE *report);

#endif
