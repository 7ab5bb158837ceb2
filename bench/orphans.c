/*
 * orphans: a program with 64 daemon children is killed by SIGKILL.
 * Asks     how long do children outlive their program?
 * Reports  ms from the kill until the program, all children and all their descendants are
 *          gone; a bare loop that kills as many processes, whose numbers it knows, beside it.
 * Holds    each daemon child has one descendant that left by fork, setsid, fork: 128
 *          processes in all. Gone means: has closed a pipe that all of them hold.
 */
#include "bench.h"

#include <brood.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAEMON_COUNT 64
#define ROUND_COUNT 11

static int start_method;

static _Noreturn void say_and_stay(int pipe_end)
{
    if (write(pipe_end, "r", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static int run_daemon(void *argument, size_t argument_bytes)
{
    int pipe_end = *(const int *)argument;

    (void)argument_bytes;
    if (fork() == 0) {
        setsid();
        if (fork() == 0)
            say_and_stay(pipe_end);
        _exit(0);
    }
    say_and_stay(pipe_end);
}

static _Noreturn void run_program(int pipe_end)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process;
    int r = 0;

    options.daemon = BROOD_DAEMON_YES;
    options.start_method = start_method;
    options.descriptors = &pipe_end;
    options.descriptor_count = 1;
    for (int i = 0; r == 0 && i < DAEMON_COUNT; i++) {
        r = brood_process_create(run_daemon, &pipe_end, sizeof pipe_end, &options, &process);
        if (r == 0)
            r = brood_process_start(process);
    }
    if (r < 0)
        _exit(1);
    for (;;)
        pause();
}

/* Until the pipe ends; what is left in it is read on the way. */
static void await_end(int fd)
{
    char letter;
    ssize_t n;

    while ((n = read(fd, &letter, 1)) > 0 || (n < 0 && errno == EINTR))
        ;
}

static int program_killed(double *ret_ms)
{
    int life[2], r;
    int64_t start;
    pid_t program;

    if (pipe2(life, O_CLOEXEC) < 0)
        return -errno;
    program = fork();
    if (program < 0)
        return -errno;
    if (program == 0)
        run_program(life[1]);
    close(life[1]);
    r = bench_hear(life[0], 2 * DAEMON_COUNT);
    start = bench_now();
    (void)kill(program, SIGKILL);
    await_end(life[0]);
    *ret_ms = (double)(bench_now() - start) / 1e6;
    (void)waitpid(program, NULL, 0);
    close(life[0]);
    return r;
}

static int known_killed(double *ret_ms)
{
    pid_t pids[2 * DAEMON_COUNT];
    int life[2], r;
    int64_t start;

    if (pipe2(life, O_CLOEXEC) < 0)
        return -errno;
    for (int i = 0; i < 2 * DAEMON_COUNT; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            say_and_stay(life[1]);
    }
    close(life[1]);
    r = bench_hear(life[0], 2 * DAEMON_COUNT);
    start = bench_now();
    for (int i = 0; i < 2 * DAEMON_COUNT; i++)
        if (pids[i] > 0)
            (void)kill(pids[i], SIGKILL);
    await_end(life[0]);
    *ret_ms = (double)(bench_now() - start) / 1e6;
    while (waitpid(-1, NULL, 0) > 0)
        ;
    close(life[0]);
    return r;
}

int orphans(struct bench *bench)
{
    static const struct {
        const char *peer;
        int (*run)(double *ret_ms);
        int start_method;
    } ways[] = {
        { "known, bare kill()", known_killed, 0 },
        { "fork daemons", program_killed, BROOD_START_FORK },
        { "forkserver daemons", program_killed, BROOD_START_FORKSERVER },
    };
    double ms;
    int r = 0;

    for (int round = -1; r == 0 && round < ROUND_COUNT; round++) {
        for (size_t i = 0; r == 0 && i < sizeof ways / sizeof ways[0]; i++) {
            start_method = ways[i].start_method;
            r = ways[i].run(&ms);
            if (r == 0 && round >= 0)
                bench_add(bench, ways[i].peer, "ms", ms);
        }
    }
    for (size_t i = 1; i < sizeof ways / sizeof ways[0]; i++)
        bench_compare(bench, ways[i].peer, ways[0].peer, BAR_MAX, 1000);
    return r;
}
