/* Asking the forkserver for children, and what became of them. */
#include "process/guard_state.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "process/registry.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SLICE_NS ((int64_t)50000000) /* between looks at the epoch while waiting */
#define TRIES_MAX 8

/* ---- slots ---- */

static int slot_take(uint32_t *ret_slot)
{
    uint32_t used;
    int r = 0;

    brood__registry_lock();
    used = atomic_load(&brood__guard.table->slots_used);
    if (brood__guard.free_count > 0)
        *ret_slot = brood__guard.free_slots[--brood__guard.free_count];
    else if (used < GUARD_SLOT_COUNT)
        atomic_store(&brood__guard.table->slots_used, (*ret_slot = used) + 1);
    else
        r = -EAGAIN;
    brood__registry_unlock();
    return r;
}

/* Starts a slot's next generation, in that state. */
static void slot_renew(struct guard_slot *slot, uint32_t state)
{
    uint32_t generation = guard_word_generation(atomic_load(&slot->word)) + 1;

    atomic_store(&slot->word, guard_word(0, generation, state));
}

void brood__guard_slot_leave(uint32_t slot)
{
    slot_renew(&brood__guard.table->slots[slot], SLOT_FREE);
    brood__guard.free_slots[brood__guard.free_count++] = slot;
}

static void slot_give_up(uint32_t slot)
{
    brood__registry_lock();
    brood__guard_slot_leave(slot);
    brood__registry_unlock();
}

/* ---- requests ---- */

/* Puts a launch that is too long for a message into a file. */
static int launch_file(const struct brood__launch *launch)
{
    const char *bytes = (const char *)launch;
    size_t done = 0;
    int fd = brood__memfd("brood-launch");

    while (fd >= 0 && done < launch->bytes) {
        ssize_t n = write(fd, bytes + done, launch->bytes - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int error = n < 0 ? errno : EIO;

            (void)close(fd);
            return -error;
        }
        done += (size_t)n;
    }
    return fd;
}

static int send_request(const struct brood__launch *l, uint32_t slot)
{
    struct guard_slot *s = &brood__guard.table->slots[slot];
    char *message = brood__guard.message;
    struct brood__say say = { .what = SAY_REQUEST,
                              .slot = slot,
                              .generation = guard_word_generation(atomic_load(&s->word)),
                              .launch_bytes = l->bytes };
    const int *named = brood__launch_ints(l, &l->descriptors);
    int fds[BROOD__FDS_MAX], file = -1, r;
    size_t count = 0, bytes = sizeof say;

    for (int i = 0; i < 3; i++)
        if (l->stdio[i] > 0)
            fds[count++] = l->stdio[i];
    for (size_t i = 0; i < l->descriptors.count; i++)
        fds[count++] = named[i];
    if (l->bytes > BROOD__INLINE_BYTES_MAX) {
        file = launch_file(l);
        if (file < 0)
            return file;
        fds[count++] = file;
        say.in_file = 1;
    } else {
        memcpy(message + sizeof say, l, l->bytes);
        bytes += l->bytes;
    }
    memcpy(message, &say, sizeof say);
    r = brood__send(brood__guard.socket, message, bytes, fds, count, 0);
    brood__fd_close(&file);
    return r == -EPIPE ? -ECONNRESET : r;
}

enum progress { WAITING, DONE, AGAIN };

/* Where a request stands, by its slot. AGAIN: the forkserver died before the child ran. */
static enum progress look_at(struct guard_slot *slot, uint32_t epoch, int pidfd)
{
    bool cannot_change = atomic_load(&brood__guard.table->epoch) != epoch ||
                         (pidfd >= 0 && !brood__pidfd_alive(pidfd));

    if (guard_word_state(atomic_load(&slot->word)) != SLOT_REQUESTED)
        return DONE;
    return cannot_change ? AGAIN : WAITING;
}

/* Waits for the forkserver's answer to this request, with the child's pidfd. */
static int await_answer(uint32_t slot, uint32_t epoch, int *ret_pidfd)
{
    struct guard_slot *s = &brood__guard.table->slots[slot];

    for (;;) {
        struct brood__say say;
        int pidfd = -1, r = brood__guard_receive(&say, &pidfd, brood__now() + SLICE_NS);

        if (r == -EAGAIN && !brood__pidfd_alive(brood__guard.guardian) &&
            !brood__pidfd_alive(brood__guard.forkserver))
            return -ECONNRESET; /* and somebody else holds their end of the socket */
        if (r == -EAGAIN && atomic_load(&brood__guard.table->epoch) == epoch)
            continue;
        if (r == -EAGAIN) /* answered or not, the child is dead */
            return look_at(s, epoch, -1) == DONE ? 0 : -ESTALE;
        if (r < 0)
            return r;
        if (say.what == SAY_GUARDIAN || say.what == SAY_FORKSERVER) {
            r = brood__guard_take_hello(&say, pidfd);
            if (r < 0)
                return r;
            continue;
        }
        if (say.slot != slot ||
            say.generation != guard_word_generation(atomic_load(&s->word))) {
            brood__fd_close(&pidfd); /* an answer to a request given up since */
            continue;
        }
        *ret_pidfd = pidfd < 0 ? -1 : brood__fd_above_stdio(pidfd);
        return say.what == SAY_STARTED ? 0 : say.error < 0 ? say.error : -EAGAIN;
    }
}

