#include "shm/segment.h"

#include "base/fd.h"
#include "base/fork_lock.h"
#include "base/stamp.h"
#include "shm/heap.h"
#include "shm/presence.h"
#include "shm/reserve.h"
#include "shm/robust.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Which C library a segment's mutexes are of; musl has no macro that says its name. */
#ifdef __GLIBC__
#define FLAVOUR_LIBC 1u
#else
#define FLAVOUR_LIBC 2u
#endif
#define FLAVOUR (FLAVOUR_LIBC | (uint32_t)sizeof(pthread_mutex_t) << 8)

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static int make_file(const brood_shared_options *o)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd;

    if (o->name != NULL)
        return brood__name_prepare(o->mode);
    if ((o->flags & BROOD_SHARED_HUGETLB) != 0)
        flags |= MFD_HUGETLB;
    fd = memfd_create("brood", flags);
    return fd < 0 ? -errno : brood__fd_above_stdio(fd);
}

/* Hints: that they cannot be taken is no failure. */
static void give_hints(const brood_shared_options *o, void *memory, size_t bytes)
{
    unsigned long nodes = (unsigned long)o->numa_nodes;

    if ((o->flags & BROOD_SHARED_HUGE_PAGES) != 0)
        (void)madvise(memory, bytes, MADV_HUGEPAGE);
    if (nodes != 0)
        (void)syscall(SYS_mbind, memory, bytes, MPOL_INTERLEAVE, &nodes, sizeof nodes * 8, 0);
}

static int lay_out(struct brood__header *header, const brood_shared_options *o)
{
    struct timespec now;
    int r;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    header->version = BROOD__SHM_VERSION;
    header->flavour = FLAVOUR;
    header->layout = o->layout;
    header->members_max = o->members_max;
    header->bytes_max = o->bytes_max;
    header->slots = round_up(sizeof *header, BROOD__LINE);
    header->heap_start = header->slots + o->members_max * sizeof(struct brood__slot);
    header->pid_namespace = brood__pid_namespace();
    header->created = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    atomic_init(&header->bytes, o->bytes);
    r = brood__presence_init(header);
    if (r == 0)
        r = brood__heap_init(header);
    if (r == 0)
        header->magic = BROOD__SHM_MAGIC;
    return r;
}

static void *map(int fd, uint64_t bytes_max)
{
    return mmap(NULL, (size_t)bytes_max, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                0);
}

/* Wraps a mapping, new or had again, in a handle; takes over both `fd` and the mapping, on
 * failure too. */
static int wrap(int fd, struct brood__header *header, bool again, const char *name,
                brood_shared **ret)
{
    brood_shared *shared = calloc(1, sizeof *shared);
    struct stat status;
    int r = shared == NULL ? -ENOMEM : 0;

    if (r == 0 && !again)
        r = brood__reserve_know(header, fd);
    if (r < 0) {
        if (again)
            brood__reserve_keep(header, true);
        else
            (void)munmap(header, (size_t)header->bytes_max);
        brood__fd_close(&fd);
        free(shared);
        return r;
    }
    shared->header = header;
    shared->fd = fd;
    shared->process = brood__process_id();
    shared->owner = fstat(fd, &status) == 0 ? status.st_uid : 0;
    if (name != NULL)
        strcpy(shared->name, name + (name[0] == '/'));
    *ret = shared;
    return 0;
}

int brood__segment_create(const brood_shared_options *o, brood_shared **ret_shared)
{
    struct brood__header *header = MAP_FAILED;
    brood_shared *shared = NULL;
    int fd, r;

    fd = make_file(o);
    if (fd < 0)
        return fd;
    /* The whole length at once: then nothing need be mapped anew when it grows, and the file
     * can be sealed against those who would cut it off under the others. */
    r = ftruncate(fd, (off_t)o->bytes_max) < 0 ? -errno : 0;
    if (r == 0)
        r = brood__reserve_file(fd, o->bytes);
    if (r == 0 && o->name == NULL)
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    if (r == 0) {
        header = map(fd, o->bytes_max);
        r = header == MAP_FAILED ? -errno : 0;
    }
    if (r == 0) {
        give_hints(o, header, (size_t)o->bytes_max);
        r = lay_out(header, o);
    }
    if (r < 0) {
        if (header != MAP_FAILED)
            (void)munmap(header, (size_t)o->bytes_max);
        brood__fd_close(&fd);
        return r;
    }
    r = wrap(fd, header, false, o->name, &shared);
    if (r == 0 && o->name != NULL) {
        r = brood__name_hold(fd);
        if (r == 0)
            r = brood__name_publish(fd, o->name);
        if (r < 0)
            brood_shared_detach(shared);
    }
    if (r == 0)
        *ret_shared = shared;
    return r;
}

/* ---- attaching ---- */

