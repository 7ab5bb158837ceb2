/*
 * map_jobs: 20,000 times `true`, two at a time.
 * Asks     what does the job runner cost a job?
 * Reports  jobs/s and peak memory of brood map, beside xargs -P2, a bare loop of posix_spawn
 *          (spawn_loop.c), and GNU parallel, which gets a tenth of the jobs.
 * Holds    items are lines of a file on stdin, one a job; spawn_loop makes the same ones
 *          up, so that all run the same jobs; five runs of each in turn;
 *          BENCH_JOBS in the environment asks for another number of jobs. brood
 *          and parallel collect each job's output, the others let it through. Peak memory is
 *          wait4's, which counts a job as well, and this program while it starts the runner.
 *
 * map_memory: the same runners with 1,000,000 lines to go through.
 * Asks     does memory grow with the input?
 * Reports  peak memory of a run with 1,000 lines a job, and of one with a line a job, ended
 *          after two seconds.
 *
 * map_million: 1,000,000 jobs to the end, by brood alone. Takes minutes, so only if named.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOB_COUNT 20000
#define SLOW_PART 10 /* parallel gets so much less */
#define LINE_COUNT 1000000
#define ROUND_COUNT 5

extern char **environ;

struct runner {
    const char *rate; /* names of the series */
    const char *memory;
    int job_count;
    const char *argv[12];
};

struct outcome {
    double seconds;
    double peak_mib;
    int status; /* as wait4() has it */
};

