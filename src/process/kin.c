#include "process/kin.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "process/mark.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One process of a snapshot of /proc. */
struct seen {
    pid_t pid;
    pid_t parent;
    pid_t group;
    uint64_t start_time;
    char state; /* R, S, D, T, Z, ... */
    bool chosen;
    bool spared;
};

struct snapshot {
    struct seen *all; /* sorted by pid */
    size_t count, capacity;
    bool unclear; /* somebody is in the middle of an exec: look again */
};

/* ---- taking it ---- */

static bool read_one(pid_t pid, struct seen *ret_seen)
{
    char path[64], text[1024];
    unsigned long long start;
    const char *after;
    int parent, group;
    ssize_t n;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (brood__read_file(path, text, sizeof text, &n) < 0)
        return false;
    after = strrchr(text, ')');
    if (after == NULL ||
        sscanf(after + 1,
               " %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ret_seen->state, &parent, &group, &start) != 4)
        return false;
    ret_seen->pid = pid;
    ret_seen->parent = parent;
    ret_seen->group = group;
    ret_seen->start_time = start;
    ret_seen->chosen = ret_seen->spared = false;
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;

    return (x->pid > y->pid) - (x->pid < y->pid);
}

/* In a PID namespace whose /proc is another's, numbers there mean nothing here. */
static bool proc_is_ours(void)
{
    char text[32] = "";

    return readlink("/proc/self", text, sizeof text - 1) > 0 && atoi(text) == (int)getpid();
}

static int snapshot_take(struct snapshot *s)
{
    DIR *directory = proc_is_ours() ? opendir("/proc") : NULL;
    struct dirent *entry;

    s->count = 0;
    s->unclear = false;
    if (directory == NULL)
        return -ENOTSUP;
    while ((entry = readdir(directory)) != NULL) {
        pid_t pid = (pid_t)atoi(entry->d_name);

        if (pid <= 0)
            continue;
        if (s->count == s->capacity) {
            size_t capacity = s->capacity == 0 ? 256 : s->capacity * 2;
            struct seen *all = realloc(s->all, capacity * sizeof *all);

            if (all == NULL) {
                (void)closedir(directory);
                return -ENOMEM;
            }
            s->all = all;
            s->capacity = capacity;
        }
        if (read_one(pid, &s->all[s->count]))
            s->count++;
    }
    (void)closedir(directory);
    qsort(s->all, s->count, sizeof *s->all, by_pid);
    return 0;
}

/* ---- choosing ---- */

static struct seen *find(const struct snapshot *s, pid_t pid)
{
    struct seen key = { .pid = pid };

    return s->count == 0 ? NULL : bsearch(&key, s->all, s->count, sizeof key, by_pid);
}

static void choose_marked(struct snapshot *s, const struct brood__kin *kin)
{
    for (size_t i = 0; i < s->count; i++) {
        struct seen *p = &s->all[i];

        if (p->state == 'Z' || p->chosen || p->spared || p->start_time < kin->not_before)
            continue;
        switch (brood__mark_on(p->pid, kin->mark_id, kin->mark_index)) {
        case MARKED_YES: p->chosen = true; break;
        case MARKED_UNCLEAR: s->unclear = true; break;
        case MARKED_NO: break;
        }
    }
}

/* Hands `spared` and `chosen` down from parents to children until nothing changes. */
static void hand_down(struct snapshot *s)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (size_t i = 0; i < s->count; i++) {
            struct seen *p = &s->all[i];
            const struct seen *parent = find(s, p->parent);

            if (parent == NULL || p->pid == parent->pid)
                continue;
            if (parent->spared && !p->spared)
                p->spared = changed = true;
            if (parent->chosen && !p->chosen && !p->spared)
                p->chosen = changed = true;
        }
    }
}

static void choose_refs(struct snapshot *s, const struct brood__kin_ref *refs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct seen *p = find(s, refs[i].pid);

        if (p != NULL && p->start_time == refs[i].start_time && !p->spared)
            p->chosen = true;
    }
}

