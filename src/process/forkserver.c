/*
 * The forkserver: starts children for the program, from an image as small as the program
 * was when the guardian started.
 *
 *     event               then
 *     request             fork a child, answer with its pidfd
 *     child ended         reap it, enter its end in the table
 *     guardian died       end the children and enter their ends; then guard the program
 *                           alone until it has new helpers, or sweep when it dies; exit
 *     program died        end the children, sweep its daemon children, exit
 *
 * Killed itself: its children are killed by the kernel, the guardian does the rest.
 */
#include "process/guardian.h"

#include <brood/guardian.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "process/current.h"
#include "process/environment.h"
#include "process/launch.h"
#include "process/registry.h"
#include "process/setup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* One request as it was received. */
struct request {
    struct brood__say say;
    struct brood__launch *launch;
    int fds[BROOD__FDS_MAX];
    size_t fd_count;
};

/* ---- the child ---- */

/* Where the child's stdio and named descriptors come from: sent in this order. */
static int find_sources(const struct request *q, struct brood__setup *setup)
{
    size_t next = 0;

    for (int i = 0; i < 3; i++) {
        if (q->launch->stdio[i] <= 0)
            continue;
        if (next == q->fd_count)
            return -EBADMSG;
        setup->stdio[i] = q->fds[next++];
    }
    if (q->fd_count - next != q->launch->descriptors.count)
        return -EBADMSG;
    setup->descriptors = q->fds + next;
    return 0;
}

/* The program's pidfd, for a child that cannot find its parent by number, out of the way of
 * the numbers it wants its descriptors under. */
static int keep_program(const struct brood__kit *kit, const struct brood__launch *launch)
{
    const int *named = brood__launch_ints(launch, &launch->descriptors);
    int above = 3;

    for (size_t i = 0; i < launch->descriptors.count; i++)
        if (named[i] >= above)
            above = named[i] + 1;
    return brood__fd_duplicate(kit->program, above);
}

static int prepare_child(struct brood__kit *kit, const struct request *q)
{
    char *entry = malloc(BROOD__MARK_ENTRY_BYTES); /* lives as long as the child */
    char *entries[] = { entry, NULL };
    struct brood__setup setup = brood__setup_own(q->launch);
    char **environment;
    int r = entry == NULL ? -ENOMEM : find_sources(q, &setup);

    if (r == 0)
        r = brood__launch_resolve(q->launch);
    if (r == 0)
        r = brood__mark_map(&kit->mark, q->launch->mark_index);
    if (r < 0)
        return r;
    brood__mark_entry(&kit->mark, q->launch->mark_index, entry);
    environment = brood__environment(q->launch, entries);
    if (environment == NULL)
        return -ENOMEM;
    environ = environment;
    if (kit->tier == BROOD_TIER_C) {
        kit->program = setup.keep = keep_program(kit, q->launch);
        if (setup.keep < 0)
            return setup.keep;
    }
    return brood__setup_apply(&setup);
}

static _Noreturn void child_main(struct brood__kit *kit, struct request *q, pid_t server)
{
    struct guard_slot *slot = &kit->table->slots[q->say.slot];
    const uint64_t requested = guard_word(0, q->say.generation, SLOT_REQUESTED);
    sigset_t none;
    int r;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != server)
        _exit(127);
    r = prepare_child(kit, q);
    if (r < 0) {
        slot->error = r;
        (void)brood__guard_slot_move(slot, requested, 0, SLOT_FAILED);
        _exit(127);
    }
    if (!brood__guard_slot_move(slot, requested, (int32_t)getpid(), SLOT_BORN))
        _exit(127);
    (void)munmap(kit->table, sizeof *kit->table);
    brood__current_enter(q->launch, kit->tier == BROOD_TIER_C ? kit->program : -1);
    brood__setup_default_signals();
    (void)prctl(PR_SET_NAME, q->launch->name, 0, 0, 0);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    brood__child_run(q->launch, -1, false);
}

/* ---- requests ---- */

static int answer(const struct brood__kit *kit, const struct brood__say *request, uint32_t what,
                  int error, int pidfd)
{
    struct brood__say say = *request;

    say.what = what;
    say.error = error;
    return brood__send(kit->socket, &say, sizeof say, &pidfd, pidfd >= 0 ? 1 : 0, 0);
}

static void serve(struct brood__kit *kit, struct request *q)
{
    struct guard_slot *slot = &kit->table->slots[q->say.slot];
    pid_t server = getpid(), pid;
    int pidfd, r;

    /* A request that the program has sent again, or given up, is not for us any more. */
    if (atomic_load(&slot->word) != guard_word(0, q->say.generation, SLOT_REQUESTED))
        return;
    pid = brood__fork(true);
    if (pid == 0)
        child_main(kit, q, server);
    pidfd = pid < 0 ? pid : brood__pidfd_open(pid);
    r = pidfd < 0 ? pidfd : answer(kit, &q->say, SAY_STARTED, 0, pidfd);
    if (r < 0) {
        if (pid > 0)
            (void)kill(pid, SIGKILL); /* ours, and not reaped yet */
        (void)answer(kit, &q->say, SAY_FAILED, r, -1);
    }
    brood__fd_close(&pidfd);
}

