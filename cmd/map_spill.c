/*
 * The spill file: created at first need in $TMPDIR or /tmp.
 */
#include "map_spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int spill_open(void)
{
    const char *directory = getenv("TMPDIR");
    char path[4096];
    int fd, length;

    if (directory == NULL || *directory == '\0')
        directory = "/tmp";
    fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    /* Some file systems cannot make a file without a name: it has one for a moment. */
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return -errno;
    length = snprintf(path, sizeof path, "%s/brood-map.XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof path)
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    (void)unlink(path);
    return fd;
}

int spill_write(struct spill *spill, const void *bytes, size_t length, uint64_t *ret_offset)
{
    const char *at = bytes;
    size_t done = 0;

    if (spill->fd < 0) {
        int fd = spill_open();

        if (fd < 0)
            return fd;
        spill->fd = fd;
    }
    while (done < length) {
        ssize_t put = pwrite(spill->fd, at + done, length - done, (off_t)(spill->tail + done));

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -ENOSPC;
        done += (size_t)put;
    }
    *ret_offset = spill->tail;
    spill->tail += length;
    spill->live_bytes += length;
    return 0;
}

int spill_read(const struct spill *spill, uint64_t offset, void *bytes, size_t length)
{
    char *at = bytes;

    while (length > 0) {
        ssize_t got = pread(spill->fd, at, length, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        at += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return 0;
}

void spill_release(struct spill *spill, uint64_t offset, uint64_t length)
{
    if (length == 0)
        return;
    spill->live_bytes -= length;
    if (spill->live_bytes == 0) {
        /* Giving space back is a kindness: where it fails the file is only larger. */
        if (ftruncate(spill->fd, 0) == 0)
            spill->tail = 0;
        return;
    }
    (void)fallocate(spill->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                    (off_t)length);
}

void spill_close(struct spill *spill)
{
    if (spill->fd >= 0)
        (void)close(spill->fd);
    spill->fd = -1;
}
