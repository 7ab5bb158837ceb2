/*
 * 07_terminate_and_is_alive: end a process that would not end by itself.
 * Prints whether it is alive before the start, while it runs, and right after terminate and
 * join; then its exit code. Next: 08_exit_codes.c.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int wait_for_ever(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    for (;;)
        pause();
    return 0;
}

static void print_alive(const char *when, brood_process *process)
{
    printf("%s: alive is %s\n", when, brood_process_is_alive(process) == 1 ? "true" : "false");
}

int main(void)
{
    brood_process *process = NULL;
    int code = 0, r = brood_process_create(wait_for_ever, NULL, 0, NULL, &process);

    if (r == 0) {
        print_alive("before the start", process);
        r = brood_process_start(process);
    }
    if (r == 0) {
        print_alive("after the start", process);
        r = brood_process_join(process, brood_ms(20));
        printf("join for 20 ms: %s\n", brood_strerror(r));
        r = brood_process_terminate(process); /* SIGTERM; _kill() sends SIGKILL */
    }
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0) {
        print_alive("after terminate and join", process);
        r = brood_process_exit_code(process, &code);
    }
    if (r == 0)
        printf("exit code: %d\n", code); /* minus the signal's number */
    if (r < 0)
        fprintf(stderr, "07_terminate_and_is_alive: %s\n", brood_strerror(r));
    brood_process_free(process);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
