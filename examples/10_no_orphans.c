/*
 * 10_no_orphans: when a program is killed, its daemon children and all that descends from
 * them are gone too.
 * A program (here a process of this one) starts a daemon child, which starts a descendant
 * the way that usually gets away: fork, setsid, fork. Then the program is killed by SIGKILL.
 * Prints who was there, and whether they are gone within a second. Next: 11_daemon.c.
 *
 * All of them hold the writing end of one pipe, so its end means: none of them is left.
 */
#include <brood.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void say_and_stay(int pipe_end, char letter)
{
    if (write(pipe_end, &letter, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* The daemon child, and in it the one that leaves its parent and its session. */
static int run_daemon(void *argument, size_t argument_bytes)
{
    int pipe_end = *(const int *)argument;

    (void)argument_bytes;
    signal(SIGTERM, SIG_IGN); /* inherited too: asking politely would not end them */
    if (fork() == 0) {
        setsid();
        if (fork() == 0)
            say_and_stay(pipe_end, 'g');
        _exit(0);
    }
    say_and_stay(pipe_end, 'd');
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

static int run_program(void *argument, size_t argument_bytes)
{
    int pipe_end = *(const int *)argument;
    brood_process *process = NULL;

    (void)argument_bytes;
    if (start(run_daemon, pipe_end, BROOD_DAEMON_YES, &process) < 0)
        return 1;
    say_and_stay(pipe_end, 'p');
    return 0;
}

int main(void)
{
    brood_process *program = NULL;
    int all[2], there = 0, code = 0, r;
    struct pollfd end;
    char letter;

    if (pipe2(all, O_CLOEXEC) < 0) {
        perror("10_no_orphans: pipe2");
        return EXIT_FAILURE;
    }
    r = start(run_program, all[1], BROOD_DAEMON_NO, &program);
    close(all[1]);
    while (there < 3 && read(all[0], &letter, 1) == 1)
        there++;
    printf("program, daemon child and its descendant: %d are there\n", there);
    if (r == 0)
        r = brood_process_kill(program);
    if (r == 0)
        r = brood_process_join(program, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(program, &code);
    if (r == 0) {
        end = (struct pollfd){ .fd = all[0], .events = POLLIN };
        printf("the program ended with %d\n", code);
        printf("all gone within a second: %s\n",
               poll(&end, 1, 1000) == 1 && read(all[0], &letter, 1) == 0 ? "yes" : "no");
    }
    if (r < 0)
        fprintf(stderr, "10_no_orphans: %s\n", brood_strerror(r));
    brood_process_free(program);
    close(all[0]);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
