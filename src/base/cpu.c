/* How many processors we may use: the affinity mask, and every CPU quota above us. */
#include <brood/base.h>

#include "base/fd.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The affinity mask of a machine may be larger than cpu_set_t; the kernel says by EINVAL. */
static int affinity_count(void)
{
    for (size_t cpus = CPU_SETSIZE; cpus <= 1 << 16; cpus *= 2) {
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        cpu_set_t *set = CPU_ALLOC(cpus);
        int r, count;

        if (set == NULL)
            break;
        CPU_ZERO_S(bytes, set);
        r = sched_getaffinity(0, bytes, set);
        count = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (r == 0 && count > 0)
            return count;
        if (r < 0 && errno != EINVAL)
            break;
    }
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static long long read_number(const char *directory, const char *file)
{
    char path[4352], text[64];
    ssize_t n;

    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    return brood__read_file(path, text, sizeof text, &n) < 0 ? -1 : atoll(text);
}

/* The quota of one cgroup directory in whole processors, rounded up; 0 if it has none. */
static int directory_quota(const char *directory, int version)
{
    long long quota = -1, period = 0;

    if (version == 2) {
        char path[4352], text[64];
        ssize_t n;

        (void)snprintf(path, sizeof path, "%s/cpu.max", directory);
        if (brood__read_file(path, text, sizeof text, &n) < 0 ||
            sscanf(text, "%lld %lld", &quota, &period) != 2)
            return 0;
    } else {
        quota = read_number(directory, "cpu.cfs_quota_us");
        period = read_number(directory, "cpu.cfs_period_us");
    }
    if (quota <= 0 || period <= 0)
        return 0;
    return (int)((quota + period - 1) / period);
}

/* The smallest quota of the cgroup `path` under `mount` and its ancestors; 0: none. */
static int hierarchy_quota(const char *mount, const char *path, int version)
{
    char directory[4096];
    int least = 0;
    size_t mount_bytes = strlen(mount);

    if (snprintf(directory, sizeof directory, "%s%s", mount, path) >= (int)sizeof directory)
        return 0;
    for (;;) {
        int quota = directory_quota(directory, version);
        char *slash = strrchr(directory, '/');

        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
        if (slash == NULL || (size_t)(slash - directory) < mount_bytes)
            return least;
        *slash = '\0';
    }
}

/* Does the comma-separated `list` hold `word`? */
static int list_holds(const char *list, const char *word)
{
    size_t bytes = strlen(word);

    for (const char *p = list; (p = strstr(p, word)) != NULL; p += bytes)
        if ((p == list || p[-1] == ',') && (p[bytes] == ',' || p[bytes] == '\0'))
            return 1;
    return 0;
}

/* Where the cgroup file system that holds the cpu controller is mounted. */
static int find_mount(int version, char *ret_mount, size_t mount_bytes)
{
    char line[8192], mount[4096], type[64], options[4096];
    FILE *file = fopen("/proc/self/mounts", "re");
    int found = 0;

    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%*s %4095s %63s %4095s", mount, type, options) != 3)
            continue;
        found = version == 2 ? strcmp(type, "cgroup2") == 0
                             : strcmp(type, "cgroup") == 0 && list_holds(options, "cpu");
        if (found)
            (void)snprintf(ret_mount, mount_bytes, "%s", mount);
    }
    if (file != NULL)
        (void)fclose(file);
    return found;
}

/* /proc/self/cgroup has a line a hierarchy: number:controllers:path, v2 being 0::path. */
static int quota_count(void)
{
    char line[4352], mount[4096];
    FILE *file = fopen("/proc/self/cgroup", "re");
    int least = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        int version, quota;

        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        version = controllers[1] == '\0' ? 2 : 1;
        if (version == 1 && !list_holds(controllers + 1, "cpu"))
            continue;
        if (!find_mount(version, mount, sizeof mount))
            continue;
        quota = hierarchy_quota(mount, strcmp(path, "/") == 0 ? "" : path, version);
        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
    }
    if (file != NULL)
        (void)fclose(file);
    return least;
}

int brood_cpu_count(void)
{
    int count = affinity_count(), quota = quota_count();

    if (quota > 0 && quota < count)
        count = quota;
    return count < 1 ? 1 : count;
}
