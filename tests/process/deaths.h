/*
 * What the tests of death have in common: a program, which is a process that the case forks
 * and that uses the library as a fresh program would, and the case as its witness.
 *
 * The witness knows that everybody is gone by two independent means. Every victim holds the
 * write end of one pipe, the life line, and has written a byte into it once it is ready to
 * be killed: the end of that file is the end of the last victim. And the witness is a
 * subreaper, so all that the program ever started descends from it, whoever died between.
 */
#ifndef TESTS_PROCESS_DEATHS_H
#define TESTS_PROCESS_DEATHS_H

#include "test.h"

#include <brood.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIFE_FD 9        /* a number that every shell can name */
#define READY_MS 20000   /* for victims to be there, on a machine that is busy */
#define GONE_MS 1000     /* the promise */
#define KIN_MAX 4096     /* processes looked at in /proc */
#define LONG_SLEEP "600" /* seconds; nobody lives that long */

struct witness {
    int life; /* the read end of the life line */
    int line; /* the write end, until the program has it */
    pid_t program;
    _Atomic int *go; /* shared with the program: what the witness tells it */
};

__attribute__((unused)) static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((unused)) static void nap_us(long us)
{
    const struct timespec time = { us / 1000000, us % 1000000 * 1000 };

    (void)nanosleep(&time, NULL);
}

__attribute__((unused)) static bool long_mode(void)
{
    const char *value = getenv("BROOD_TEST_LONG");

    return value != NULL && strcmp(value, "1") == 0;
}

/* kill() with -1 means everybody, and with 0 our own group: no mistake may get that far. */
__attribute__((unused)) static void kill_one(pid_t pid)
{
    if (pid <= 1)
        fail_msg("%d is no process to kill", (int)pid);
    (void)kill(pid, SIGKILL);
}

/* ---- who is there ---- */

struct kin {
    pid_t pid, parent;
    char state;
    bool below;
    char name[32];
};

/*
 * Lists the living descendants of `root`, zombies left out, but counted as links of the
 * chain. Returns how many there are.
 */
__attribute__((unused)) static size_t kin_list(pid_t root, struct kin list[KIN_MAX])
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    size_t count = 0, kept = 0;
    bool changed = true;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL && count < KIN_MAX) {
        struct kin *k = &list[count];
        char path[64], text[512];
        char *after;
        int fd, parent;
        ssize_t n;

        k->pid = atoi(entry->d_name);
        if (k->pid <= 0)
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)k->pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        n = read(fd, text, sizeof text - 1);
        (void)close(fd);
        if (n <= 0)
            continue;
        text[n] = '\0';
        after = strrchr(text, ')');
        if (after == NULL || sscanf(after + 1, " %c %d", &k->state, &parent) != 2)
            continue;
        *after = '\0';
        k->parent = parent;
        k->below = false;
        (void)snprintf(k->name, sizeof k->name, "%s", strchr(text, '(') + 1);
        count++;
    }
    (void)closedir(directory);
    while (changed) {
        changed = false;
        for (size_t i = 0; i < count; i++) {
            bool below = list[i].parent == root;

            for (size_t j = 0; j < count && !below && !list[i].below; j++)
                below = list[j].below && list[j].pid == list[i].parent;
            if (below && !list[i].below)
                list[i].below = changed = true;
        }
    }
    for (size_t i = 0; i < count; i++)
        if (list[i].below && list[i].state != 'Z' && list[i].state != 'X')
            list[kept++] = list[i];
    return kept;
}

__attribute__((unused)) static void reap_adopted(pid_t spare)
{
    siginfo_t info;

    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ||
            info.si_pid == 0 || info.si_pid == spare)
            return;
        (void)waitpid(info.si_pid, NULL, __WALL);
    }
}

/* Waits until nothing descends from this process but `spared`; 0: nothing at all. What is
 * there after `limit_ms` is named and killed, and the case fails. Returns the milliseconds. */
