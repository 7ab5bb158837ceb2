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

/* Finds the slot of a child by pid; there is none for adopted descendants. */
static struct guard_slot *find_slot(struct guard_table *table, pid_t pid)
{
    uint32_t used = atomic_load(&table->slots_used);

    for (uint32_t i = 0; i < used && i < GUARD_SLOT_COUNT; i++)
        if (atomic_load_explicit(&table->slots[i].state, memory_order_acquire) == SLOT_BORN &&
            table->slots[i].pid == pid)
            return &table->slots[i];
    return NULL;
}

bool brood__helper_reap(struct brood__kit *kit)
{
    struct rusage usage;
    siginfo_t info;
    int r;

    while ((r = brood__wait_any(WEXITED | WNOHANG | __WALL, &info, &usage)) == 0 &&
           info.si_pid != 0) {
        struct guard_slot *slot = find_slot(kit->table, info.si_pid);

        if (slot == NULL)
            continue;
        guard_slot_fill(slot, &info, &usage);
        atomic_store_explicit(&slot->state, SLOT_ENDED, memory_order_release);
        brood__futex_wake_all(&slot->state);
    }
    return r != -ECHILD;
}

/* Slots whose child is dead but was reaped by a forkserver that died before it said so. */
static void settle_slots(struct guard_table *table)
{
    uint32_t used = atomic_load(&table->slots_used);

    for (uint32_t i = 0; i < used && i < GUARD_SLOT_COUNT; i++) {
        uint32_t born = SLOT_BORN;

        table->slots[i].code =
            atomic_load(&table->slots[i].state) == SLOT_BORN ? 0 : table->slots[i].code;
        if (atomic_compare_exchange_strong(&table->slots[i].state, &born, SLOT_ENDED))
            brood__futex_wake_all(&table->slots[i].state);
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

static void end_launching(struct guard_table *table)
{
    for (int i = 0; i < GUARD_LAUNCH_COUNT; i++) {
        int32_t pid = atomic_load(&table->launching[i]);

        if (pid > 0)
            (void)kill(pid, SIGKILL);
    }
}

void brood__helper_sweep(struct brood__kit *kit)
{
    const struct brood__kin marked = { .mark_id = kit->mark.id, .not_before = kit->start_time };
    const int64_t deadline = brood__now() + SWEEP_NS;

    end_launching(kit->table);
    (void)brood__cgroup_kill(&kit->cgroup, "/children", deadline);
    (void)brood__kin_kill(&marked, deadline);
}
