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
    int fd;
    pid_t process; /* elsewhere the number may be another file's */
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
    struct known *known = malloc(sizeof *known);

    if (known == NULL)
        return -ENOMEM;
    known->header = header;
    known->fd = fd;
    known->process = brood__process_id();
    brood__fork_lock(&lock);
    known->next = list;
    list = known;
    brood__fork_unlock(&lock);
    return 0;
}

void brood__reserve_forget(struct brood__header *header)
{
    struct known *found = NULL;

    brood__fork_lock(&lock);
    for (struct known **at = &list; *at != NULL; at = &(*at)->next)
        if ((*at)->header == header) {
            found = *at;
            *at = found->next;
            break;
        }
    brood__fork_unlock(&lock);
    free(found);
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
    int fd = known_fd(header);
    int r;

    if (fd >= 0)
        return brood__reserve_file(fd, to) == 0 ? 0 : -ENOSPC;
    r = check_memory(to - from);
    if (r < 0)
        return r;
    do
        r = madvise((char *)header + from, (size_t)(to - from), MADV_POPULATE_WRITE);
    while (r < 0 && (errno == EINTR || errno == EAGAIN));
    return r == 0 ? 0 : -ENOSPC; /* on older kernels only who has the descriptor can grow it */
}
