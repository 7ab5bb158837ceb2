/*
 * 05_ten_at_once: start ten processes, and join them when all have been started.
 * Prints how many run at the same time, and what each computed, in the order in which they
 * were made. Next: 06_serial_and_parallel.c.
 *
 * Each child says on one pipe that it is there and waits on another, the gate, until the
 * parent closes its end: so that the ten really are there together.
 */
#include <brood.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHILD_COUNT 10

struct task {
    int number;
    int ready;
    int gate;
};

static int square(void *argument, size_t argument_bytes)
{
    const struct task *task = argument;
    char unused;

    (void)argument_bytes;
    if (write(task->ready, "r", 1) != 1 || read(task->gate, &unused, 1) != 0)
        return 255;
    return task->number * task->number; /* small enough for an exit code */
}

static int start_all(brood_process **processes, int ready, int gate)
{
    const int passed[] = { ready, gate }; /* a child has no others but stdin to stderr */
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int r = 0;

    options.descriptors = passed;
    options.descriptor_count = 2;
    for (int i = 0; r == 0 && i < CHILD_COUNT; i++) {
        struct task task = { i, ready, gate };

        r = brood_process_create(square, &task, sizeof task, &options, &processes[i]);
        if (r == 0)
            r = brood_process_start(processes[i]);
    }
    return r;
}

static int collect(brood_process **processes)
{
    int r = brood_process_wait_all(processes, CHILD_COUNT, brood_seconds(10));

    for (int i = 0, code; r == 0 && i < CHILD_COUNT; i++) {
        r = brood_process_exit_code(processes[i], &code);
        if (r == 0)
            printf("%s: %d\n", brood_process_name(processes[i]), code);
    }
    return r;
}

int main(void)
{
    brood_process *processes[CHILD_COUNT] = { NULL };
    int ready[2], gate[2], there = 0, r;
    char letter;

    if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(gate, O_CLOEXEC) < 0) {
        perror("05_ten_at_once: pipe2");
        return EXIT_FAILURE;
    }
    r = start_all(processes, ready[1], gate[0]);
    close(ready[1]);
    close(gate[0]);
    while (there < CHILD_COUNT && read(ready[0], &letter, 1) == 1)
        there++;
    printf("%d running at once\n", brood_active_children(NULL, 0));
    close(gate[1]); /* all of them go on */
    if (r == 0)
        r = collect(processes);
    if (r < 0)
        fprintf(stderr, "05_ten_at_once: %s\n", brood_strerror(r));
    for (int i = 0; i < CHILD_COUNT; i++)
        brood_process_free(processes[i]);
    close(ready[0]);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
