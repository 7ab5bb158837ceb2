/*
 * What the tests of processes share: making children, ending them, hearing from them.
 *
 * Children answer by their exit code, or by writing to descriptor 1, which output_of() makes
 * a pipe: both work with each start method. They use no assertions, for those of a spawned
 * child have no case to fail.
 */
#ifndef TESTS_PROCESS_HELPERS_H
#define TESTS_PROCESS_HELPERS_H

#include "test.h"

#include <brood.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS ((int64_t)1000000)

static const int start_methods[] = { BROOD_START_FORK, BROOD_START_FORKSERVER,
                                     BROOD_START_SPAWN };
#define START_METHOD_COUNT (sizeof start_methods / sizeof start_methods[0])

static inline int64_t test_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* For a condition that no descriptor announces: between two looks at it. */
static inline void test_pause(void)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    (void)nanosleep(&moment, NULL);
}

/* ---- functions for children ---- */

/* Lives until it is killed. */
_Noreturn static inline int live_on(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    for (;;)
        (void)pause();
}

static inline int return_int(void *argument, size_t argument_bytes)
{
    return argument_bytes == sizeof(int) ? *(int *)argument : 255;
}

static inline int return_zero(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    return 0;
}

/* Lives until nobody has the other end of descriptor 0, a pipe, open. */
static inline int await_end_of_stdin(void *argument, size_t argument_bytes)
{
    char byte;

    (void)argument, (void)argument_bytes;
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}

/* ---- making and ending ---- */

static inline brood_process_options options_of(int start_method)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    options.start_method = start_method;
    return options;
}

static inline brood_process *create(brood_process_function *function, const void *argument,
                                    size_t argument_bytes, const brood_process_options *options)
{
    brood_process *process = NULL;

    assert_int_equal(
        brood_process_create(function, argument, argument_bytes, options, &process), 0);
    assert_non_null(process);
    return process;
}

static inline brood_process *start(brood_process_function *function, const void *argument,
                                   size_t argument_bytes, const brood_process_options *options)
{
    brood_process *process = create(function, argument, argument_bytes, options);

    assert_int_equal(brood_process_start(process), 0);
    return process;
}

static inline brood_process *start_command(const char *const argv[],
                                           const brood_process_options *options)
{
    brood_process *process = NULL;

    assert_int_equal(brood_process_create_command(argv, options, &process), 0);
    assert_int_equal(brood_process_start(process), 0);
    return process;
}

/* Joins, and frees. */
static inline int end_of(brood_process *process)
{
    int code = -1000;

    assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
    assert_int_equal(brood_process_exit_code(process, &code), 0);
    brood_process_free(process);
    return code;
}

static inline void kill_and_free(brood_process *process)
{
    assert_int_equal(brood_process_kill(process), 0);
    assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
    brood_process_free(process);
}

/* ---- hearing from children ---- */

/* Reads to the end of file; what is longer than `text_bytes` fails the case. */
static inline size_t read_all(int fd, char *text, size_t text_bytes)
{
    size_t got = 0;
    ssize_t n;

    while ((n = read(fd, text + got, text_bytes - 1 - got)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        assert_true(n > 0);
        got += (size_t)n;
        assert_true(got < text_bytes - 1);
    }
    text[got] = '\0';
    return got;
}

/* Starts the process, which was given `write_end` as its stdout, and returns what it wrote
 * before it ended well. The string lives until the next call. */
static inline const char *output_from(brood_process *process, int pipe_ends[2])
{
    static char text[65536];

    assert_int_equal(brood_process_start(process), 0);
    assert_int_equal(close(pipe_ends[1]), 0);
    (void)read_all(pipe_ends[0], text, sizeof text);
    assert_int_equal(close(pipe_ends[0]), 0);
    assert_int_equal(end_of(process), 0);
    return text;
}

static inline const char *output_of(brood_process_function *function, const void *argument,
                                    size_t argument_bytes, const brood_process_options *options)
{
    brood_process_options with_pipe = BROOD_PROCESS_OPTIONS_INIT;
    int ends[2];

    if (options != NULL)
        with_pipe = *options;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    with_pipe.stdout_fd = ends[1];
    return output_from(create(function, argument, argument_bytes, &with_pipe), ends);
}

static inline const char *output_of_command(const char *const argv[],
                                            const brood_process_options *options)
{
    brood_process_options with_pipe = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int ends[2];

    if (options != NULL)
        with_pipe = *options;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    with_pipe.stdout_fd = ends[1];
    assert_int_equal(brood_process_create_command(argv, &with_pipe, &process), 0);
    return output_from(process, ends);
}

/* A page that this process and those it forks share. */
static inline void *shared_page(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(page != MAP_FAILED);
    return page;
}

/* ---- looking ---- */

static inline size_t descriptor_count(void)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    size_t count = 0;

    if (directory == NULL)
        return 0;
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    return count - 1; /* without the one that looked */
}

/* The state letter of /proc/PID/stat, or 0 if there is no such process. */
static inline char process_state(pid_t pid)
{
    char path[64], text[512];
    const char *after;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    after = strrchr(text, ')');
    return after == NULL ? 0 : after[2];
}

/* Waits, `limit_ms` at most, until the process is gone, zombie included. */
static inline bool gone_within(pid_t pid, int64_t limit_ms)
{
    int64_t deadline = test_now() + limit_ms * MS;

    while (process_state(pid) != 0) {
        if (test_now() > deadline)
            return false;
        test_pause();
    }
    return true;
}

/* The same, until it is dead: a zombie that is its parent's to reap will do. */
static inline bool dead_within(pid_t pid, int64_t limit_ms)
{
    int64_t deadline = test_now() + limit_ms * MS;
    char state;

    while ((state = process_state(pid)) != 0 && state != 'Z') {
        if (test_now() > deadline)
            return false;
        test_pause();
    }
    return true;
}

/* Runs `body` in a plain fork of this process and returns its wait status. */
static inline int status_of_fork(void (*body)(void))
{
    pid_t pid;
    int status;

    (void)fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

#endif