/* A file of numbers, one a line; it has no name any more. */
static int lines_open(int count)
{
    char path[] = "/tmp/brood-bench-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    FILE *file;

    if (fd < 0)
        return -errno;
    (void)unlink(path);
    file = fdopen(dup(fd), "w");
    for (int i = 1; file != NULL && i <= count; i++)
        fprintf(file, "%d\n", i);
    if (file == NULL || fclose(file) != 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

/* With `limit_s` over 0 the runner is ended after so long. */
static int run(const char *const argv[], int lines, unsigned limit_s,
               struct outcome *ret_outcome)
{
    posix_spawn_file_actions_t actions;
    struct rusage usage;
    int64_t start;
    pid_t pid;
    int r;

    if (lseek(lines, 0, SEEK_SET) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, lines, STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (limit_s > 0) /* what a runner says about its early end */
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    start = bench_now();
    r = -posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r < 0)
        return r;
    if (limit_s > 0) {
        sleep(limit_s);
        (void)kill(pid, SIGTERM);
    }
    while (wait4(pid, &ret_outcome->status, 0, &usage) < 0 && errno == EINTR)
        ;
    ret_outcome->seconds = (double)(bench_now() - start) / 1e9;
    ret_outcome->peak_mib = (double)usage.ru_maxrss / 1024;
    return 0;
}

/* Adds the figures of one run, unless the runner is not there. */
static int run_and_add(struct bench *bench, const struct runner *runner, int lines, int warm_up)
{
    struct outcome outcome;
    int r = run(runner->argv, lines, 0, &outcome);

    if (r == -ENOENT) {
        if (warm_up)
            fprintf(stderr, "brood-bench: no %s, going on without it\n", runner->argv[0]);
        return 0;
    }
    if (r < 0)
        return r;
    if (outcome.status != 0) {
        fprintf(stderr, "brood-bench: %s ended with status %#x\n", runner->argv[0],
                (unsigned)outcome.status);
        return -EIO;
    }
    if (warm_up)
        return 0;
    bench_add(bench, runner->rate, "jobs/s", runner->job_count / outcome.seconds);
    bench_add(bench, runner->memory, "MiB", outcome.peak_mib);
    return 0;
}

/* Five times in turn; a short round before that warms up. */
static int compare(struct bench *bench, const struct runner *runners, size_t runner_count,
                   int job_count)
{
    int many = lines_open(job_count), few = lines_open(job_count / SLOW_PART), r = 0;

    if (many < 0 || few < 0)
        return many < 0 ? many : few;
    for (int round = -1; r == 0 && round < ROUND_COUNT; round++)
        for (size_t i = 0; r == 0 && i < runner_count; i++)
            r = run_and_add(bench, &runners[i],
                            round < 0 || runners[i].job_count < job_count ? few : many,
                            round < 0);
    close(many);
    close(few);
    return r;
}

static int jobs_wanted(void)
{
    const char *text = getenv("BENCH_JOBS");
    long count = text == NULL ? JOB_COUNT : strtol(text, NULL, 10);

    return count < 100 || count > LINE_COUNT ? JOB_COUNT : (int)count;
}

int map_jobs(struct bench *bench)
{
    const char *brood = bench_built(bench, "brood");
    const char *loop = bench_built(bench, "bench/spawn_loop");
    int job_count = jobs_wanted(), r;
    char count_text[16];
    const struct runner runners[] = {
        { "spawn_loop",
          "spawn_loop, peak",
          job_count,
          { loop, count_text, "2", "true", NULL } },
        { "xargs -P2", "xargs -P2, peak", job_count, { "xargs", "-P2", "-n1", "true", NULL } },
        { "brood map -j2",
          "brood map -j2, peak",
          job_count,
          { brood, "map", "-j2", "true", NULL } },
        { "parallel -j2",
          "parallel -j2, peak",
          job_count / SLOW_PART,
          { "parallel", "--will-cite", "-j2", "true", NULL } },
    };

    snprintf(count_text, sizeof count_text, "%d", job_count);
    r = compare(bench, runners, sizeof runners / sizeof runners[0], job_count);
    bench_compare(bench, "xargs -P2", "spawn_loop", BAR_NONE, 0);
    bench_compare(bench, "brood map -j2", "xargs -P2", BAR_RATIO_MIN, 1.0);
    bench_compare(bench, "brood map -j2", "spawn_loop", BAR_RATIO_MIN, 0.9);
    bench_compare(bench, "brood map -j2, peak", "xargs -P2, peak", BAR_NONE, 0);
    bench_compare(bench, "parallel -j2", "spawn_loop", BAR_NONE, 0);
    return r;
}

static int measure_memory(struct bench *bench, const char *name, const char *const argv[],
                          int lines, unsigned limit_s)
{
    struct outcome outcome;
    int r = run(argv, lines, limit_s, &outcome);

    if (r < 0)
        return r;
    if (limit_s == 0 && outcome.status != 0)
        return -EIO;
    bench_add(bench, name, "MiB", outcome.peak_mib);
    return 0;
}

int map_memory(struct bench *bench)
{
    const char *brood = bench_built(bench, "brood");
    const char *const brood_thousand[] = { brood, "map", "-j2", "-n1000", "true", NULL };
    const char *const brood_one[] = { brood, "map", "-j2", "true", NULL };
    const char *const brood_order[] = { brood, "map", "-j2", "-k", "true", NULL };
    const char *const xargs_thousand[] = { "xargs", "-P2", "-n1000", "true", NULL };
    const char *const xargs_one[] = { "xargs", "-P2", "-n1", "true", NULL };
    int lines = lines_open(LINE_COUNT), r = lines < 0 ? lines : 0;

    for (int round = 0; r == 0 && round < 3; round++) {
        r = measure_memory(bench, "xargs, 1000 a job", xargs_thousand, lines, 0);
        if (r == 0)
            r = measure_memory(bench, "brood map, 1000 a job", brood_thousand, lines, 0);
        if (r == 0)
            r = measure_memory(bench, "xargs, 2 s", xargs_one, lines, 2);
        if (r == 0)
            r = measure_memory(bench, "brood map, 2 s", brood_one, lines, 2);
        if (r == 0)
            r = measure_memory(bench, "brood map -k, 2 s", brood_order, lines, 2);
    }
    bench_compare(bench, "brood map, 1000 a job", "xargs, 1000 a job", BAR_MAX, 6);
    bench_compare(bench, "brood map, 2 s", "xargs, 2 s", BAR_MAX, 6);
    bench_compare(bench, "brood map -k, 2 s", "xargs, 2 s", BAR_MAX, 6);
    if (lines >= 0)
        close(lines);
    return r;
}

int map_million(struct bench *bench)
{
    const char *const argv[] = { bench_built(bench, "brood"), "map", "-j2", "true", NULL };
    int lines = lines_open(LINE_COUNT), r = lines < 0 ? lines : 0;
    struct outcome outcome = { 0 };

    if (r == 0)
        r = run(argv, lines, 0, &outcome);
    if (r == 0 && outcome.status != 0)
        r = -EIO;
    if (r == 0) {
        bench_add(bench, "brood map -j2", "jobs/s", LINE_COUNT / outcome.seconds);
        bench_add(bench, "brood map -j2, peak", "MiB", outcome.peak_mib);
        bench_compare(bench, "brood map -j2, peak", NULL, BAR_MAX, 6);
    }
    if (lines >= 0)
        close(lines);
    return r;
}
