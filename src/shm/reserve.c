#include "shm/reserve.h"

#include "base/fd.h"
#include "base/fork_lock.h"
#include "base/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

struct known {
    struct brood__header *header;
    int fd;        /* -1: no handle has it any more */
    bool stays;    /* mapped, for the next one to attach */
    pid_t process; /* elsewhere the number may be another file's */
    dev_t device;
    ino_t inode;
    struct known *next;
};

static struct brood__fork_lock lock = BROOD__FORK_LOCK_INIT;
static struct known *list;

static void unlock_in_child(void)
{
    brood__fork_lock_reset(&lock);
}

static void __attribute__((constructor)) install(void)
{
    (void)pthread_atfork(NULL, NULL, unlock_in_child);
}

/*
 * What the machine could still give, swap included. A memfd has no limit of its own: the
 * kernel would rather kill processes than refuse.
 */
static uint64_t memory_available(void)
{
    char text[4096];
    const char *line;
    uint64_t kib = 0;
    ssize_t n;

    if (brood__read_file("/proc/meminfo", text, sizeof text, &n) < 0)
        return UINT64_MAX;
    line = strstr(text, "MemAvailable:");
    if (line == NULL)
        return UINT64_MAX;
    kib = strtoull(line + strlen("MemAvailable:"), NULL, 10);
    line = strstr(text, "SwapFree:");
    if (line != NULL)
        kib += strtoull(line + strlen("SwapFree:"), NULL, 10);
    return kib * 1024;
}

/* Small amounts are not worth the look. */
#define SMALL_BYTES (16u << 20)

static int check_memory(uint64_t bytes)
{
    return bytes > SMALL_BYTES && bytes > memory_available() ? -ENOSPC : 0;
}

int brood__reserve_file(int fd, uint64_t bytes)
{
    struct stat status;
    uint64_t have;
    int r;

    if (fstat(fd, &status) < 0)
        return -errno;
    have = (uint64_t)status.st_blocks * 512;
    r = check_memory(bytes > have ? bytes - have : 0);
    if (r < 0)
        return r;
    do
        r = posix_fallocate(fd, 0, (off_t)bytes);
    while (r == EINTR);
    return -r;
}

int brood__reserve_know(struct brood__header *header, int fd)
{
    struct known *known = calloc(1, sizeof *known);
    struct stat status;

    if (known == NULL || fstat(fd, &status) < 0) {
        int r = known == NULL ? -ENOMEM : -errno;

        free(known);
        return r;
    }
    known->header = header;
    known->fd = fd;
    known->process = brood__process_id();
    known->device = status.st_dev;
    known->inode = status.st_ino;
    brood__fork_lock(&lock);
    known->next = list;
    list = known;
    brood__fork_unlock(&lock);
    return 0;
}

static struct known **find(const struct brood__header *header)
{
    struct known **at = &list;

    while (*at != NULL && (*at)->header != header)
        at = &(*at)->next;
    return at;
}

bool brood__reserve_forget(struct brood__header *header)
{
    struct known *known;
    bool others = false;

    brood__fork_lock(&lock);
    known = *find(header);
    assert(known != NULL);
    for (struct known *k = list; k != NULL; k = k->next)
        others |=
            k != known && k->fd >= 0 && k->device == known->device && k->inode == known->inode;
    known->fd = -1;
    brood__fork_unlock(&lock);
    return others;
}

void brood__reserve_keep(struct brood__header *header, bool stays)
{
    struct known **at, *gone = NULL;

    brood__fork_lock(&lock);
    at = find(header);
    if (stays) {
        (*at)->fd = -1;
        (*at)->stays = true;
    } else {
        gone = *at;
        *at = gone->next;
    }
    brood__fork_unlock(&lock);
    free(gone);
}

struct brood__header *brood__reserve_again(int fd)
{
    struct brood__header *header = NULL;
    struct stat status;

    if (fstat(fd, &status) < 0)
        return NULL;
    brood__fork_lock(&lock);
    for (struct known *k = list; k != NULL && header == NULL; k = k->next)
        if (k->stays && k->device == status.st_dev && k->inode == status.st_ino) {
            k->stays = false;
            k->fd = fd;
            k->process = brood__process_id();
            header = k->header;
        }
    brood__fork_unlock(&lock);
    return header;
}

static int known_fd(const struct brood__header *header)
{
    int fd = -1;

    brood__fork_lock(&lock);
    for (struct known *k = list; k != NULL; k = k->next)
        if (k->header == header && k->process == brood__process_id())
            fd = k->fd;
    brood__fork_unlock(&lock);
    return fd;
}

int brood__reserve(struct brood__header *header, uint64_t from, uint64_t to)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    int fd = known_fd(header);
    int r;

    if (fd >= 0)
        return brood__reserve_file(fd, to) == 0 ? 0 : -ENOSPC;
    r = check_memory(to - from);
    if (r < 0)
        return r;
    from -= from % page;
    do
        r = madvise((char *)header + from, (size_t)(to - from), MADV_POPULATE_WRITE);
    while (r < 0 && (errno == EINTR || errno == EAGAIN));
    return r == 0 ? 0 : -ENOSPC; /* on older kernels only who has the descriptor can grow it */
}