/* Waits until the child says that it runs, or why not: a short spin, for that is near. */
static int await_birth(struct guard_slot *slot, uint32_t epoch, int pidfd)
{
    for (int i = 0;; i++) {
        uint64_t seen = atomic_load(&slot->word);

        switch (look_at(slot, epoch, i % 64 == 63 ? pidfd : -1)) {
        case DONE:
            seen = atomic_load(&slot->word);
            return guard_word_state(seen) == SLOT_FAILED ? slot->error : 0;
        case AGAIN: return -ESTALE;
        case WAITING: break;
        }
        if (i >= 200)
            brood__futex_wait(guard_slot_futex(slot), (uint32_t)seen, SLICE_NS / 10);
    }
}

/* One try. -ESTALE: the child, or the forkserver before there was one, is dead, and nothing
 * has run. -ECONNRESET: guardian and forkserver are dead. */
static int request(struct brood__launch *launch, uint32_t slot, int *ret_pidfd)
{
    struct guard_slot *s = &brood__guard.table->slots[slot];
    uint32_t epoch = atomic_load(&brood__guard.table->epoch);
    int r;

    *ret_pidfd = -1;
    slot_renew(s, SLOT_REQUESTED);
    r = send_request(launch, slot);
    if (r == 0)
        r = await_answer(slot, epoch, ret_pidfd);
    if (r == 0)
        r = await_birth(s, epoch, *ret_pidfd);
    if (r < 0)
        brood__fd_close(ret_pidfd);
    return r;
}

/* Repeats a request that was lost with a forkserver, with the next one. */
static int request_until_done(struct brood__launch *launch, uint32_t slot, int *ret_pidfd)
{
    struct guard_slot *s = &brood__guard.table->slots[slot];
    int r = -EAGAIN;

    for (int i = 0; i < TRIES_MAX; i++) {
        uint64_t seen;

        if (!brood__pidfd_alive(brood__guard.guardian)) {
            r = brood__guard_replace_locked();
            if (r < 0)
                return r;
        }
        r = request(launch, slot, ret_pidfd);
        if (r != -ESTALE && r != -ECONNRESET)
            return r;
        /* Born, and dead with both helpers, who would have entered its end. */
        seen = atomic_load(&s->word);
        if (r == -ECONNRESET && guard_word_state(seen) == SLOT_BORN) {
            s->code = 0;
            (void)brood__guard_slot_move(s, seen, guard_word_pid(seen), SLOT_ENDED);
        }
        if (r == -ECONNRESET && guard_word_state(seen) >= SLOT_BORN)
            return guard_word_state(seen) == SLOT_FAILED ? s->error : 0;
    }
    return -EAGAIN;
}

pid_t brood__guard_fork(struct brood__launch *launch, int *ret_pidfd, int *ret_slot)
{
    uint32_t slot = 0;
    pid_t pid;
    int r;

    (void)pthread_mutex_lock(&brood__guard.lock);
    r = brood__guard_start_locked(brood__guard.wanted_tier);
    if (r == 0)
        r = slot_take(&slot);
    if (r < 0) {
        (void)pthread_mutex_unlock(&brood__guard.lock);
        return r;
    }
    r = request_until_done(launch, slot, ret_pidfd);
    pid = guard_word_pid(atomic_load(&brood__guard.table->slots[slot].word));
    if (r == 0 && brood__guard.tier == BROOD_TIER_C) { /* as this namespace sees it */
        pid_t outer = brood__pidfd_pid(*ret_pidfd);

        pid = outer > 0 ? outer : 0; /* it has ended, and nobody can say any more */
    }
    (void)pthread_mutex_unlock(&brood__guard.lock);
    if (r < 0) {
        slot_give_up(slot);
        return r;
    }
    *ret_slot = (int)slot;
    return pid;
}

/* ---- reports ---- */

bool brood__guard_reap(brood_process *process)
{
    struct guard_slot *slot = &brood__guard.table->slots[process->slot];
    struct rusage usage = { 0 };
    siginfo_t info = { 0 };

    if (guard_word_state(atomic_load(&slot->word)) != SLOT_ENDED)
        return false;
    info.si_code = slot->code;
    info.si_status = slot->status;
    usage.ru_utime.tv_sec = (time_t)(slot->user_us / 1000000);
    usage.ru_utime.tv_usec = (suseconds_t)(slot->user_us % 1000000);
    usage.ru_stime.tv_sec = (time_t)(slot->system_us / 1000000);
    usage.ru_stime.tv_usec = (suseconds_t)(slot->system_us % 1000000);
    usage.ru_maxrss = slot->max_rss_kib;
    usage.ru_minflt = slot->minor_faults;
    usage.ru_majflt = slot->major_faults;
    brood__guard_slot_leave((uint32_t)process->slot);
    if (info.si_code == 0) /* its forkserver died between reaping it and saying so */
        brood__child_ended(process, NULL, NULL);
    else
        brood__child_ended(process, &info, &usage);
    return true;
}

void brood__guard_await_report(int slot)
{
    struct guard_slot *s = &brood__guard.table->slots[slot];
    uint64_t seen = atomic_load(&s->word);

    for (int i = 0; i < 200 && guard_word_state(seen) == SLOT_BORN; i++)
        seen = atomic_load(&s->word);
    if (guard_word_state(seen) == SLOT_BORN)
        brood__futex_wait(guard_slot_futex(s), (uint32_t)seen, 2000000);
}
