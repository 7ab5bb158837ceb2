/*
 * What a test can leave behind outside itself: processes, and entries in /dev/shm.
 */
#include "runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM_DIRECTORY "/dev/shm"

struct process {
    pid_t pid;
    pid_t parent;
    char state;
    bool descends; /* from the root that is looked at */
};

/* The name in the second field may hold anything, so the rest is read after its last ')'. */
static bool process_read(const char *pid_text, struct process *process)
{
    char path[300];
    char text[1024];
    const char *rest;
    ssize_t length;
    int parent;
    int fd;

    snprintf(path, sizeof path, "/proc/%s/stat", pid_text);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return false;
    text[length] = '\0';
    rest = strrchr(text, ')');
    if (rest == NULL || sscanf(rest + 1, " %c %d", &process->state, &parent) != 2)
        return false;
    process->pid = (pid_t)atoi(pid_text);
    process->parent = (pid_t)parent;
    process->descends = false;
    return true;
}

static bool process_in(const struct process *table, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].pid == pid)
            return table[i].descends;
    return false;
}

/* Marks what descends from `root`; /proc lists no parents first, hence the rounds. */
static void table_mark(struct process *table, size_t count, pid_t root)
{
    bool again = true;

    while (again) {
        again = false;
        for (size_t i = 0; i < count; i++) {
            if (table[i].descends)
                continue;
            if (table[i].parent == root || process_in(table, count, table[i].parent)) {
                table[i].descends = true;
                again = true;
            }
        }
    }
}

static struct process *table_read(pid_t root, size_t *ret_count)
{
    struct process *table = NULL;
    size_t capacity = 0;
    struct dirent *item;
    size_t count = 0;
    DIR *proc = opendir("/proc");

    while (proc != NULL && (item = readdir(proc)) != NULL) {
        if (item->d_name[0] < '1' || item->d_name[0] > '9')
            continue;
        if (count == capacity) {
            capacity = capacity == 0 ? 256 : 2 * capacity;
            table = realloc(table, capacity * sizeof *table);
            if (table == NULL)
                abort();
        }
        if (process_read(item->d_name, &table[count]))
            count++;
    }
    if (proc != NULL)
        closedir(proc);
    if (table != NULL)
        table_mark(table, count, root);
    *ret_count = count;
    return table;
}

static void process_print(const struct process *process, FILE *report)
{
    char path[64];
    char text[256];
    size_t length = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)process->pid);
    file = fopen(path, "re");
    if (file != NULL) {
        length = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ')
            text[i] = ' ';
    text[length] = '\0';
    fprintf(report, "  process %d (state %c, parent %d): %s\n", (int)process->pid,
            process->state, (int)process->parent, length == 0 ? "[no command line]" : text);
}

size_t descendants_print(pid_t root, FILE *report)
{
    size_t found = 0;
    size_t count;
    struct process *table = table_read(root, &count);

    for (size_t i = 0; i < count; i++) {
        if (!table[i].descends)
            continue;
        process_print(&table[i], report);
        found++;
    }
    free(table);
    return found;
}

void descendants_kill(pid_t root)
{
    size_t count;
    struct process *table = table_read(root, &count);

    for (size_t i = 0; i < count; i++)
        if (table[i].descends)
            (void)kill(table[i].pid, SIGKILL);
    free(table);
}

/* The entries that were there before, or were blamed on a test already. */
static char **shm_known;
static size_t shm_known_count;

static bool shm_is_known(const char *name)
{
    for (size_t i = 0; i < shm_known_count; i++)
        if (strcmp(shm_known[i], name) == 0)
            return true;
    return false;
}

static void shm_add_known(const char *name)
{
    shm_known = realloc(shm_known, (shm_known_count + 1) * sizeof *shm_known);
    if (shm_known == NULL)
        abort();
    shm_known[shm_known_count++] = runner_format("%s", name);
}

/*
 * An entry's oldest time, which for a new one is near enough its birth. False for the
 * entries of other users, which are none of our tests' business.
 */
static bool shm_born(int directory_fd, const char *name, struct timespec *ret_born)
{
    struct stat status;

    if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        status.st_uid != geteuid())
        return false;
    *ret_born = status.st_mtim.tv_sec < status.st_ctim.tv_sec ? status.st_mtim : status.st_ctim;
    return true;
}

/* The kernel stamps files by a clock that is up to a tick behind. */
static bool time_reached(struct timespec time, struct timespec since)
{
    int64_t difference_ms = ((int64_t)time.tv_sec - (int64_t)since.tv_sec) * 1000 +
                            (time.tv_nsec - since.tv_nsec) / 1000000;

    return difference_ms >= -20;
}

void shm_remember(void)
{
    DIR *directory = opendir(SHM_DIRECTORY);
    struct dirent *item;

    while (directory != NULL && (item = readdir(directory)) != NULL)
        if (!shm_is_known(item->d_name))
            shm_add_known(item->d_name);
    if (directory != NULL)
        closedir(directory);
}

size_t shm_print_new(struct timespec since, FILE *report)
{
    DIR *directory = opendir(SHM_DIRECTORY);
    struct dirent *item;
    struct timespec born;
    size_t found = 0;

    while (directory != NULL && (item = readdir(directory)) != NULL) {
        if (shm_is_known(item->d_name) || !shm_born(dirfd(directory), item->d_name, &born) ||
            !time_reached(born, since))
            continue;
        found++;
        if (report != NULL)
            fprintf(report, "  " SHM_DIRECTORY "/%s\n", item->d_name);
    }
    if (directory != NULL)
        closedir(directory);
    return found;
}
