/* The public face of segments: checks what is asked, and passes it on. */
#include "base/fd.h"
#include "base/options.h"
#include "base/stamp.h"
#include "shm/heap.h"
#include "shm/presence.h"
#include "shm/segment.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define OPTIONS_BYTES_FIRST sizeof(brood_shared_options) /* of the first version */
#define INFO_BYTES_FIRST sizeof(brood_shared_info)

#define BYTES_DEFAULT (256u * 1024)
#define BYTES_MAX_DEFAULT (UINT64_C(1) << 30)
#define BYTES_MAX_LIMIT (UINT64_C(1) << 44)
#define MEMBERS_DEFAULT 512
#define MEMBERS_LIMIT 32768
#define HEAP_BYTES_MIN 4096
#define FLAGS (BROOD_SHARED_HUGE_PAGES | BROOD_SHARED_HUGETLB | BROOD_SHARED_ANY_OWNER)

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static int check_name(const char *name)
{
    char path[BROOD__PATH_BYTES];

    return name == NULL ? 0 : brood__name_path(name, path);
}

static int default_bytes_max(brood_shared_options *o, uint64_t unit)
{
    struct rlimit limit;

    if (o->bytes_max == 0) {
        o->bytes_max = o->bytes > BYTES_MAX_DEFAULT ? o->bytes : BYTES_MAX_DEFAULT;
        /* A file longer than the limit would mean SIGXFSZ. */
        if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < o->bytes_max &&
            limit.rlim_cur >= o->bytes)
            o->bytes_max = limit.rlim_cur / unit * unit;
    }
    o->bytes_max = round_up(o->bytes_max, unit);
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && o->bytes_max > limit.rlim_cur)
        return -EFBIG;
    return 0;
}

static int complete(brood_shared_options *o)
{
    uint64_t unit = (o->flags & BROOD_SHARED_HUGETLB) != 0 ? 2u << 20 : 4096;
    uint64_t fixed;
    int r = check_name(o->name);

    if (r < 0)
        return r;
    if ((o->flags & ~FLAGS) != 0 || (o->mode & ~0777u) != 0 || o->members_max > MEMBERS_LIMIT ||
        o->bytes > BYTES_MAX_LIMIT || o->bytes_max > BYTES_MAX_LIMIT ||
        (o->name != NULL && (o->flags & BROOD_SHARED_HUGETLB) != 0))
        return -EINVAL;
    if (o->members_max == 0)
        o->members_max = MEMBERS_DEFAULT;
    if (o->mode == 0)
        o->mode = 0600;
    fixed = sizeof(struct brood__header) + BROOD__LINE +
            o->members_max * sizeof(struct brood__slot);
    if (o->bytes == 0) {
        o->bytes = round_up(fixed, 4096) + BYTES_DEFAULT - 16 * 4096;
        if (o->bytes_max != 0 && o->bytes > o->bytes_max)
            o->bytes = o->bytes_max;
    }
    o->bytes = round_up(o->bytes, unit);
    if (o->bytes < fixed + HEAP_BYTES_MIN)
        return -EINVAL;
    r = default_bytes_max(o, unit);
    if (r == 0 && o->bytes > o->bytes_max)
        r = -EINVAL;
    return r;
}

int brood_shared_create(const brood_shared_options *options, brood_shared **ret_shared)
{
    brood_shared_options o;
    int r;

    if (ret_shared == NULL)
        return -EINVAL;
    r = brood__options_read(&o, sizeof o, OPTIONS_BYTES_FIRST, options);
    if (r == 0)
        r = complete(&o);
    if (r == 0)
        r = brood__segment_create(&o, ret_shared);
    return r;
}

int brood_shared_attach(const brood_shared_options *options, brood_shared **ret_shared)
{
    brood_shared_options o;
    struct stat status;
    int fd, r;

    if (ret_shared == NULL || options == NULL)
        return -EINVAL;
    r = brood__options_read(&o, sizeof o, OPTIONS_BYTES_FIRST, options);
    if (r == 0 && (o.name == NULL || (o.flags & ~FLAGS) != 0))
        r = -EINVAL;
    if (r < 0)
        return r;
    fd = brood__name_open(o.name, (o.flags & BROOD_SHARED_ANY_OWNER) != 0);
    if (fd < 0)
        return fd;
    r = brood__name_hold(fd);
    if (r == 0 && (fstat(fd, &status) < 0 || status.st_nlink == 0))
        r = -ENOENT; /* cleaned or unlinked since it was opened */
    if (r < 0) {
        brood__fd_close(&fd);
        return r;
    }
    return brood__segment_attach(fd, o.name, o.layout, ret_shared);
}

