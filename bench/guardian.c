/*
 * guardian: what the two helper processes cost a program that starts daemon children.
 * Asks     how long does brood_guardian_start() take, and how much memory do they hold?
 * Reports  ms for the start, beside two fork() calls whose children say that they are there;
 *          KiB of proportional set size of guardian and forkserver together, beside that of
 *          two idle children made by fork.
 * Holds    a program with 2 MiB touched, before any other process; each round is a new one.
 */
#include "bench.h"

#include <brood.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUND_COUNT 50

struct answer {
    int r;
    double ms;
    double kib;
};

static double pss(int pid)
{
    return (double)bench_memory_kib(pid, "smaps_rollup", "Pss:");
}

static void with_guardian(struct answer *ret_answer)
{
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;
    int64_t start = bench_now();

    ret_answer->r = brood_guardian_start(NULL);
    ret_answer->ms = (double)(bench_now() - start) / 1e6;
    if (ret_answer->r == 0)
        ret_answer->r = brood_guardian_status(&info);
    usleep(20000); /* helpers at rest */
    ret_answer->kib = pss(info.guardian_pid) + pss(info.forkserver_pid);
}

static void with_forks(struct answer *ret_answer)
{
    int64_t start = bench_now();
    pid_t pids[2];
    int ready[2];

    ret_answer->r = pipe2(ready, O_CLOEXEC) < 0 ? -errno : 0;
    for (int i = 0; i < 2; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            (void)!write(ready[1], "r", 1);
            for (;;)
                pause();
        }
    }
    if (ret_answer->r == 0)
        ret_answer->r = bench_hear(ready[0], 2);
    ret_answer->ms = (double)(bench_now() - start) / 1e6;
    usleep(20000);
    ret_answer->kib = pss(pids[0]) + pss(pids[1]);
    for (int i = 0; i < 2; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
}

/* Measures in a program of its own, which brood_shutdown() cleans up. */
static int in_program(void (*measure)(struct answer *), struct answer *ret_answer)
{
    int reply[2];
    pid_t pid;
    ssize_t n;

    if (pipe2(reply, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        ret_answer->r = bench_touch(2);
        if (ret_answer->r == 0)
            measure(ret_answer);
        (void)!write(reply[1], ret_answer, sizeof *ret_answer);
        (void)brood_shutdown(BROOD_FOREVER);
        _exit(0);
    }
    close(reply[1]);
    n = read(reply[0], ret_answer, sizeof *ret_answer);
    close(reply[0]);
    (void)waitpid(pid, NULL, 0);
    return n == (ssize_t)sizeof *ret_answer ? ret_answer->r : -EPIPE;
}

int guardian_start(struct bench *bench)
{
    struct answer answer = { 0 };
    int r = 0;

    for (int round = 0; r == 0 && round < ROUND_COUNT; round++) {
        r = in_program(with_forks, &answer);
        bench_add(bench, "two forks, start", "ms", answer.ms);
        bench_add(bench, "two forks, memory", "KiB", answer.kib);
        if (r == 0)
            r = in_program(with_guardian, &answer);
        bench_add(bench, "guardian, start", "ms", answer.ms);
        bench_add(bench, "guardian, memory", "KiB", answer.kib);
    }
    bench_compare(bench, "guardian, start", "two forks, start", BAR_NONE, 0);
    bench_compare(bench, "guardian, memory", "two forks, memory", BAR_NONE, 0);
    return r;
}
