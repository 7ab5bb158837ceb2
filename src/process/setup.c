#include "process/setup.h"

#include "base/fd.h"
#include "base/linux.h"
#include "process/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct brood__setup brood__setup_own(const struct brood__launch *launch)
{
    return (struct brood__setup){
        .launch = launch,
        .stdio = { launch->stdio[0], launch->stdio[1], launch->stdio[2] },
        .descriptors = brood__launch_ints(launch, &launch->descriptors),
        .cgroup = -1,
        .keep = -1,
    };
}

bool brood__setup_can_fail(const struct brood__launch *l)
{
    return l->process_group != 0 || l->nice_increment != 0 || l->cpus.count > 0 ||
           l->stdio[0] != 0 || l->stdio[1] != 0 || l->stdio[2] != 0 ||
           l->descriptors.count > 0 || l->working_directory.count > 0;
}

static int become_leader(int32_t group)
{
    if (group == BROOD_GROUP_NEW)
        return setpgid(0, 0) < 0 ? -errno : 0;
    if (group == BROOD_GROUP_SESSION)
        return setsid() < 0 ? -errno : 0;
    return 0;
}

static int set_nice(int increment)
{
    int now;

    if (increment == 0)
        return 0;
    errno = 0;
    now = getpriority(PRIO_PROCESS, 0);
    if (now == -1 && errno != 0)
        return -errno;
    return setpriority(PRIO_PROCESS, 0, now + increment) < 0 ? -errno : 0;
}

/* This and set_descriptors() have large frames, whose pages a child should only pay for when
 * it needs them. The kernel takes a mask of any length, so build one on the stack rather than
 * allocate. */
__attribute__((noinline)) static int set_cpus(const struct brood__launch *launch)
{
    unsigned long mask[(1 << 16) / (8 * sizeof(unsigned long))];
    const int *cpus = brood__launch_ints(launch, &launch->cpus);
    const unsigned bits = 8 * sizeof mask[0];
    size_t bytes = 0;

    memset(mask, 0, sizeof mask);
    for (size_t i = 0; i < launch->cpus.count; i++) {
        size_t word = (unsigned)cpus[i] / bits;

        mask[word] |= 1ul << ((unsigned)cpus[i] % bits);
        if ((word + 1) * sizeof mask[0] > bytes)
            bytes = (word + 1) * sizeof mask[0];
    }
    return syscall(SYS_sched_setaffinity, 0, bytes, mask) < 0 ? -errno : 0;
}

/* Puts `source` at `target`, open across exec. */
static int place(int source, int target)
{
    if (source == target)
        return fcntl(target, F_SETFD, 0) < 0 ? -errno : 0;
    return dup2(source, target) < 0 ? -errno : 0;
}

static int set_stdio(const int wanted[3])
{
    int source[3];

    /* A source among 0-2 may be overwritten before it is used: bring those to safety. */
    for (int i = 0; i < 3; i++) {
        source[i] = wanted[i];
        if (wanted[i] > 0 && wanted[i] <= 2 && wanted[i] != i) {
            source[i] = brood__fd_duplicate(wanted[i], 3);
            if (source[i] < 0)
                return source[i];
        }
    }
    for (int i = 0; i < 3; i++) {
        int r = 0;

        if (source[i] == BROOD_STDIO_NULL) {
            int null = open("/dev/null", O_RDWR | O_CLOEXEC);

            null = null < 0 ? -errno : brood__fd_above_stdio(null);
            r = null < 0 ? null : place(null, i);
            brood__fd_close(&null);
        } else if (source[i] == BROOD_STDIO_STDOUT) {
            r = place(1, i);
        } else if (source[i] > 0) {
            r = place(source[i], i);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* Brings the named descriptors to their numbers. Those received in a message have any
 * numbers, which may be others' targets, so all are lifted above the targets first. */
__attribute__((noinline)) static int set_descriptors(const struct brood__setup *s)
{
    const int *targets = brood__launch_ints(s->launch, &s->launch->descriptors);
    size_t count = s->launch->descriptors.count;
    int lifted[BROOD__DESCRIPTORS_MAX];
    int above = 3;

    if (s->descriptors == targets) {
        for (size_t i = 0; i < count; i++)
            if (fcntl(targets[i], s->for_exec ? F_SETFD : F_GETFD, 0) < 0)
                return -errno;
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        if (targets[i] >= above)
            above = targets[i] + 1;
    for (size_t i = 0; i < count; i++) {
        lifted[i] = brood__fd_duplicate(s->descriptors[i], above);
        if (lifted[i] < 0)
            return lifted[i];
    }
    for (size_t i = 0; i < count; i++)
        if (dup3(lifted[i], targets[i], O_CLOEXEC) < 0)
            return -errno;
    return 0;
}

/* Closes all from 3 up but the named ones and `keep`. */
static void close_others(const struct brood__setup *s)
{
    const int *named = brood__launch_ints(s->launch, &s->launch->descriptors);
    unsigned from = 3;

    for (;;) {
        unsigned next = UINT_MAX; /* the smallest to keep that is not below `from` */

        if (s->keep >= 0 && (unsigned)s->keep >= from)
            next = (unsigned)s->keep;
        for (size_t i = 0; i < s->launch->descriptors.count; i++)
            if ((unsigned)named[i] >= from && (unsigned)named[i] < next)
                next = (unsigned)named[i];
        if (next == UINT_MAX)
            break;
        if (next > from)
            (void)brood__close_range(from, next - 1);
        from = next + 1;
    }
    (void)brood__close_range(from, UINT_MAX);
}

int brood__setup_apply(const struct brood__setup *s)
{
    const struct brood__launch *l = s->launch;
    const char *directory = brood__launch_directory(l);
    int r = become_leader(l->process_group);

    if (r == 0)
        r = set_nice(l->nice_increment);
    if (r == 0 && l->cpus.count > 0)
        r = set_cpus(l);
    /* The mark holds where joining fails, for instance because a manager of cgroups has
     * removed ours. */
    if (s->cgroup >= 0)
        (void)brood__cgroup_join(s->cgroup);
    if (r == 0)
        r = set_stdio(s->stdio);
    if (r == 0 && l->descriptors.count > 0)
        r = set_descriptors(s);
    if (r == 0 && s->for_exec && s->keep >= 0)
        r = fcntl(s->keep, F_SETFD, 0) < 0 ? -errno : 0;
    if (r == 0 && !(l->flags & BROOD_PROCESS_KEEP_DESCRIPTORS))
        close_others(s);
    if (r == 0 && directory != NULL)
        r = chdir(directory) < 0 ? -errno : 0;
    return r;
}

void brood__setup_default_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };

    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &action, NULL);
}

void brood__setup_exec_signals(void)
{
    /* All of the kernel's struct sigaction is 0 for SIG_DFL, whatever its layout. */
    const unsigned long action[8] = { 0 };

    for (int i = 1; i < NSIG; i++)
        (void)syscall(SYS_rt_sigaction, i, action, NULL, 8);
}