__attribute__((unused)) static int64_t await_nothing_left(int64_t limit_ms, pid_t spared)
{
    static struct kin list[KIN_MAX];
    const int64_t start = now_ms();
    size_t count, others;

    for (;;) {
        reap_adopted(spared);
        count = kin_list(getpid(), list);
        others = 0;
        for (size_t i = 0; i < count; i++)
            others += list[i].pid != spared;
        if (others == 0)
            return now_ms() - start;
        if (now_ms() - start > limit_ms)
            break;
        nap_us(1000);
    }
    for (size_t i = 0; i < count; i++) {
        printf("left: %d (%s) state %c, parent %d\n", (int)list[i].pid, list[i].name,
               list[i].state, (int)list[i].parent);
        kill_one(list[i].pid);
    }
    (void)fflush(stdout);
    fail_msg("%zu processes are left", others);
    return -1;
}

__attribute__((unused)) static bool is_gone(pid_t pid)
{
    char path[64], text[512];
    const char *after;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[n < 0 ? 0 : n] = '\0';
    after = strrchr(text, ')');
    return after == NULL || after[2] == 'Z' || after[2] == 'X';
}

/* ---- the witness and its program ---- */

__attribute__((unused)) static void witness_begin(struct witness *w)
{
    int pair[2];

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    w->life = pair[0];
    w->line = pair[1];
    w->go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(w->go, MAP_FAILED);
    w->program = -1;
}

/* Starts the program. One started after witness_let_go() has no part in the life line. */
__attribute__((unused)) static pid_t
program_start(struct witness *w, void (*body)(struct witness *, void *), void *argument)
{
    (void)fflush(NULL);
    w->program = fork();
    assert_true(w->program >= 0);
    if (w->program == 0) {
        (void)prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
        (void)close(w->life);
        if (w->line >= 0 && dup3(w->line, LIFE_FD, O_CLOEXEC) < 0)
            _exit(98);
        if (w->line >= 0)
            (void)close(w->line);
        body(w, argument);
        (void)fflush(NULL);
        _exit(0);
    }
    return w->program;
}

/* From here on only the victims and their program hold the line. */
__attribute__((unused)) static void witness_let_go(struct witness *w)
{
    if (w->line >= 0)
        (void)close(w->line);
    w->line = -1;
}

/* Waits for so many bytes. False: the line ended first, so the program gave up. */
__attribute__((unused)) static bool await_victims(struct witness *w, size_t count)
{
    const int64_t deadline = now_ms() + READY_MS;
    char bytes[256];

    witness_let_go(w);
    while (count > 0) {
        struct pollfd entry = { .fd = w->life, .events = POLLIN };
        ssize_t n;

        if (poll(&entry, 1, (int)(deadline - now_ms() > 0 ? deadline - now_ms() : 0)) <= 0)
            fail_msg("%zu victims did not become ready", count);
        n = read(w->life, bytes, count < sizeof bytes ? count : sizeof bytes);
        if (n <= 0)
            return false;
        count -= (size_t)n;
    }
    return true;
}

/* Waits for the end of the last victim. Returns the milliseconds it took. */
__attribute__((unused)) static int64_t await_last_breath(struct witness *w, int64_t limit_ms)
{
    const int64_t start = now_ms();
    char bytes[256];

    witness_let_go(w);
    for (;;) {
        struct pollfd entry = { .fd = w->life, .events = POLLIN };
        int64_t left = start + limit_ms - now_ms();

        if (poll(&entry, 1, left > 0 ? (int)left : 0) <= 0) {
            (void)await_nothing_left(0, 0); /* names them, and fails */
            fail_msg("a victim lives, and it does not descend from us");
        }
        if (read(w->life, bytes, sizeof bytes) == 0)
            return now_ms() - start;
    }
}

/* Reaps the program, and returns what waitpid() said; ends the case if the program was a
 * failed assertion's or a skipped one's. */
