/*
 * 14_heartbeat: a daemon that watches a worker.
 * The worker writes a beat into a pipe every 10 ms. The watcher knows from it whether the
 * worker works, hangs (no beat for 300 ms) or is gone (the pipe's end), and says so when it
 * changes. Prints what the watcher says as the worker is stopped, and then killed.
 * Next: 15_commands.c.
 */
#include <brood.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BEAT_MS 10
#define SILENCE_MS 300
#define BEATS_ENOUGH 5

static int work(void *argument, size_t argument_bytes)
{
    const struct timespec interval = { 0, BEAT_MS * 1000000L };
    int beats = *(const int *)argument;

    (void)argument_bytes;
    while (write(beats, "b", 1) == 1)
        nanosleep(&interval, NULL);
    return 1;
}

/* Tells news, a letter each: w works, h hangs, g is gone. */
static int watch_over(void *argument, size_t argument_bytes)
{
    const int *pipes = argument; /* beats to read, news to write */
    struct pollfd entry = { .fd = pipes[0], .events = POLLIN };
    char beat, told = 0, state = 0;

    (void)argument_bytes;
    for (int beat_count = 0; state != 'g';) {
        if (poll(&entry, 1, SILENCE_MS) == 0)
            state = 'h';
        else if (read(pipes[0], &beat, 1) != 1)
            state = 'g';
        else if (++beat_count >= BEATS_ENOUGH)
            state = 'w';
        if (state != told && write(pipes[1], &state, 1) != 1)
            return 1;
        told = state;
    }
    return 0;
}

/* Starts `function` with the descriptors as its argument, and passed on to it. */
static int start(brood_process_function *function, const int *pipes, size_t pipe_count,
                 int daemon, brood_process **ret_process)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int r;

    options.daemon = daemon;
    options.descriptors = pipes;
    options.descriptor_count = pipe_count;
    r = brood_process_create(function, pipes, pipe_count * sizeof *pipes, &options,
                             ret_process);
    return r < 0 ? r : brood_process_start(*ret_process);
}

/* Reads news until it is `expected`. */
static void hear(int news, char expected, const char *meaning)
{
    struct pollfd entry = { .fd = news, .events = POLLIN };
    char state = 0;

    while (state != expected)
        if (poll(&entry, 1, 10000) != 1 || read(news, &state, 1) != 1) {
            printf("no news\n");
            return;
        }
    printf("the worker %s\n", meaning);
}

static int tell_story(brood_process *worker, int news)
{
    int r;

    hear(news, 'w', "works");
    r = brood_process_signal(worker, SIGSTOP, BROOD_SCOPE_PROCESS);
    if (r < 0)
        return r;
    hear(news, 'h', "hangs");
    r = brood_process_kill(worker);
    if (r < 0)
        return r;
    hear(news, 'g', "is gone");
    return 0;
}

int main(void)
{
    brood_process *worker = NULL, *watcher = NULL;
    int beats[2], news[2], r;

    if (pipe2(beats, O_CLOEXEC) < 0 || pipe2(news, O_CLOEXEC) < 0) {
        perror("14_heartbeat: pipe2");
        return EXIT_FAILURE;
    }
    r = start(work, &beats[1], 1, BROOD_DAEMON_NO, &worker);
    if (r == 0)
        r = start(watch_over, (const int[]){ beats[0], news[1] }, 2, BROOD_DAEMON_YES,
                  &watcher);
    close(beats[0]);
    close(beats[1]);
    close(news[1]);
    if (r == 0)
        r = tell_story(worker, news[0]);
    if (r < 0)
        fprintf(stderr, "14_heartbeat: %s\n", brood_strerror(r));
    (void)brood_process_kill(worker); /* a stopped worker could not be joined at exit */
    brood_process_free(worker);
    brood_process_free(watcher);
    close(news[0]);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
