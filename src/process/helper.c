/* What guardian and forkserver have in common. */
#include "process/guardian.h"

#include <brood/guardian.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "process/kin.h"
#include "process/setup.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWEEP_NS (5 * (int64_t)1000000000) /* then what is left cannot be killed */

static int by_number(const void *a, const void *b)
{
    const int *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void close_all_but(struct brood__kit *kit)
{
    int keep[] = { kit->socket,  kit->program,         kit->guardian,         kit->forkserver,
                   kit->mark.fd, kit->cgroup.children, kit->cgroup.forkserver };
    const size_t count = sizeof keep / sizeof keep[0];
    unsigned from = 3;

    qsort(keep, count, sizeof keep[0], by_number);
    for (size_t i = 0; i < count; i++) {
        if (keep[i] < 3)
            continue;
        if ((unsigned)keep[i] > from)
            (void)brood__close_range(from, (unsigned)keep[i] - 1);
        from = (unsigned)keep[i] + 1;
    }
    (void)brood__close_range(from, UINT_MAX);
}

void brood__helper_enter(struct brood__kit *kit, const char *name)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    brood__setup_default_signals(); /* SIGCHLD ignored would lose exit reports */
    (void)setsid();
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    (void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
    close_all_but(kit);
}

void brood__helper_say_hello(const struct brood__kit *kit, uint32_t what, int pidfd, int error)
{
    const struct brood__say say = { .what = what, .error = error };

    (void)brood__send(kit->socket, &say, sizeof say, &pidfd, pidfd >= 0 ? 1 : 0, MSG_DONTWAIT);
}

int brood__helper_signals(void)
{
    sigset_t set;
    int fd;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : brood__fd_above_stdio(fd);
}

/* ---- ends of children ---- */

bool brood__guard_slot_move(struct guard_slot *slot, uint64_t seen, int32_t pid, uint32_t state)
{
    uint64_t next = guard_word(pid, guard_word_generation(seen), state);

    if (!atomic_compare_exchange_strong(&slot->word, &seen, next))
        return false;
    brood__futex_wake_all(guard_slot_futex(slot));
    return true;
}

/* Enters the end of a child, if it has a slot: adopted descendants have none. */
static void enter_end(struct guard_table *table, const siginfo_t *info,
                      const struct rusage *usage)
{
    uint32_t used = atomic_load(&table->slots_used);

    for (uint32_t i = 0; i < used && i < GUARD_SLOT_COUNT; i++) {
        struct guard_slot *slot = &table->slots[i];
        uint64_t seen = atomic_load(&slot->word);

        if (guard_word_state(seen) != SLOT_BORN || guard_word_pid(seen) != info->si_pid)
            continue;
        guard_slot_fill(slot, info, usage);
        (void)brood__guard_slot_move(slot, seen, info->si_pid, SLOT_ENDED);
        return;
    }
}

bool brood__helper_reap(struct brood__kit *kit)
{
    struct rusage usage;
    siginfo_t info;
    int r;

    while ((r = brood__wait_any(WEXITED | WNOHANG | __WALL, &info, &usage)) == 0 &&
           info.si_pid != 0)
        enter_end(kit->table, &info, &usage);
    return r != -ECHILD;
}

/* Slots whose child is dead but was reaped by a forkserver that died before it said so. */
static void settle_slots(struct guard_table *table)
{
    uint32_t used = atomic_load(&table->slots_used);

    for (uint32_t i = 0; i < used && i < GUARD_SLOT_COUNT; i++) {
        struct guard_slot *slot = &table->slots[i];
        uint64_t seen = atomic_load(&slot->word);

        if (guard_word_state(seen) != SLOT_BORN)
            continue;
        slot->code = 0;
        (void)brood__guard_slot_move(slot, seen, guard_word_pid(seen), SLOT_ENDED);
    }
}

void brood__helper_end_children(struct brood__kit *kit, bool settle)
{
    const struct brood__kin below = { .below = getpid() };

    if (kit->tier == BROOD_TIER_C && getpid() == 1) {
        do { /* /proc may show another namespace's numbers; init can reach all its own */
            (void)kill(-1, SIGKILL);
            (void)poll(NULL, 0, 1);
        } while (brood__helper_reap(kit));
    } else {
        while (brood__helper_reap(kit) && brood__kin_kill(&below, brood__now()) != -ENOTSUP)
            (void)poll(NULL, 0, 1);
    }
    if (settle)
        settle_slots(kit->table);
}

void brood__helper_take_signals(struct brood__kit *kit, int signals)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
        ;
    (void)brood__helper_reap(kit);
}

/* ---- the program's own children ---- */

/* The number is only a hint: what it means by now may be another's process. */
static void end_launching(struct brood__kit *kit)
{
    for (int i = 0; i < GUARD_LAUNCH_COUNT; i++) {
        int32_t pid = atomic_load(&kit->table->launching[i]);
        int pidfd = pid > 0 ? brood__pidfd_open(pid) : -1;

        if (pidfd < 0)
            continue;
        if (brood__mark_is_program(pid, kit->mark.id) ||
            brood__mark_on(pid, kit->mark.id, 0) != MARKED_NO)
            (void)brood__pidfd_signal(pidfd, SIGKILL);
        (void)close(pidfd);
    }
}

bool brood__helper_is_abandoned(const struct brood__kit *kit)
{
    return atomic_load(&kit->table->accepted) != kit->incarnation &&
           brood__pidfd_alive(kit->program);
}

void brood__helper_sweep(struct brood__kit *kit)
{
    const struct brood__kin marked = { .mark_id = kit->mark.id, .not_before = kit->start_time };
    const int64_t deadline = brood__now() + SWEEP_NS;

    end_launching(kit);
    (void)brood__cgroup_kill(&kit->cgroup, "/children", deadline);
    (void)brood__kin_kill(&marked, deadline);
}
