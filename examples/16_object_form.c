/*
 * 16_object_form: a process as an object with a run method, Python's subclass of Process.
 * Prints what two objects of one kind do, each with data of its own.
 * Next: 17_start_methods.c.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>

struct counter {
    const char *unit;
    int from;
    int to;
};

static void counter_begin(void *object, size_t object_bytes)
{
    const struct counter *counter = object;

    (void)object_bytes;
    printf("%d to %d:", counter->from, counter->to);
}

static int counter_run(void *object, size_t object_bytes)
{
    const struct counter *counter = object;

    (void)object_bytes;
    for (int i = counter->from; i <= counter->to; i++)
        printf(" %d", i);
    printf(" %s\n", counter->unit);
    return counter->to - counter->from + 1;
}

/* The hooks may be left out; `run` must be there. */
static const brood_process_ops counter_ops = {
    .size = sizeof(brood_process_ops),
    .run = counter_run,
    .after_fork_child = counter_begin,
};

static int count(const struct counter *counter)
{
    brood_process *process = NULL;
    int code = 0, r;

    r = brood_process_create_object(&counter_ops, counter, sizeof *counter, NULL, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(process, &code);
    if (r == 0)
        printf("%s counted %d\n", brood_process_name(process), code);
    brood_process_free(process);
    return r;
}

int main(void)
{
    const struct counter apples = { "apples", 1, 5 }, pears = { "pears", 7, 9 };
    int r = count(&apples);

    if (r == 0)
        r = count(&pears);
    if (r < 0)
        fprintf(stderr, "16_object_form: %s\n", brood_strerror(r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
