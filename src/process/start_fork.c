/*
 * fork: the child is a copy of the calling process, made in the calling thread, and runs
 * the function on that thread's stack.
 *
 * Up to the function the child does only what is safe after a fork in a program with
 * threads; what needs memory was prepared before.
 */
#include "process/start.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "base/stamp.h"
#include "process/board.h"
#include "process/current.h"
#include "process/environment.h"
#include "process/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct plan {
    struct brood__launch *launch;
    struct brood__bond bond; /* index 0: none */
    int own[2];              /* copies of its descriptors; -1: it has the guard's */
    bool keep_all;
    char **environment; /* NULL: no change */
    char *entry;        /* what it says of the mark: too large for a stack that is copied */
    int report[2];      /* a pipe for what goes wrong; -1: nothing can */
    int spare;          /* makes room for the pidfd to come */
    int board_entry;
    pid_t parent;
    sigset_t mask;
};

/* With all descriptors kept, the fork handlers close ours in the child at once: it needs
 * copies of the bond's. */
static int copy_bond_fds(struct plan *p)
{
    p->own[0] = brood__fd_duplicate(p->bond.mark.fd, 3);
    if (p->own[0] < 0)
        return p->own[0];
    p->bond.mark.fd = p->own[0];
    if (p->bond.cgroup >= 0)
        p->bond.cgroup = p->own[1] = brood__fd_duplicate(p->bond.cgroup, 3);
    return 0;
}

static int make_environment(struct plan *p)
{
    char *entries[] = { NULL, NULL };

    if (p->bond.index != 0) {
        p->entry = entries[0] = malloc(BROOD__MARK_ENTRY_BYTES);
        if (p->entry == NULL)
            return -ENOMEM;
        brood__mark_entry(&p->bond.mark, p->bond.index, p->entry);
    }
    p->environment = brood__environment(p->launch, entries);
    return p->environment == NULL ? -ENOMEM : 0;
}

static int prepare(struct plan *p)
{
    int r = 0;

    if (p->bond.index != 0 || p->launch->has_environment)
        r = make_environment(p);
    if (r == 0 && p->keep_all && p->bond.index != 0)
        r = copy_bond_fds(p);
    if (r == 0 && (brood__setup_can_fail(p->launch) || p->bond.index != 0))
        r = brood__fd_pipe(p->report);
    if (r == 0)
        r = brood__spare_take(&p->spare);
    return r;
}

static void clean_up(struct plan *p)
{
    brood__fd_close(&p->report[0]);
    brood__fd_close(&p->report[1]);
    brood__spare_return(&p->spare);
    brood__fd_close(&p->own[0]);
    brood__fd_close(&p->own[1]);
    free(p->environment);
    free(p->entry);
}

/* ---- the child ---- */

static int enter(struct plan *p)
{
    struct brood__setup setup = brood__setup_own(p->launch);

    if (p->bond.index != 0) {
        int r = brood__mark_map(&p->bond.mark, p->bond.index);

        if (r < 0)
            return r;
        setup.cgroup = p->bond.cgroup;
    }
    setup.keep = p->report[1];
    return brood__setup_apply(&setup);
}

static _Noreturn void child_main(struct plan *p)
{
    int r = enter(p);

    /* Before the guardian could see the mark the parent may have died; after, it will. */
    if (p->bond.index != 0 && getppid() != p->parent)
        _exit(127);
    if (p->report[1] >= 0)
        (void)!write(p->report[1], &r, sizeof r);
    if (r < 0)
        _exit(127);
    brood__fd_close(&p->report[1]);
    if (p->keep_all) {
        brood__fd_close(&p->report[0]);
        brood__fd_close(&p->spare);
        brood__fd_close(&p->own[0]);
        brood__fd_close(&p->own[1]);
    }
    if (p->environment != NULL)
        environ = p->environment;
    brood__current_enter(p->launch, -1);
    (void)pthread_sigmask(SIG_SETMASK, &p->mask, NULL);
    brood__child_run(p->launch, p->board_entry, false);
}

/* ---- the parent ---- */

/*
 * What the child says: 0, or what went wrong. The end of the pipe says nothing, for any fork
 * of another thread may have a copy of the other end; the end of the child does.
 */
static int read_report(struct plan *p, int pidfd)
{
    struct pollfd entries[2] = { { .fd = p->report[0], .events = POLLIN },
                                 { .fd = pidfd, .events = POLLIN } };
    int report = 0;

    if (p->report[0] < 0)
        return 0;
    if (pidfd >= 0)
        (void)brood__poll(entries, 2, BROOD__NEVER);
    /* Dead without a word, or dead so long that there is no pidfd: whatever it wrote is there.
     */
    if (fcntl(p->report[0], F_SETFL, O_NONBLOCK) < 0 ||
        read(p->report[0], &report, sizeof report) != (ssize_t)sizeof report)
        return 0;
    return report;
}

static int adopt(brood_process *process, struct plan *p, pid_t pid)
{
    struct rusage usage;
    siginfo_t info;
    int pidfd, r;

    pidfd = brood__pidfd_open(pid);
    if (pidfd == -EMFILE || pidfd == -ENFILE) {
        brood__fd_close(&p->spare);
        pidfd = brood__pidfd_open(pid);
    }
    r = read_report(p, pidfd);
    if (r == 0 && pidfd < 0 && pidfd != -ESRCH)
        r = pidfd; /* another thread was faster to the place of the spare one */
    if (r < 0) {
        if (pidfd >= 0) {
            (void)brood__pidfd_signal(pidfd, SIGKILL);
            (void)brood__wait_pidfd(pidfd, WEXITED, &info, &usage);
        } else if (pidfd != -ESRCH) {
            (void)kill(pid, SIGKILL);
            (void)brood__wait_pid(pid, WEXITED, &info, &usage);
        }
        brood__fd_close(&pidfd);
        return r;
    }
    /* -ESRCH: it has ended, and SIGCHLD is ignored or a wait() of the program's took it. */
    process->pidfd = pidfd < 0 ? -1 : pidfd;
    process->pid = pid;
    process->board_entry = p->board_entry;
    return 0;
}

int brood__start_fork(brood_process *process, struct brood__launch *launch,
                      const struct brood__bond *bond)
{
    struct plan plan = { .launch = launch,
                         .keep_all = (launch->flags & BROOD_PROCESS_KEEP_DESCRIPTORS) != 0,
                         .own = { -1, -1 },
                         .report = { -1, -1 },
                         .spare = -1,
                         .board_entry = -1,
                         .parent = brood__process_id() };
    sigset_t all;
    pid_t pid;
    int r;

    if (bond != NULL)
        plan.bond = *bond;
    r = prepare(&plan);
    if (r == 0) {
        plan.board_entry = brood__board_take();
        brood__flush_stdio();
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &plan.mask);
        pid = brood__fork(!plan.keep_all);
        if (pid == 0)
            child_main(&plan);
        (void)pthread_sigmask(SIG_SETMASK, &plan.mask, NULL);
        r = pid < 0 ? pid : adopt(process, &plan, pid);
        if (r < 0)
            brood__board_leave(&plan.board_entry);
    }
    clean_up(&plan);
    return r;
}
