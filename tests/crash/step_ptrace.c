/* Stepping by the stage, on any machine that has PTRACE_SINGLESTEP. See step_self.h. */
#include "step_self.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void step_traced(struct step_control *control, void (*operate)(int who), int who)
{
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    (void)raise(SIGSTOP);
    operate(who);
    atomic_store(&control->done, 1);
}

/* One instruction. False if the process is gone. */
static bool step(pid_t pid)
{
    int status;

    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
        return false;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFSTOPPED(status);
}

void step_trace_on(struct step_control *control, const struct step_sight *sight)
{
    pid_t pid = atomic_load(&control->pid);
    struct step_trace *trace = control->trace;
    int status;

    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        return;
    atomic_store(&control->begun, 1);
    while (!atomic_load(&control->done)) {
        uint32_t count = atomic_load(&control->count);

        if (control->act != STEP_RECORD && count >= control->target) {
            (void)kill(pid, SIGKILL);
            break;
        }
        if (count >= STEP_POINTS_MAX || !step(pid))
            break;
        atomic_store(&control->count, ++count);
        if (control->act != STEP_RECORD)
            continue;
        trace->count = count;
        /* What of the robust list is in the process's own memory is not seen from here, nor
         * are system calls: these points are among the rest. */
        if (sight->bytes > 0 && memcmp(sight->copy, sight->memory, sight->bytes) != 0) {
            memcpy(sight->copy, sight->memory, sight->bytes);
            (void)atomic_fetch_or(&trace->marks[count], STEP_CHANGED);
        }
    }
    (void)kill(pid, SIGKILL);
}
