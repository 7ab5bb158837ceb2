/* spawn: the program itself, executed anew. */
#include "process/start.h"

#include "base/fd.h"
#include "base/linux.h"
#include "process/environment.h"
#include "process/exec.h"
#include "process/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLICE_NS 10000000 /* between looks whether the child has died without a word */

struct letter {
    int fd;
    size_t bytes;
    struct brood__spawn_head *head;
};

static void letter_drop(struct letter *letter)
{
    if (letter->head != NULL)
        (void)munmap(letter->head, letter->bytes);
    brood__fd_close(&letter->fd);
}

/* Writes the file, under a number that none of the named descriptors has. */
static int letter_write(struct letter *letter, const struct brood__launch *launch)
{
    const int *named = brood__launch_ints(launch, &launch->descriptors);
    int above = 3, fd = brood__memfd("brood-spawn"), r;
    void *memory;

    for (size_t i = 0; i < launch->descriptors.count; i++)
        if (named[i] >= above)
            above = named[i] + 1;
    if (fd < 0)
        return fd;
    letter->fd = brood__fd_duplicate(fd, above);
    r = letter->fd < 0 ? letter->fd : 0;
    (void)close(fd);
    letter->bytes = BROOD__SPAWN_HEAD_BYTES + launch->bytes;
    if (r == 0 && ftruncate(letter->fd, (off_t)letter->bytes) < 0)
        r = -errno;
    if (r < 0)
        return r;
    memory = mmap(NULL, letter->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, letter->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    letter->head = memory;
    letter->head->magic = BROOD__SPAWN_MAGIC;
    atomic_store(&letter->head->state, SPAWN_REQUESTED);
    memcpy((char *)memory + BROOD__SPAWN_HEAD_BYTES, launch, launch->bytes);
    return 0;
}

/* Waits until the copy runs its function, fails, or ends before either. */
static int await_birth(struct brood__spawn_head *head, int pidfd)
{
    for (;;) {
        bool alive = brood__pidfd_alive(pidfd);

        switch (atomic_load(&head->state)) {
        case SPAWN_BORN: return 0;
        case SPAWN_FAILED: return head->error;
        default: break;
        }
        if (!alive)
            return -ENOEXEC;
        brood__futex_wait(&head->state, SPAWN_REQUESTED, SLICE_NS);
    }
}

static pid_t execute(struct brood__launch *launch, const struct brood__bond *bond,
                     const struct letter *letter, char *const *argv, int *ret_pidfd)
{
    static char *const self[] = { "/proc/self/exe", NULL };
    char entry[BROOD__MARK_ENTRY_BYTES], number[64];
    char *entries[] = { number, bond != NULL ? entry : NULL, NULL };
    struct brood__exec exec = { .paths = self,
                                .argv = argv,
                                .setup = brood__setup_own(launch) };
    char **environment;
    pid_t pid;

    (void)snprintf(number, sizeof number, "%s=%d", BROOD__SPAWN_VARIABLE, letter->fd);
    if (bond != NULL)
        brood__mark_entry(&bond->mark, bond->index, entry);
    environment = brood__environment(launch, entries);
    if (environment == NULL)
        return -ENOMEM;
    exec.environment = environment;
    exec.setup.for_exec = true;
    exec.setup.keep = letter->fd;
    if (bond != NULL) {
        exec.setup.cgroup = bond->cgroup;
        exec.launching = brood__guard_launching_take();
    }
    pid = brood__exec(&exec, ret_pidfd);
    if (exec.launching != NULL)
        atomic_store(exec.launching, 0);
    free(environment);
    return pid;
}

int brood__start_spawn(brood_process *process, struct brood__launch *launch,
                       const struct brood__bond *bond)
{
    struct letter letter = { .fd = -1 };
    struct rusage usage;
    char *const *argv;
    siginfo_t info;
    pid_t pid;
    int r;

    if (!brood__spawn_is_possible(&argv))
        return -ENOSYS;
    r = brood__launch_locate(launch);
    if (r == 0)
        r = letter_write(&letter, launch);
    if (r == 0) {
        pid = execute(launch, bond, &letter, argv, &process->pidfd);
        r = pid < 0 ? pid : await_birth(letter.head, process->pidfd);
        process->pid = pid;
        if (r < 0 && pid > 0) {
            (void)brood__pidfd_signal(process->pidfd, SIGKILL);
            (void)brood__wait_pidfd(process->pidfd, WEXITED, &info, &usage);
            brood__fd_close(&process->pidfd);
        }
    }
    letter_drop(&letter);
    return r;
}
