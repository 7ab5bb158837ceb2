/*
 * Between clone and exec. The child runs on a stack of its own but in the parent's memory,
 * while the parent's calling thread is suspended. So it may write nothing but its stack and
 * `run->error`, and it must run no signal handler: all signals are blocked before the clone
 * and stay so until the handlers are gone.
 */
#include "process/exec.h"

#include "base/fd.h"
#include "base/linux.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)64 * 1024)

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

struct run {
    const struct brood__exec *exec;
    pid_t parent;
    volatile int error;
};

/* A stack that no child uses, or NULL. Mapping, touching and unmapping one would cost each
 * start several microseconds, and unmapping interrupts other processors. */
static _Atomic(char *) spare_stack;

static char *stack_take(void)
{
    char *stack = atomic_exchange(&spare_stack, NULL);

    if (stack != NULL)
        return stack;
    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    return stack == MAP_FAILED ? NULL : stack;
}

/* The child has left it: a caller suspended by CLONE_VFORK goes on only then. */
static void stack_leave(char *stack)
{
    char *none = NULL;

    if (!atomic_compare_exchange_strong(&spare_stack, &none, stack))
        (void)munmap(stack, STACK_BYTES);
}

/* As execvp() chooses: the first that exists and may be executed; if some existed but none
 * might be, that is the error. */
static int execute(const struct brood__exec *exec)
{
    int error = ENOENT;

    for (char *const *path = exec->paths; *path != NULL; path++) {
        (void)execve(*path, exec->argv, exec->environment);
        if (errno == EACCES)
            error = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return errno;
    }
    return error;
}

/* Each step stands where it does for a reason: the pid goes up first, see guard_table.h;
 * then handlers go, before anything can take long; the mask goes last, for a signal that
 * was sent meanwhile should meet its default action, and only in the child. */
static int child_main(void *argument)
{
    struct run *run = argument;
    const struct brood__exec *exec = run->exec;
    sigset_t none;
    int r;

    if (exec->launching != NULL) {
        atomic_store(exec->launching, (int32_t)syscall(SYS_getpid));
        if ((pid_t)syscall(SYS_getppid) != run->parent)
            return 127;
    }
    brood__setup_exec_signals();
    r = brood__setup_apply(&exec->setup);
    if (r == 0) {
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        r = -execute(exec);
    }
    run->error = -r;
    return 127; /* and clone() ends the child */
}

/* Calls clone() with everything that must not happen meanwhile held off. */
static pid_t clone_and_wait(struct run *run, char *stack, int *ret_pidfd)
{
    const int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    sigset_t all, before;
    int cancel, pidfd = -1;
    pid_t pid;

    (void)sigfillset(&all);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = clone(child_main, stack + STACK_BYTES, flags, run, &pidfd);
    if (pid < 0)
        pid = -errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_setcancelstate(cancel, NULL);
    *ret_pidfd = pidfd;
    return pid;
}

pid_t brood__exec(const struct brood__exec *exec, int *ret_pidfd)
{
    struct run run = { .exec = exec, .parent = getpid() };
    char *stack = stack_take();
    struct rusage usage;
    siginfo_t info;
    int pidfd;
    pid_t pid;

    if (stack == NULL)
        return -ENOMEM;
    pid = clone_and_wait(&run, stack, &pidfd);
    stack_leave(stack);
    if (pid < 0)
        return pid;
    if (run.error != 0) {
        (void)brood__wait_pidfd(pidfd, WEXITED, &info, &usage);
        (void)close(pidfd);
        return -run.error;
    }
    pidfd = brood__fd_above_stdio(pidfd);
    if (pidfd < 0) { /* only in a program whose stdio is closed and whose table is full */
        (void)kill(pid, SIGKILL);
        (void)brood__wait_pid(pid, WEXITED, &info, &usage);
        return pidfd;
    }
    *ret_pidfd = pidfd;
    return pid;
}