__attribute__((unused)) static int program_end(struct witness *w)
{
    int status = 0;

    assert_int_equal(waitpid(w->program, &status, 0), w->program);
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_EXIT_SKIPPED) {
        (void)await_nothing_left(5 * GONE_MS, 0);
        test_skip("this tier is not to be had here");
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_EXIT_FAILED_IN_CHILD)
        fail_msg("an assertion failed in the program");
    return status;
}

__attribute__((unused)) static void witness_end(struct witness *w)
{
    witness_let_go(w);
    (void)close(w->life);
    (void)munmap((void *)w->go, 4096);
}

/* ---- inside the program ---- */

/* Waits until the witness says at least `step`. */
__attribute__((unused)) static void await_go(struct witness *w, int step)
{
    const int64_t deadline = now_ms() + READY_MS;

    while (atomic_load(w->go) < step) {
        if (now_ms() > deadline)
            _exit(97);
        nap_us(500);
    }
}

__attribute__((unused)) _Noreturn static void pause_for_ever(void)
{
    for (;;)
        (void)pause();
}

__attribute__((unused)) static void breathe(void)
{
    (void)!write(LIFE_FD, ".", 1);
}

/* Starts the guardian in a tier; a program whose tier is not to be had ends as skipped. */
__attribute__((unused)) static void guardian_in(int tier)
{
    brood_guardian_options options = BROOD_GUARDIAN_OPTIONS_INIT;
    int r;

    options.tier = tier;
    r = brood_guardian_start(&options);
    if (r == -ENOTSUP)
        _exit(TEST_EXIT_SKIPPED);
    assert_int_equal(r, 0);
}

/* Who guardian and forkserver are, once both are there: one may just be being replaced. */
__attribute__((unused)) static brood_guardian_info guardian_now(void)
{
    const int64_t deadline = now_ms() + 5000;

    for (;;) {
        brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;

        if (brood_guardian_status(&info) == 0 && info.guardian_pid > 1 &&
            info.forkserver_pid > 1 && !is_gone(info.guardian_pid) &&
            !is_gone(info.forkserver_pid))
            return info;
        if (now_ms() > deadline)
            fail_msg("there is no guardian");
        nap_us(200);
    }
}

/* Options of a victim: a daemon that holds the life line. */
__attribute__((unused)) static brood_process_options victim_options(int method)
{
    static const int line[] = { LIFE_FD };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    options.daemon = BROOD_DAEMON_YES;
    options.start_method = method;
    options.descriptors = line;
    options.descriptor_count = 1;
    return options;
}

/* A victim that is hard to kill politely. With `*argument` also one that is hard to find:
 * forked twice and in a session of its own. */
__attribute__((unused)) static int victim(void *argument, size_t argument_bytes)
{
    bool with_descendant = argument_bytes > 0 && *(char *)argument != 0;

    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    if (with_descendant) {
        pid_t between = fork();

        if (between == 0) {
            (void)setsid();
            if (fork() != 0)
                _exit(0);
            breathe();
            pause_for_ever();
        }
        (void)waitpid(between, NULL, 0);
    }
    breathe();
    pause_for_ever();
}

#define COMMAND (-1) /* as a start method: a shell that does what victim() does */

__attribute__((unused)) static brood_process *victim_start(int method, bool with_descendant)
{
    static const char *const lonely[] = { "sh", "-c",
                                          "trap '' TERM HUP; echo >&9; exec sleep " LONG_SLEEP,
                                          NULL };
    static const char *const parent[] = {
        "sh", "-c",
        "trap '' TERM HUP; setsid sh -c '(echo >&9; exec sleep " LONG_SLEEP ") & exit' & "
        "echo >&9; exec sleep " LONG_SLEEP,
        NULL
    };
    brood_process_options options = victim_options(method == COMMAND ? 0 : method);
    char flag = with_descendant;
    brood_process *process = NULL;

    if (method == COMMAND)
        assert_int_equal(
            brood_process_create_command(with_descendant ? parent : lonely, &options, &process),
            0);
    else
        assert_int_equal(brood_process_create(victim, &flag, 1, &options, &process), 0);
    assert_int_equal(brood_process_start(process), 0);
    return process;
}

#endif
