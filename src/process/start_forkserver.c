/* forkserver: asked for in guard.c, done in forkserver.c. */
#include "process/start.h"

#include "base/fd.h"

int brood__start_forkserver(brood_process *process, struct brood__launch *launch)
{
    int slot = -1, pidfd = -1, r = brood__launch_locate(launch);
    pid_t pid;

    if (r < 0)
        return r;
    pid = brood__guard_fork(launch, &pidfd, &slot);
    if (pid < 0)
        return pid;
    process->pid = pid;
    process->pidfd = pidfd;
    process->slot = slot;
    return 0;
}