/* Reads the header of a file that may be anything, and made by anyone. */
static int read_header(int fd, struct brood__header *ret)
{
    struct stat status;
    uint64_t slots_end;
    ssize_t n;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EBADMSG;
    do
        n = pread(fd, ret, sizeof *ret, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n != (ssize_t)sizeof *ret || ret->magic != BROOD__SHM_MAGIC)
        return -EBADMSG;
    if (ret->version != BROOD__SHM_VERSION || ret->flavour != FLAVOUR)
        return -EPROTO;
    slots_end = ret->slots + (uint64_t)ret->members_max * sizeof(struct brood__slot);
    if (ret->bytes_max != (uint64_t)status.st_size || ret->bytes > ret->bytes_max ||
        ret->members_max == 0 || ret->members_max > 32768 || ret->slots < sizeof *ret ||
        ret->slots % BROOD__LINE != 0 || ret->slots > ret->bytes_max ||
        ret->heap_start != slots_end || ret->heap_start > ret->bytes ||
        ret->slots_used > ret->members_max)
        return -EBADMSG;
    return 0;
}

bool brood__segment_has_members(int fd)
{
    struct brood__header header;
    struct brood__slot slot;

    if (read_header(fd, &header) < 0)
        return false;
    for (uint32_t i = 0; i < header.slots_used; i++) {
        off_t place = (off_t)(header.slots + i * sizeof slot);

        if (pread(fd, &slot, sizeof slot, place) == (ssize_t)sizeof slot &&
            brood__robust_owner(&slot.life) != 0)
            return true;
    }
    return false;
}

int brood__segment_peek(int fd, brood_shared_info *ret_info)
{
    struct brood__header header;
    int r = read_header(fd, &header);

    if (r < 0)
        return r;
    ret_info->layout = header.layout;
    ret_info->members_max = header.members_max;
    ret_info->bytes = header.bytes;
    ret_info->bytes_max = header.bytes_max;
    ret_info->used_bytes = header.heap.used_bytes;
    ret_info->created = header.created;
    return 0;
}

int brood__segment_attach(int fd, const char *name, uint32_t layout, brood_shared **ret_shared)
{
    struct brood__header header, *mapped;
    int r = read_header(fd, &header);

    if (r == 0 && layout != 0 && layout != header.layout)
        r = -EPROTO;
    if (r == 0 && header.pid_namespace != brood__pid_namespace())
        r = -EXDEV;
    if (r == 0 && (mapped = brood__reserve_again(fd)) != NULL)
        return wrap(fd, mapped, true, name, ret_shared);
    if (r == 0) {
        mapped = map(fd, header.bytes_max);
        r = mapped == MAP_FAILED ? -errno : 0;
    }
    if (r < 0) {
        brood__fd_close(&fd);
        return r;
    }
    return wrap(fd, mapped, false, name, ret_shared);
}

/* ---- the common segment ---- */

static struct brood__fork_lock common_lock = BROOD__FORK_LOCK_INIT;
static brood_shared *_Atomic common;

static void unlock_in_child(void)
{
    brood__fork_lock_reset(&common_lock);
}

static void __attribute__((constructor)) install(void)
{
    (void)pthread_atfork(NULL, NULL, unlock_in_child);
}

int brood_shared_common(brood_shared **ret_shared)
{
    brood_shared *shared = atomic_load_explicit(&common, memory_order_acquire);
    int r = 0;

    if (ret_shared == NULL)
        return -EINVAL;
    if (shared == NULL) {
        brood__fork_lock(&common_lock);
        shared = atomic_load_explicit(&common, memory_order_relaxed);
        if (shared == NULL) {
            r = brood_shared_create(NULL, &shared);
            if (r == 0)
                atomic_store_explicit(&common, shared, memory_order_release);
        }
        brood__fork_unlock(&common_lock);
    }
    if (r == 0)
        *ret_shared = shared;
    return r;
}

int brood__segment_of(brood_shared *shared, struct brood__header **ret_header)
{
    int r = shared == NULL ? brood_shared_common(&shared) : 0;

    if (r == 0)
        r = brood__enter(shared->header);
    if (r == 0)
        *ret_header = shared->header;
    return r;
}

void brood_shared_detach(brood_shared *shared)
{
    size_t bytes;
    bool stays;

    if (shared == NULL || shared == atomic_load_explicit(&common, memory_order_acquire))
        return;
    stays = brood__reserve_forget(shared->header) || !brood__leave(shared->header);
    bytes = (size_t)shared->header->bytes_max;
    brood__reserve_keep(shared->header, stays);
    if (!stays)
        (void)munmap(shared->header, bytes);
    if (shared->process == brood__process_id())
        brood__fd_close(&shared->fd); /* elsewhere the number may be another's */
    free(shared);
}