int brood_shared_attach_fd(int fd, const brood_shared_options *options,
                           brood_shared **ret_shared)
{
    brood_shared_options o;
    int copy, r;

    if (ret_shared == NULL)
        return -EINVAL;
    r = brood__options_read(&o, sizeof o, OPTIONS_BYTES_FIRST, options);
    if (r == 0 && (o.flags & ~FLAGS) != 0)
        r = -EINVAL;
    if (r < 0)
        return r;
    if (fd < 0)
        return -EBADF;
    copy = brood__fd_duplicate(fd, 3);
    return copy < 0 ? copy : brood__segment_attach(copy, NULL, o.layout, ret_shared);
}

int brood_shared_fd(const brood_shared *shared)
{
    if (shared == NULL)
        return -EINVAL;
    return shared->process == brood__process_id() ? shared->fd : -ECHILD;
}

int brood_shared_info_get(brood_shared *shared, brood_shared_info *ret_info)
{
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    struct brood__header *header;
    int r = 0;

    if (shared == NULL)
        r = brood_shared_common(&shared);
    if (r < 0)
        return r;
    header = shared->header;
    memcpy(info.name, shared->name, sizeof info.name);
    info.layout = header->layout;
    info.members_max = header->members_max;
    for (uint32_t i = 0; i < brood__slots_used(header); i++)
        if (brood__slot_alive(header, i))
            info.members++;
    info.owner = shared->owner;
    info.bytes = atomic_load_explicit(&header->bytes, memory_order_relaxed);
    info.bytes_max = header->bytes_max;
    info.used_bytes = atomic_load_explicit(&header->heap.used_bytes, memory_order_relaxed);
    info.created = header->created;
    info.in_use = 1;
    return brood__result_write(ret_info, INFO_BYTES_FIRST, &info, sizeof info);
}

int brood_shared_grow(brood_shared *shared, size_t bytes)
{
    struct brood__header *header;
    int r = brood__segment_of(shared, &header);

    return r == 0 ? brood__heap_grow(header, bytes) : r;
}

int brood_shared_alloc(brood_shared *shared, size_t bytes, uint32_t flags, void **ret_pointer)
{
    struct brood__header *header;
    void *pointer = NULL;
    int r;

    if (ret_pointer == NULL || (flags & ~(BROOD_ALLOC_ZERO | BROOD_ALLOC_OWNED)) != 0)
        return -EINVAL;
    r = brood__segment_of(shared, &header);
    if (r == 0)
        r = brood__heap_alloc(header, bytes, false, &pointer);
    if (r < 0)
        return r;
    if ((flags & BROOD_ALLOC_ZERO) != 0)
        memset(pointer, 0, bytes);
    if ((flags & BROOD_ALLOC_OWNED) == 0)
        (void)brood__heap_keep(header, pointer);
    *ret_pointer = pointer;
    return 0;
}

int brood_shared_free(brood_shared *shared, void *pointer)
{
    struct brood__header *header;
    int r;

    if (pointer == NULL)
        return 0;
    r = brood__segment_of(shared, &header);
    return r == 0 ? brood__heap_free(header, pointer) : r;
}

int brood_shared_keep(brood_shared *shared, void *pointer)
{
    struct brood__header *header;
    int r = pointer == NULL ? -EINVAL : brood__segment_of(shared, &header);

    return r == 0 ? brood__heap_keep(header, pointer) : r;
}

int brood_shared_reclaim(brood_shared *shared)
{
    struct brood__header *header;
    int r = brood__segment_of(shared, &header);

    return r == 0 ? brood__heap_reclaim(header) : r;
}

/* The header without entering the segment: to ask about places nobody need be known. */
static struct brood__header *header_of(brood_shared *shared)
{
    if (shared == NULL && brood_shared_common(&shared) < 0)
        return NULL;
    return shared->header;
}

uint64_t brood_shared_place(brood_shared *shared, const void *pointer)
{
    struct brood__header *header = header_of(shared);
    uintptr_t from = (uintptr_t)header, to = (uintptr_t)pointer;

    if (header == NULL || to < from || to - from >= header->bytes_max ||
        to - from < header->heap_start)
        return 0;
    return to - from;
}

void *brood_shared_at(brood_shared *shared, uint64_t place)
{
    struct brood__header *header = header_of(shared);

    if (header == NULL || place < header->heap_start ||
        place >= atomic_load_explicit(&header->bytes, memory_order_acquire))
        return NULL;
    return (char *)header + place;
}

int brood_shared_set_root(brood_shared *shared, uint64_t place)
{
    struct brood__header *header = header_of(shared);

    if (header == NULL || (place != 0 && brood_shared_at(shared, place) == NULL))
        return -EINVAL;
    atomic_store_explicit(&header->root, place, memory_order_release);
    return 0;
}

uint64_t brood_shared_root(brood_shared *shared)
{
    struct brood__header *header = header_of(shared);

    return header == NULL ? 0 : atomic_load_explicit(&header->root, memory_order_acquire);
}
