/*
 * Partners: each measures its peers in a process of its own, so that no peer pays for
 * another's threads, memory or fork handlers, and so that peers can be measured in turn.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH_MAX 1000
#define DESCRIPTOR_MAX 64 /* more than this program has open */

extern char **environ;

static int request_read(FILE *from, char name[64], int *ret_batch)
{
    char line[128];

    if (fgets(line, sizeof line, from) == NULL)
        return 0;
    return sscanf(line, "%63s %d", name, ret_batch) == 2 && *ret_batch <= BATCH_MAX ? 1 : 0;
}

static int measure(const struct bench_peer *peer, int batch, int64_t *durations)
{
    for (int i = 0; i < batch; i++) {
        int64_t start = bench_now();
        int r = peer->run();

        durations[i] = bench_now() - start;
        if (r < 0)
            return r;
    }
    return 0;
}

/* Reads requests, "PEER COUNT" a line, and answers each with as many lines of nanoseconds,
 * or with one that is negative: an errno. Ends with the input. */
static void serve(const struct bench_peer *peers, FILE *from, FILE *to)
{
    static int64_t durations[BATCH_MAX];
    char name[64];
    int batch;

    while (request_read(from, name, &batch)) {
        const struct bench_peer *peer = peers;
        int r = -ENOENT;

        while (peer->name != NULL && strcmp(peer->name, name) != 0)
            peer++;
        if (peer->name != NULL)
            r = measure(peer, batch, durations);
        for (int i = 0; r == 0 && i < batch; i++)
            fprintf(to, "%lld\n", (long long)durations[i]);
        if (r < 0)
            fprintf(to, "%d\n", r);
        fflush(to);
    }
}

static int pipes_open(int to[2], int from[2])
{
    if (pipe2(to, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(from, O_CLOEXEC) < 0) {
        int r = -errno;

        close(to[0]);
        close(to[1]);
        return r;
    }
    return 0;
}

/* Keeps our ends; both must be there. */
static void partner_fill(struct bench_partner *partner, pid_t pid, int to[2], int from[2])
{
    partner->pid = pid;
    partner->to = to[1];
    partner->from = from[0];
    close(to[0]);
    close(from[1]);
}

/* What a partner inherits of another's pipes would keep that one from seeing their end. */
static void close_others(int to, int from)
{
    for (int fd = STDERR_FILENO + 1; fd < DESCRIPTOR_MAX; fd++)
        if (fd != to && fd != from)
            close(fd);
}

int bench_partner_fork(struct bench *bench, const struct bench_peer *peers,
                       int (*prepare)(void), struct bench_partner *ret_partner)
{
    int to[2], from[2], r = pipes_open(to, from);
    pid_t pid;

    if (r < 0)
        return r;
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        close_others(to[0], from[1]);
        r = prepare == NULL ? 0 : prepare();
        if (r == 0)
            r = bench_touch(bench_entry_of(bench)->parent_mib);
        if (r == 0)
            serve(peers, fdopen(to[0], "r"), fdopen(from[1], "w"));
        exit(r == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    partner_fill(ret_partner, pid, to, from);
    return 0;
}

int bench_partner_exec(const char *const argv[], struct bench_partner *ret_partner)
{
    posix_spawn_file_actions_t actions;
    int to[2], from[2], r = pipes_open(to, from);
    pid_t pid;

    if (r < 0)
        return r;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    r = -posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r == 0)
        partner_fill(ret_partner, pid, to, from);
    return r;
}

void bench_partner_end(struct bench_partner *partner)
{
    if (partner->pid <= 0)
        return;
    close(partner->to);
    close(partner->from);
    (void)waitpid(partner->pid, NULL, 0);
    partner->pid = 0;
}

/* ---- asking ---- */

/* One line at a time by single bytes: what is read is little, and not timed. */
static int answer_read(int fd, int64_t *ret_answer)
{
    char line[32];
    size_t length = 0;

    while (length < sizeof line - 1) {
        if (read(fd, &line[length], 1) != 1)
            return -EPIPE;
        if (line[length++] == '\n')
            break;
    }
    line[length] = '\0';
    *ret_answer = strtoll(line, NULL, 10);
    return *ret_answer < 0 ? (int)*ret_answer : 0;
}

int bench_partner_ask(struct bench_partner *partner, const char *peer, int batch,
                      double *ret_ns)
{
    char request[96];
    int length = snprintf(request, sizeof request, "%s %d\n", peer, batch);

    if (write(partner->to, request, (size_t)length) != length)
        return -EPIPE;
    for (int i = 0; i < batch; i++) {
        int64_t answer;
        int r = answer_read(partner->from, &answer);

        if (r < 0) {
            fprintf(stderr, "brood-bench: %s gave no figure\n", peer);
            return r;
        }
        ret_ns[i] = (double)answer;
    }
    return 0;
}

int bench_alternate(struct bench *bench, const struct bench_turn *turns, size_t turn_count,
                    int round_count)
{
    double figures_ns[BATCH_MAX];

    (void)signal(SIGPIPE, SIG_IGN);
    for (int round = -1; round < round_count; round++) {
        for (size_t i = 0; i < turn_count; i++) {
            const struct bench_turn *turn = &turns[i];
            int r = 0;

            if (round >= 0 && round % turn->every != 0)
                continue;
            r = bench_partner_ask(turn->partner, turn->peer, turn->batch, figures_ns);
            if (r < 0)
                return r;
            for (int n = 0; round >= 0 && n < turn->batch; n++)
                bench_add(bench, turn->peer, "us", figures_ns[n] / 1000);
        }
    }
    for (size_t i = 0; i < turn_count; i++)
        bench_compare(bench, turns[i].peer, turns[i].against, turns[i].kind, turns[i].bar);
    return 0;
}
