/*
 * Named segments: files of /dev/shm.
 *
 * A file gets its name when it is complete, so no other process ever sees a half-made
 * segment, and one killed before that leaves nothing. Each process that has it attached
 * keeps a descriptor with a shared flock(), which the kernel gives back however the process
 * ends: a file on which an exclusive one can be had was left behind.
 */
#include "base/fd.h"
#include "base/options.h"
#include "shm/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "/dev/shm"
#define PREFIX "brood."

int brood__name_path(const char *name, char path[BROOD__PATH_BYTES])
{
    size_t length;

    if (name[0] == '/')
        name++;
    length = strlen(name);
    if (length == 0 || length > 200 || strchr(name, '/') != NULL)
        return -EINVAL;
    (void)snprintf(path, BROOD__PATH_BYTES, DIRECTORY "/" PREFIX "%s", name);
    return 0;
}

int brood__name_prepare(uint32_t mode)
{
    int fd = open(DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);

    if (fd < 0)
        return -errno;
    fd = brood__fd_above_stdio(fd);
    if (fd >= 0 && fchmod(fd, mode) < 0) { /* the umask has no say: `mode` is what it is */
        int r = -errno;

        brood__fd_close(&fd);
        return r;
    }
    return fd;
}

int brood__name_publish(int fd, const char *name)
{
    char path[BROOD__PATH_BYTES], self[64];
    int r = brood__name_path(name, path);

    if (r < 0)
        return r;
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int open_as(const char *name, int access, bool any_owner)
{
    char path[BROOD__PATH_BYTES];
    struct stat status;
    int fd, r = brood__name_path(name, path);

    if (r < 0)
        return r;
    fd = open(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ELOOP ? -EBADMSG : -errno;
    fd = brood__fd_above_stdio(fd);
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        r = -errno;
    else if (!S_ISREG(status.st_mode))
        r = -EBADMSG;
    else if (!any_owner && status.st_uid != geteuid() && status.st_uid != 0)
        r = -EPERM;
    if (r < 0)
        brood__fd_close(&fd);
    return r < 0 ? r : fd;
}

int brood__name_open(const char *name, bool any_owner)
{
    return open_as(name, O_RDWR, any_owner);
}

/* To look at it, or to remove its name, which takes no right to write into it. */
static int open_to_look(const char *name)
{
    return open_as(name, O_RDONLY, true);
}

int brood__name_hold(int fd)
{
    int r;

    do
        r = flock(fd, LOCK_SH);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

/* Nobody has the file attached: then this has it alone until the descriptor is closed. One who
 * is present though his descriptor is closed is a forked child whose parent is gone. */
static bool left_behind(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && !brood__segment_has_members(fd);
}

int brood_shared_unlink(const char *name)
{
    char path[BROOD__PATH_BYTES];
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    int fd, r;

    if (name == NULL)
        return -EINVAL;
    fd = open_to_look(name);
    if (fd < 0)
        return fd;
    r = brood__segment_peek(fd, &info);
    if (r == -EPROTO) /* of another version, but one of ours */
        r = 0;
    if (r == 0)
        r = brood__name_path(name, path);
    if (r == 0 && unlink(path) < 0)
        r = -errno;
    brood__fd_close(&fd);
    return r;
}

int brood_shared_clean(const char *name)
{
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    char path[BROOD__PATH_BYTES];
    struct stat ours, named;
    int fd, r;

    if (name == NULL)
        return -EINVAL;
    r = brood__name_path(name, path);
    if (r < 0)
        return r;
    fd = open_to_look(name);
    if (fd < 0)
        return fd;
    r = brood__segment_peek(fd, &info);
    if (r == -EPROTO)
        r = 0;
    if (r == 0 && !left_behind(fd))
        r = -EBUSY;
    /* The name may have been given to another file since it was opened. */
    if (r == 0 && (fstat(fd, &ours) < 0 || stat(path, &named) < 0 ||
                   ours.st_ino != named.st_ino || ours.st_dev != named.st_dev))
        r = -ENOENT;
    if (r == 0 && unlink(path) < 0)
        r = -errno;
    brood__fd_close(&fd);
    return r;
}

/* Describes one entry of the directory. False: not a segment, or not to be read. */
static bool describe(const char *name, brood_shared_info *info)
{
    struct stat status;
    int fd = open_to_look(name);
    bool good;

    if (fd < 0)
        return false;
    *info = (brood_shared_info)BROOD_SHARED_INFO_INIT;
    good = fstat(fd, &status) == 0 && brood__segment_peek(fd, info) == 0;
    if (good) {
        info->owner = status.st_uid;
        info->in_use = !left_behind(fd);
        (void)snprintf(info->name, sizeof info->name, "%s", name);
    }
    brood__fd_close(&fd);
    return good;
}

int brood_shared_list(brood_shared_function *function, void *user)
{
    DIR *directory;
    struct dirent *entry;
    int r = 0;

    if (function == NULL)
        return -EINVAL;
    directory = opendir(DIRECTORY);
    if (directory == NULL)
        return -errno;
    while (r == 0 && (entry = readdir(directory)) != NULL) {
        brood_shared_info info;

        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
            describe(entry->d_name + strlen(PREFIX), &info))
            r = function(&info, user);
    }
    (void)closedir(directory);
    return r;
}
