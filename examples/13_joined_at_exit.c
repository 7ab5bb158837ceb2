/*
 * 13_joined_at_exit: a program does not end before its children that are not daemons.
 * Prints the last line of main(), then a line of the child that was waited for, and then one
 * of the program, which ends after it. Next: 14_heartbeat.c.
 */
#include <brood.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Registered before brood's own handler, so it runs after it. */
static void at_the_end(void)
{
    printf("exit: the program ends\n");
}

/* Works on until main() has closed its end of the pipe, and some time longer. */
static int outlast_main(void *argument, size_t argument_bytes)
{
    char unused;

    (void)argument_bytes;
    if (read(*(const int *)argument, &unused, 1) != 0)
        return 1;
    usleep(50000);
    printf("child: done, after the end of main\n");
    return 0;
}

int main(void)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int gate[2], r;

    if (atexit(at_the_end) != 0 || pipe2(gate, O_CLOEXEC) < 0) {
        perror("13_joined_at_exit");
        return EXIT_FAILURE;
    }
    options.descriptors = &gate[0];
    options.descriptor_count = 1;
    r = brood_process_create(outlast_main, &gate[0], sizeof gate[0], &options, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r < 0)
        fprintf(stderr, "13_joined_at_exit: %s\n", brood_strerror(r));
    brood_process_free(process); /* gives up the handle only: the child goes on */
    printf("main: nothing left to do\n");
    fflush(stdout);
    close(gate[0]);
    close(gate[1]);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
