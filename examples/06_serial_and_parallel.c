/*
 * 06_serial_and_parallel: join each process before the next starts, or start all and join.
 * Four tasks of 3 seconds take 12 seconds the first way and 3 the second; here a task takes
 * a twentieth of that. Prints which way was faster. Next: 07_terminate_and_is_alive.c.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TASK_COUNT 4
#define TASK_MS 150

static int task(void *argument, size_t argument_bytes)
{
    const struct timespec duration = { 0, TASK_MS * 1000000L };

    (void)argument, (void)argument_bytes;
    nanosleep(&duration, NULL); /* stands for work */
    return 0;
}

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int serial(brood_process **processes)
{
    int r = 0;

    for (int i = 0; r == 0 && i < TASK_COUNT; i++) {
        r = brood_process_start(processes[i]);
        if (r == 0)
            r = brood_process_join(processes[i], BROOD_FOREVER);
    }
    return r;
}

static int parallel(brood_process **processes)
{
    int r = 0;

    for (int i = 0; r == 0 && i < TASK_COUNT; i++)
        r = brood_process_start(processes[i]);
    for (int i = 0; r == 0 && i < TASK_COUNT; i++)
        r = brood_process_join(processes[i], BROOD_FOREVER);
    return r;
}

static int measure(int (*way)(brood_process **), double *ret_ms)
{
    brood_process *processes[TASK_COUNT] = { NULL };
    double start_ms;
    int r = 0;

    for (int i = 0; r == 0 && i < TASK_COUNT; i++)
        r = brood_process_create(task, NULL, 0, NULL, &processes[i]);
    start_ms = now_ms();
    if (r == 0)
        r = way(processes);
    *ret_ms = now_ms() - start_ms;
    for (int i = 0; i < TASK_COUNT; i++)
        brood_process_free(processes[i]);
    return r;
}

int main(void)
{
    double serial_ms, parallel_ms = 0;
    int r = measure(serial, &serial_ms);

    if (r == 0)
        r = measure(parallel, &parallel_ms);
    if (r < 0) {
        fprintf(stderr, "06_serial_and_parallel: %s\n", brood_strerror(r));
        return EXIT_FAILURE;
    }
    printf("serial took the time of four tasks or more: %s\n",
           serial_ms >= TASK_COUNT * TASK_MS ? "yes" : "no");
    printf("parallel took the time of one task or more: %s\n",
           parallel_ms >= TASK_MS ? "yes" : "no");
    printf("faster: %s\n", parallel_ms < serial_ms ? "parallel" : "serial");
    return EXIT_SUCCESS;
}
