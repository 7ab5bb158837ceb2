/*
 * 11_daemon: a daemon child does not keep the program from ending: it is ended with it.
 * Prints what the shutdown, which runs at exit() and is called here so that one can look
 * afterwards, does to a child that would run for ever. Next: 12_daemon_children.c.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int run_for_ever(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    for (;;)
        pause();
    return 0;
}

static int look_at(brood_process *process)
{
    int code = 0, r;

    printf("daemon: %s, alive: %s\n", brood_process_is_daemon(process) == 1 ? "yes" : "no",
           brood_process_is_alive(process) == 1 ? "yes" : "no");
    r = brood_shutdown(BROOD_FOREVER); /* SIGTERM; 100 ms later SIGKILL to what is left */
    if (r == 0)
        r = brood_process_exit_code(process, &code);
    if (r == 0)
        printf("after the shutdown: alive: %s, exit code %d\n",
               brood_process_is_alive(process) == 1 ? "yes" : "no", code);
    return r;
}

int main(void)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int r;

    options.daemon = BROOD_DAEMON_YES;
    r = brood_process_create(run_for_ever, NULL, 0, &options, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = look_at(process);
    if (r < 0)
        fprintf(stderr, "11_daemon: %s\n", brood_strerror(r));
    brood_process_free(process);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
