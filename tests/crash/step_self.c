/* Stepping by the process itself. See step_self.h. */
#include "step_self.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

bool step_asleep(struct step_control *control)
{
    pid_t pid = atomic_load(&control->pid);
    uint32_t count = atomic_load(&control->count);
    char path[40], text[512], *end;
    ssize_t n;
    int fd;

    if (pid <= 1 || !atomic_load(&control->begun) || atomic_load(&control->held) ||
        atomic_load(&control->done))
        return false;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' && end[2] == 'S' &&
           count == atomic_load(&control->count) && !atomic_load(&control->held) &&
           !atomic_load(&control->done);
}

#if defined(__x86_64__)

#define TRAP_FLAG 0x100u
#define INT3 0xcc
#ifdef __GLIBC__
#define PC(context) ((context)->uc_mcontext.gregs[REG_RIP])
#define FLAGS(context) ((context)->uc_mcontext.gregs[REG_EFL])
#else /* musl has the same registers in the same order */
#define PC(context) ((context)->uc_mcontext.gregs[16])
#define FLAGS(context) ((context)->uc_mcontext.gregs[17])
#endif

static struct step_control *control;
static const struct step_sight *sight;
static struct robust_list_head *robust_head; /* by which the kernel finds our mutexes */
static const void *robust_seen[2];
static bool after_syscall; /* the instruction about to run is one */

/* The breakpoint, if there is one: where, what stood there, and how often it is passed
 * before it counts. */
static unsigned char *break_at;
static unsigned char break_byte;
static uint32_t break_passes;

static uintptr_t vdso, vdso_end;

bool step_self_possible(void)
{
    return getenv("BROOD_CRASH_PTRACE") == NULL;
}

static bool changed(void)
{
    bool differs = after_syscall;

    if (sight->bytes > 0 && memcmp(sight->copy, sight->memory, sight->bytes) != 0) {
        memcpy(sight->copy, sight->memory, sight->bytes);
        differs = true;
    }
    if (robust_head != NULL && (robust_seen[0] != robust_head->list.next ||
                                robust_seen[1] != robust_head->list_op_pending)) {
        robust_seen[0] = robust_head->list.next;
        robust_seen[1] = robust_head->list_op_pending;
        differs = true;
    }
    return differs;
}

static void note(uint32_t count, uintptr_t pc)
{
    struct step_trace *trace = control->trace;
    const unsigned char *next = (const unsigned char *)pc;

    if (count > STEP_POINTS_MAX)
        return;
    trace->pcs[count] = pc;
    if (changed())
        (void)atomic_fetch_or(&trace->marks[count], STEP_CHANGED);
    trace->count = count;
    after_syscall = next[0] == 0x0f && next[1] == 0x05;
}

/* At the target. Does not return, or when the stage lets it go. */
static void arrive(uintptr_t pc)
{
    int saved_errno = errno;

    atomic_store(&control->pc, pc);
    if (control->act == STEP_DIE) {
        (void)kill(getpid(), SIGKILL);
        for (;;)
            (void)pause();
    }
    atomic_store(&control->held, 1);
    while (atomic_load(&control->go) == 0)
        (void)syscall(SYS_futex, &control->go, FUTEX_WAIT, 0, NULL, NULL, 0);
    atomic_store(&control->held, 0);
    errno = saved_errno;
}

/*
 * After each instruction while the trap flag is set, and at the breakpoint. Until the
 * breakpoint is taken out this calls nothing, for the breakpoint may be in what it calls.
 */
static void on_trap(int signal_number, siginfo_t *info, void *user)
{
    ucontext_t *context = user;
    uint32_t count;

    (void)signal_number;
    if (info->si_code != TRAP_TRACE && break_at != NULL) {
        PC(context) -= 1;
        *break_at = break_byte;
        FLAGS(context) |= TRAP_FLAG; /* over it, or on from it */
        if (--break_passes > 0)
            return;
        break_at = NULL;
        count = control->breakpoint;
    } else if (break_at != NULL) {
        *break_at = INT3;
        FLAGS(context) &= ~(greg_t)TRAP_FLAG;
        return;
    } else {
        count = atomic_load_explicit(&control->count, memory_order_relaxed) + 1;
    }
    atomic_store_explicit(&control->count, count, memory_order_relaxed);
    if (control->act == STEP_RECORD) {
        note(count, (uintptr_t)PC(context));
    } else if (control->act != STEP_COUNT && count >= control->target) {
        FLAGS(context) &= ~(greg_t)TRAP_FLAG;
        arrive((uintptr_t)PC(context));
    }
}

/* Puts the breakpoint where the recording stood after that many instructions. False if that
 * memory cannot be written. */
static bool set_breakpoint(void)
{
    uintptr_t pc = control->trace->pcs[control->breakpoint];
    long page = sysconf(_SC_PAGESIZE);

    if ((vdso <= pc && pc < vdso_end) ||
        mprotect((void *)(pc & ~((uintptr_t)page - 1)), (size_t)page,
                 PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
        return false;
    break_at = (unsigned char *)pc;
    break_byte = *break_at;
    break_passes = control->trace->nth[control->breakpoint];
    *break_at = INT3;
    return true;
}

/* Where the first instruction after this runs, the trap flag is set: its end is count 1. */
static inline __attribute__((always_inline)) void trap_on(void)
{
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
}

static inline __attribute__((always_inline)) void trap_off(void)
{
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(uint64_t)TRAP_FLAG);
}

__attribute__((noinline)) static void run(void (*operate)(int who), int who, bool stepped)
{
    if (stepped)
        trap_on();
    operate(who);
    atomic_store(&control->done, 1);
    trap_off();
}

void step_self(struct step_control *own, const struct step_sight *own_sight,
               void (*operate)(int who), int who)
{
    struct sigaction action = { .sa_flags = SA_SIGINFO | SA_NODEFER };
    size_t robust_bytes;
    bool stepped = true;

    control = own;
    sight = own_sight;
    action.sa_sigaction = on_trap;
    (void)sigaction(SIGTRAP, &action, NULL);
    vdso = (uintptr_t)getauxval(AT_SYSINFO_EHDR);
    vdso_end = vdso == 0 ? 0 : vdso + 16384;
    if (syscall(SYS_get_robust_list, 0, &robust_head, &robust_bytes) != 0)
        robust_head = NULL;
    if (control->act == STEP_RECORD) {
        (void)changed();
        after_syscall = false;
    }
    if ((control->act == STEP_DIE || control->act == STEP_HOLD) && control->target == 0) {
        arrive(0);
        stepped = false;
    } else if (control->breakpoint > 0 && set_breakpoint())
        stepped = false;
    run(operate, who, stepped);
}

#else

bool step_self_possible(void)
{
    return false;
}

void step_self(struct step_control *own, const struct step_sight *own_sight,
               void (*operate)(int who), int who)
{
    (void)own, (void)own_sight, (void)operate, (void)who;
    abort();
}

#endif
