#include "process/kin.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "process/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
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

/* In a PID namespace whose /proc is another's, numbers there mean nothing here. */
static bool proc_is_ours(void)
{
    char text[32] = "";

    return readlink("/proc/self", text, sizeof text - 1) > 0 && atoi(text) == (int)getpid();
}

/* Room for one more. Not from malloc(), here and below: the guardian may be a fork of a
 * program with threads, and not every malloc() survives that. */
static int make_room(struct snapshot *s)
{
    size_t capacity = s->capacity == 0 ? 1024 : s->capacity * 2;
    void *all;

    if (s->count < s->capacity)
        return 0;
    all = s->all == NULL ? mmap(NULL, capacity * sizeof *s->all, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                         : mremap(s->all, s->capacity * sizeof *s->all,
                                  capacity * sizeof *s->all, MREMAP_MAYMOVE);
    if (all == MAP_FAILED)
        return -ENOMEM;
    s->all = all;
    s->capacity = capacity;
    return 0;
}

static void snapshot_drop(struct snapshot *s)
{
    if (s->all != NULL)
        (void)munmap(s->all, s->capacity * sizeof *s->all);
}

/* Adds one, in the order of pids, which is that of /proc. */
static int snapshot_add(struct snapshot *s, pid_t pid)
{
    struct seen seen;
    size_t at = s->count;
    int r;

    if (!read_one(pid, &seen))
        return 0;
    r = make_room(s);
    if (r < 0)
        return r;
    while (at > 0 && s->all[at - 1].pid > pid) {
        s->all[at] = s->all[at - 1];
        at--;
    }
    s->all[at] = seen;
    s->count++;
    return 0;
}

/* An entry as the kernel writes it; the name follows. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static int snapshot_take(struct snapshot *s)
{
    _Alignas(struct entry) char buffer[16384];
    int fd = proc_is_ours() ? open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    long n = 0;
    int r = 0;

    s->count = 0;
    s->unclear = false;
    if (fd < 0)
        return -ENOTSUP;
    while (r == 0 && (n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < n && r == 0;) {
            const struct entry *entry = (const void *)(buffer + at);

            at += entry->bytes;
            if (entry->name[0] >= '1' && entry->name[0] <= '9')
                r = snapshot_add(s, (pid_t)atoi(entry->name));
        }
    }
    (void)close(fd);
    return n < 0 ? -ENOTSUP : r;
}

/* ---- choosing ---- */

static struct seen *find(const struct snapshot *s, pid_t pid)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->all[middle].pid == pid)
            return &s->all[middle];
        if (s->all[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
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
    snapshot_drop(&s);
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
    snapshot_drop(&s);
    return r;
}
