#include "process/cgroup.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNT_BYTES 2048
#define PATH_BYTES 4608 /* a cgroup's path and a file's name */

/* ---- where we are ---- */

/* The mount point of the cgroup2 file system. */
static int find_mount(char ret_mount[MOUNT_BYTES])
{
    char line[8192], mount[MOUNT_BYTES], type[64];
    FILE *file = fopen("/proc/self/mounts", "re");
    int r = -ENOTSUP;

    while (file != NULL && r < 0 && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%*s %2047s %63s", mount, type) != 2 || strcmp(type, "cgroup2") != 0)
            continue;
        memcpy(ret_mount, mount, sizeof mount);
        r = 0;
    }
    if (file != NULL)
        (void)fclose(file);
    return r;
}

/* Our own directory: the mount point and the "0::" line of /proc/self/cgroup. */
static int find_own(char *ret_path, size_t path_bytes)
{
    char mount[MOUNT_BYTES], text[8192];
    char *line, *end;
    ssize_t n;
    int r = find_mount(mount);

    if (r == 0)
        r = brood__read_file("/proc/self/cgroup", text, sizeof text, &n);
    if (r < 0)
        return r;
    line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line == NULL)
        return -ENOTSUP;
    line = strstr(line, "0::") + 3;
    end = strchr(line, '\n');
    if (end != NULL)
        *end = '\0';
    if (strstr(line, " (deleted)") != NULL)
        return -ENOTSUP;
    n = snprintf(ret_path, path_bytes, "%s%s", mount, strcmp(line, "/") == 0 ? "" : line);
    return n < (ssize_t)path_bytes ? 0 : -ENAMETOOLONG;
}

/* ---- files ---- */

static int open_file(const char *path, const char *part, const char *file, int flags)
{
    char name[PATH_BYTES];
    int fd;

    if (snprintf(name, sizeof name, "%s%s/%s", path, part, file) >= (int)sizeof name)
        return -ENAMETOOLONG;
    fd = open(name, flags | O_CLOEXEC);
    return fd < 0 ? -errno : brood__fd_above_stdio(fd);
}

static int write_file(const char *path, const char *part, const char *file, const char *text)
{
    int fd = open_file(path, part, file, O_WRONLY);
    int r;

    if (fd < 0)
        return fd;
    r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    (void)close(fd);
    return r;
}

static int is_populated(const char *path, const char *part)
{
    char name[PATH_BYTES], text[256];
    ssize_t n;

    (void)snprintf(name, sizeof name, "%s%s/cgroup.events", path, part);
    if (brood__read_file(name, text, sizeof text, &n) < 0)
        return 0;
    return strstr(text, "populated 1") != NULL;
}

static void remove_directories(const char *path)
{
    char name[PATH_BYTES];

    (void)snprintf(name, sizeof name, "%s/children", path);
    (void)rmdir(name);
    (void)snprintf(name, sizeof name, "%s/forkserver", path);
    (void)rmdir(name);
    (void)rmdir(path);
}

static int make_directories(const char *path)
{
    char name[PATH_BYTES];
    int r = mkdir(path, 0755);

    (void)snprintf(name, sizeof name, "%s/children", path);
    if (r == 0)
        r = mkdir(name, 0755);
    (void)snprintf(name, sizeof name, "%s/forkserver", path);
    if (r == 0)
        r = mkdir(name, 0755);
    return r < 0 ? -ENOTSUP : 0;
}

/* ---- the interface ---- */

/* Ends what a program left whose guardian, forkserver and own life all ended at once. */
static void remove_stale(const char *own, unsigned long long own_space)
{
    DIR *directory = opendir(own);
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        unsigned long long space, named;
        uint64_t start_time;
        char path[4352];
        int pid, r;

        if (sscanf(entry->d_name, "brood-%llu-%d-%llu-", &space, &pid, &named) != 3 ||
            space != own_space)
            continue; /* numbers of another PID namespace say nothing here */
        r = brood__start_time(pid, &start_time);
        if (r == 0 ? start_time == named : r != -ENOENT)
            continue; /* it lives, or nobody can say */
        (void)snprintf(path, sizeof path, "%s/%s", own, entry->d_name);
        (void)write_file(path, "", "cgroup.kill", "1");
        remove_directories(path);
    }
    if (directory != NULL)
        (void)closedir(directory);
}

int brood__cgroup_create(struct brood__cgroup *ret_cgroup, uint64_t start_time, const char *id)
{
    struct brood__cgroup *c = ret_cgroup;
    unsigned long long space;
    struct stat status;
    char own[3840];
    int fd, r;

    c->path = NULL;
    c->children = c->forkserver = -1;
    if (find_own(own, sizeof own) < 0)
        return -ENOTSUP;
    if (stat("/proc/self/ns/pid", &status) < 0)
        return -ENOTSUP;
    space = (unsigned long long)status.st_ino;
    if (asprintf(&c->path, "%s/brood-%llu-%d-%llu-%s", own, space, (int)getpid(),
                 (unsigned long long)start_time, id) < 0) {
        c->path = NULL;
        return -ENOMEM;
    }
    r = make_directories(c->path);
    if (r == 0) {
        remove_stale(own, space);
        fd = open_file(c->path, "", "cgroup.kill", O_WRONLY);
        r = fd < 0 ? -ENOTSUP : 0;
        brood__fd_close(&fd);
    }
    if (r == 0) {
        c->children = open_file(c->path, "/children", "cgroup.procs", O_WRONLY);
        c->forkserver = open_file(c->path, "/forkserver", "cgroup.procs", O_WRONLY);
        r = c->children < 0 ? c->children : c->forkserver < 0 ? c->forkserver : 0;
    }
    if (r < 0) {
        remove_directories(c->path);
        brood__cgroup_close(c);
    }
    return r;
}

int brood__cgroup_join(int procs)
{
    return write(procs, "0", 1) < 0 ? -errno : 0;
}

int brood__cgroup_kill(const struct brood__cgroup *cgroup, const char *part, int64_t deadline)
{
    int r;

    if (cgroup->path == NULL)
        return 0;
    r = write_file(cgroup->path, part, "cgroup.kill", "1");
    while (r == 0 && is_populated(cgroup->path, part)) {
        if (brood__time_left(deadline) == 0)
            return -ETIMEDOUT;
        (void)poll(NULL, 0, 1);
    }
    return r;
}

void brood__cgroup_remove(const struct brood__cgroup *cgroup)
{
    if (cgroup->path != NULL)
        remove_directories(cgroup->path);
}

void brood__cgroup_close(struct brood__cgroup *cgroup)
{
    if (cgroup->children >= 0)
        brood__fd_close(&cgroup->children);
    if (cgroup->forkserver >= 0)
        brood__fd_close(&cgroup->forkserver);
    cgroup->children = cgroup->forkserver = -1;
    free(cgroup->path);
    cgroup->path = NULL;
}
