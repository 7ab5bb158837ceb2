/*
 * 03_pids_and_parents: who a process is, and who started it.
 * Prints relations instead of numbers, for a child made by fork and one made by the
 * forkserver: the latter's parent in the kernel is another, its parent in brood is the
 * program. Next: 04_isolation.c.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *yes_or_no(int answer)
{
    return answer ? "yes" : "no";
}

static int look_around(void *argument, size_t argument_bytes)
{
    brood_process_info me = BROOD_PROCESS_INFO_INIT, parent = BROOD_PROCESS_INFO_INIT;
    int program = *(const int *)argument;

    (void)argument_bytes;
    if (brood_current_process(&me) < 0 || brood_parent_process(&parent) < 0)
        return 255;
    printf("%s: my pid is another than the program's: %s\n", me.name,
           yes_or_no(getpid() != program && me.pid == getpid()));
    printf("%s: getppid() is the program: %s\n", me.name, yes_or_no(getppid() == program));
    printf("%s: brood_parent_process() is the program: %s, named %s\n", me.name,
           yes_or_no(parent.pid == program), parent.name);
    printf("%s: my parent is alive: %s\n", me.name, yes_or_no(brood_parent_is_alive() == 1));
    return getpid() % 100;
}

static int run(const char *name, int start_method)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int me = getpid(), code = 0, r;

    options.name = name;
    options.start_method = start_method;
    r = brood_process_create(look_around, &me, sizeof me, &options, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(process, &code);
    if (r == 0)
        printf("main: %s had the pid that I know: %s\n", name,
               yes_or_no(brood_process_pid(process) % 100 == code));
    brood_process_free(process);
    return r;
}

int main(void)
{
    brood_process_info parent = BROOD_PROCESS_INFO_INIT;
    int r;

    printf("main: brood started me: %s\n", yes_or_no(brood_parent_process(&parent) == 0));
    r = run("forked", BROOD_START_FORK);
    if (r == 0)
        r = run("served", BROOD_START_FORKSERVER);
    if (r < 0)
        fprintf(stderr, "03_pids_and_parents: %s\n", brood_strerror(r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