/* Takes the launch out of the message, or out of the file sent with it. */
static int take_launch(struct request *q, const char *bytes, size_t byte_count)
{
    size_t size = q->say.launch_bytes;
    void *memory;

    if (!q->say.in_file) {
        if (size != byte_count)
            return -EBADMSG;
        q->launch = malloc(size);
        if (q->launch == NULL)
            return -ENOMEM;
        memcpy(q->launch, bytes, size);
    } else {
        if (q->fd_count == 0)
            return -EBADMSG;
        memory =
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, q->fds[q->fd_count - 1], 0);
        (void)close(q->fds[--q->fd_count]);
        if (memory == MAP_FAILED)
            return -errno;
        q->launch = memory;
    }
    return brood__launch_is_sound(q->launch, size) ? 0 : -EBADMSG;
}

static void drop_request(struct request *q)
{
    if (q->launch != NULL && q->say.in_file)
        (void)munmap(q->launch, q->say.launch_bytes);
    else
        free(q->launch);
    for (size_t i = 0; i < q->fd_count; i++)
        (void)close(q->fds[i]);
}

/* Receives and serves one request. */
static void take_request(struct brood__kit *kit)
{
    char message[sizeof(struct brood__say) + BROOD__INLINE_BYTES_MAX];
    struct request q = { .launch = NULL };
    ssize_t n = brood__receive(kit->socket, message, sizeof message, q.fds, BROOD__FDS_MAX,
                               &q.fd_count, MSG_DONTWAIT);
    int r;

    if (n != -EMFILE && n < (ssize_t)sizeof q.say)
        return;
    memcpy(&q.say, message, sizeof q.say);
    if (n == -EMFILE) { /* the words came, the descriptors did not */
        (void)answer(kit, &q.say, SAY_FAILED, -EMFILE, -1);
        return;
    }
    if (q.say.what == SAY_REQUEST && q.say.slot < GUARD_SLOT_COUNT) {
        r = take_launch(&q, message + sizeof q.say, (size_t)n - sizeof q.say);
        if (r == 0)
            serve(kit, &q);
        else
            (void)answer(kit, &q.say, SAY_FAILED, r, -1);
    }
    drop_request(&q);
}

/* ---- the end ---- */

/* The program is gone: the guardian, if there is one, does the same. */
static _Noreturn void finish(struct brood__kit *kit)
{
    brood__helper_end_children(kit, true);
    if (brood__helper_is_abandoned(kit))
        _exit(0);
    brood__helper_sweep(kit);
    if (!brood__pidfd_alive(kit->guardian)) /* ends us as well */
        (void)brood__cgroup_kill(&kit->cgroup, BROOD__CGROUP_ALL, BROOD__NEVER);
    _exit(0);
}

/* Takes one message while guarding alone. True: the program has new helpers, and says so.
 * *ret_over: its end is closed, as it is when the program dies, a moment before its pidfd says
 * that, or executes something. */
static bool is_released(const struct brood__kit *kit, bool *ret_over)
{
    char message[sizeof(struct brood__say) + BROOD__INLINE_BYTES_MAX];
    struct brood__say say = { .what = 0 };
    int fds[BROOD__FDS_MAX];
    size_t count;
    ssize_t n = brood__receive(kit->socket, message, sizeof message, fds, BROOD__FDS_MAX,
                               &count, MSG_DONTWAIT);

    for (size_t i = 0; i < count; i++) /* of a request that came too late */
        (void)close(fds[i]);
    *ret_over = n == 0 || n == -ECONNRESET;
    if (n >= (ssize_t)sizeof say)
        memcpy(&say, message, sizeof say);
    return say.what == SAY_RELEASE;
}

/* The guardian is gone. */
static _Noreturn void guard_alone(struct brood__kit *kit)
{
    struct pollfd entries[2] = { { .fd = kit->program, .events = POLLIN },
                                 { .fd = kit->socket, .events = POLLIN } };
    bool over = false;

    brood__helper_end_children(kit, true);
    (void)atomic_fetch_add(&kit->table->epoch, 1);
    while (!over) {
        (void)poll(entries, 2, -1);
        if (entries[1].revents != 0 && is_released(kit, &over))
            _exit(0);
        over |= entries[0].revents != 0;
    }
    finish(kit);
}

_Noreturn void brood__forkserver_main(struct brood__kit *kit)
{
    int signals, self;

    brood__helper_enter(kit, "brood-forkserver");
    signals = brood__helper_signals();
    self = brood__pidfd_open(getpid());
    if (signals < 0 || self < 0)
        _exit(1);
    if (kit->cgroup.forkserver >= 0)
        (void)brood__cgroup_join(kit->cgroup.forkserver);
    brood__helper_say_hello(kit, SAY_FORKSERVER, self, 0);
    brood__fd_close(&self);

    for (;;) {
        struct pollfd entries[4] = { { .fd = kit->program, .events = POLLIN },
                                     { .fd = kit->guardian, .events = POLLIN },
                                     { .fd = signals, .events = POLLIN },
                                     { .fd = kit->socket, .events = POLLIN } };

        (void)poll(entries, 4, -1);
        if (entries[0].revents != 0)
            finish(kit);
        /* Looked at anew: when the guardian is dead, a shut socket means a successor. */
        if (!brood__pidfd_alive(kit->guardian))
            guard_alone(kit);
        if ((entries[3].revents & POLLHUP) != 0)
            finish(kit);
        if (entries[2].revents != 0)
            brood__helper_take_signals(kit, signals);
        if (entries[3].revents != 0)
            take_request(kit);
    }
}