static void choose(struct snapshot *s, const struct brood__kin *kin)
{
    struct seen *p;

    for (size_t i = 0; i < sizeof kin->spare / sizeof kin->spare[0]; i++)
        if (kin->spare[i] != 0 && (p = find(s, kin->spare[i])) != NULL)
            p->spared = true;
    choose_refs(s, &kin->root, kin->root.pid != 0);
    choose_refs(s, kin->also, kin->also_count);
    if (kin->below != 0)
        for (size_t i = 0; i < s->count; i++)
            if (s->all[i].parent == kin->below && !s->all[i].spared)
                s->all[i].chosen = true;
    if (kin->mark_id != NULL)
        choose_marked(s, kin);
    hand_down(s);
    for (size_t i = 0; kin->group != 0 && i < s->count; i++)
        if (s->all[i].group != kin->group)
            s->all[i].chosen = false;
}

/* ---- acting ---- */

/* Signals exactly the process that was seen, not a later one of the same number. */
static bool signal_seen(const struct seen *p, int signal)
{
    int pidfd = brood__pidfd_open(p->pid);
    uint64_t start_time;
    bool sent = false;

    if (pidfd < 0)
        return false;
    if (brood__start_time(p->pid, &start_time) == 0 && start_time == p->start_time)
        sent = brood__pidfd_signal(pidfd, signal) == 0;
    (void)close(pidfd);
    return sent;
}

/* Signals all chosen that are not dead, except those stopped already when `signal` is
 * SIGSTOP. Returns how many it reached. */
static int signal_chosen(const struct snapshot *s, int signal)
{
    int count = 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct seen *p = &s->all[i];

        if (!p->chosen || p->state == 'Z' || p->state == 'X')
            continue;
        if (signal == SIGSTOP && (p->state == 'T' || p->state == 't'))
            continue;
        count += signal_seen(p, signal);
    }
    return count;
}

static struct brood__kin_ref *list_chosen(const struct snapshot *s, size_t *ret_count)
{
    struct brood__kin_ref *refs = calloc(s->count + 1, sizeof *refs);

    *ret_count = 0;
    for (size_t i = 0; refs != NULL && i < s->count; i++)
        if (s->all[i].chosen)
            refs[(*ret_count)++] =
                (struct brood__kin_ref){ s->all[i].pid, s->all[i].start_time };
    return refs;
}

int brood__kin_signal(const struct brood__kin *kin, int signal,
                      struct brood__kin_ref **ret_refs, size_t *ret_count)
{
    struct snapshot s = { 0 };
    int r = snapshot_take(&s);

    if (r == 0) {
        choose(&s, kin);
        if (ret_refs != NULL) {
            *ret_refs = list_chosen(&s, ret_count);
            r = *ret_refs == NULL ? -ENOMEM : 0;
        }
    }
    if (r == 0)
        r = signal_chosen(&s, signal);
    free(s.all);
    return r;
}

#define STOP_ROUNDS 8     /* a fork bomb must not keep us from killing */
#define UNCLEAR_ROUNDS 25 /* an exec is over by then; the environment is really empty */

int brood__kin_kill(const struct brood__kin *kin, int64_t deadline)
{
    struct snapshot s = { 0 };
    int r = 0, clean_rounds = 0;

    for (int round = 0; clean_rounds < 2; round++) {
        r = snapshot_take(&s);
        if (r < 0)
            break;
        choose(&s, kin);
        if (round < STOP_ROUNDS && signal_chosen(&s, SIGSTOP) > 0)
            continue;
        clean_rounds = signal_chosen(&s, SIGKILL) > 0 || (s.unclear && round < UNCLEAR_ROUNDS)
                           ? 0
                           : clean_rounds + 1;
        if (clean_rounds == 2)
            break;
        if (brood__time_left(deadline) == 0) {
            r = clean_rounds > 0 ? 0 : -ETIMEDOUT;
            break;
        }
        (void)poll(NULL, 0, 1);
    }
    free(s.all);
    return r;
}
