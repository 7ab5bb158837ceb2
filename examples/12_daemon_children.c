/*
 * 12_daemon_children: a daemon may have children of its own, and these are daemons as well
 * unless they are made otherwise. Python forbids it, for they would be left behind.
 * Prints how many are there, and that killing the daemon ends all of them.
 * Next: 13_joined_at_exit.c.
 */
#include <brood.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHILD_COUNT 2

/* Says on the pipe whether it is a daemon, and holds the pipe as long as it lives. */
static int be_there(void *argument, size_t argument_bytes)
{
    brood_process_info info = BROOD_PROCESS_INFO_INIT;
    int pipe_end = *(const int *)argument;
    int r = brood_current_process(&info);

    (void)argument_bytes;
    if (write(pipe_end, r == 0 && info.daemon ? "d" : "-", 1) != 1)
        return 1;
    for (;;)
        pause();
    return 0;
}

static int start(brood_process_function *function, int pipe_end, int daemon,
                 brood_process **ret_process)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int r;

    options.daemon = daemon;
    options.descriptors = &pipe_end;
    options.descriptor_count = 1;
    r = brood_process_create(function, &pipe_end, sizeof pipe_end, &options, ret_process);
    return r < 0 ? r : brood_process_start(*ret_process);
}

static int run_daemon(void *argument, size_t argument_bytes)
{
    int pipe_end = *(const int *)argument;
    brood_process *children[CHILD_COUNT] = { NULL };

    for (int i = 0; i < CHILD_COUNT; i++)
        if (start(be_there, pipe_end, BROOD_DAEMON_INHERIT, &children[i]) < 0)
            return 1;
    return be_there(argument, argument_bytes);
}

int main(void)
{
    brood_process *process = NULL;
    int all[2], daemons = 0, r;
    struct pollfd end;
    char letter;

    if (pipe2(all, O_CLOEXEC) < 0) {
        perror("12_daemon_children: pipe2");
        return EXIT_FAILURE;
    }
    r = start(run_daemon, all[1], BROOD_DAEMON_YES, &process);
    close(all[1]);
    for (int i = 0; r == 0 && i < 1 + CHILD_COUNT && read(all[0], &letter, 1) == 1; i++)
        daemons += letter == 'd';
    printf("daemons: %d\n", daemons);
    if (r == 0)
        r = brood_process_kill(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0) {
        end = (struct pollfd){ .fd = all[0], .events = POLLIN };
        printf("the first was killed; all gone within a second: %s\n",
               poll(&end, 1, 1000) == 1 && read(all[0], &letter, 1) == 0 ? "yes" : "no");
    }
    if (r < 0)
        fprintf(stderr, "12_daemon_children: %s\n", brood_strerror(r));
    brood_process_free(process);
    close(all[0]);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
