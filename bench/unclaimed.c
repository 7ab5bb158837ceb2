/*
 * unclaimed: 10,000 children that nobody joins.
 * Asks     what stays behind of a child whose exit nobody asks for?
 * Reports  zombies 100 ms after the last start, descriptors more than before, and bytes of
 *          memory for each, with the handle kept and with the handle freed at once. A fork()
 *          that is not waited for stands beside it, with fewer children, for each of these
 *          leaves a zombie.
 * Holds    children that end at once; memory as growth of the resident set of the parent.
 */
#include "bench.h"

#include <brood.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_COUNT 10000
#define BARE_COUNT 500

static int nothing(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    return 0;
}

static int start_one(brood_process **ret_process)
{
    int r = brood_process_create(nothing, NULL, 0, NULL, ret_process);

    return r < 0 ? r : brood_process_start(*ret_process);
}

static int with_brood(struct bench *bench, brood_process **processes, int keep,
                      const char *const names[3])
{
    long before_kib = bench_memory_kib(getpid(), "smaps_rollup", "Rss:");
    int descriptors = bench_descriptors(), r = 0;

    for (int i = 0; r == 0 && i < CHILD_COUNT; i++) {
        r = start_one(&processes[i]);
        if (!keep) {
            brood_process_free(processes[i]);
            processes[i] = NULL;
        }
    }
    usleep(100000);
    bench_add(bench, names[0], "zombies", bench_zombies());
    bench_add(bench, names[1], "descriptors", bench_descriptors() - descriptors);
    bench_add(bench, names[2], "bytes",
              (double)(bench_memory_kib(getpid(), "smaps_rollup", "Rss:") - before_kib) * 1024 /
                  CHILD_COUNT);
    bench_compare(bench, names[0], NULL, BAR_MAX, 0);
    bench_compare(bench, names[1], NULL, BAR_MAX, 0);
    bench_compare(bench, names[2], NULL, BAR_MAX, 1023);
    return r;
}

/* The first child brings the thread, its descriptors and its stack. */
static int warm_up(void)
{
    brood_process *process = NULL;
    int r = start_one(&process);

    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    brood_process_free(process);
    return r;
}

int unclaimed(struct bench *bench)
{
    const char *const kept[] = { "zombies, kept", "descriptors, kept", "memory, kept" };
    const char *const freed[] = { "zombies, freed", "descriptors, freed", "memory, freed" };
    brood_process **processes = calloc(CHILD_COUNT, sizeof *processes);
    int r = processes == NULL ? -ENOMEM : warm_up();

    for (int i = 0; r == 0 && i < CHILD_COUNT; i++)
        processes[i] = (brood_process *)(uintptr_t)1; /* so that the array is resident */
    if (r == 0)
        r = with_brood(bench, processes, 0, freed);
    if (r == 0)
        r = with_brood(bench, processes, 1, kept);
    for (int i = 0; r == 0 && i < CHILD_COUNT; i++)
        brood_process_free(processes[i]);
    free(processes);

    for (int i = 0; r == 0 && i < BARE_COUNT; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(0);
        r = pid < 0 ? -errno : 0;
    }
    usleep(100000);
    bench_add(bench, "zombies, 500 x fork()", "zombies", bench_zombies());
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return r;
}
