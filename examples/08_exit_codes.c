/*
 * 08_exit_codes: how a process ended.
 * Prints for each of seven ways to end the exit code in Python's form (-N for signal N) and
 * the same as data. A code has 8 bits, as with exit(). Next: 09_no_zombies.c.
 */
#include <brood.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What the child is to do: return `code`, or if that is -1 call `leave`, or raise `signal`. */
struct way {
    const char *what;
    int code;
    int signal;
    void (*leave)(void);
};

static void leave_by_exit(void)
{
    exit(4);
}

static void leave_at_once(void)
{
    _exit(5);
}

static int end(void *argument, size_t argument_bytes)
{
    const struct way *way = argument;

    (void)argument_bytes;
    if (way->leave != NULL)
        way->leave();
    if (way->signal != 0)
        raise(way->signal);
    return way->code;
}

static int run(const struct way *way)
{
    brood_exit exit_data = BROOD_EXIT_INIT;
    brood_process *process = NULL;
    int code = 0, r = brood_process_create(end, way, sizeof *way, NULL, &process);

    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(process, &code);
    if (r == 0)
        r = brood_process_exit(process, &exit_data);
    if (r == 0)
        printf("%s: %d (%s %d)\n", way->what, code,
               exit_data.kind == BROOD_EXIT_SIGNAL ? "signal" : "code",
               exit_data.kind == BROOD_EXIT_SIGNAL ? exit_data.signal : exit_data.code);
    brood_process_free(process);
    return r;
}

int main(void)
{
    const struct way ways[] = {
        { "return 0", 0, 0, NULL },
        { "return 3", 3, 0, NULL },
        { "return -1", -1, 0, NULL },
        { "exit(4)", 0, 0, leave_by_exit },
        { "_exit(5)", 0, 0, leave_at_once },
        { "raise(SIGTERM)", 0, SIGTERM, NULL },
        { "raise(SIGKILL)", 0, SIGKILL, NULL },
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof ways / sizeof ways[0]; i++)
        r = run(&ways[i]);
    if (r < 0)
        fprintf(stderr, "08_exit_codes: %s\n", brood_strerror(r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
