#include "process/mark.h"

#include "base/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define PAGE_BYTES 65536 /* a multiple of every page size in use */
#define FILE_PREFIX "brood-"

int brood__mark_create(struct brood__mark *ret_mark)
{
    char name[sizeof FILE_PREFIX + sizeof ret_mark->id];
    uint64_t random;
    int fd;

    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return -errno;
    (void)snprintf(ret_mark->id, sizeof ret_mark->id, "%016llx", (unsigned long long)random);
    (void)snprintf(name, sizeof name, FILE_PREFIX "%s", ret_mark->id);
    fd = brood__memfd(name);
    if (fd < 0)
        return fd;
    ret_mark->fd = fd;
    return 0;
}

static void *map_page(const struct brood__mark *mark, uint64_t index)
{
    return mmap(NULL, 1, PROT_NONE, MAP_PRIVATE, mark->fd, (off_t)(index * PAGE_BYTES));
}

int brood__mark_map(const struct brood__mark *mark, uint64_t index)
{
    return map_page(mark, index) == MAP_FAILED ? -errno : 0;
}

int brood__mark_program(const struct brood__mark *mark)
{
    void *page = map_page(mark, 0);

    return page == MAP_FAILED || madvise(page, 1, MADV_DONTFORK) < 0 ? -errno : 0;
}

void brood__mark_entry(const struct brood__mark *mark, uint64_t index,
                       char ret_entry[BROOD__MARK_ENTRY_BYTES])
{
    const char *before = getenv(BROOD__MARK_VARIABLE);
    size_t room = BROOD__MARK_ENTRY_BYTES - sizeof BROOD__MARK_VARIABLE - 64;

    if (before == NULL)
        before = "";
    while (strlen(before) > room && strchr(before, ' ') != NULL)
        before = strchr(before, ' ') + 1; /* nested beyond reason: forget the outermost */
    (void)snprintf(ret_entry, BROOD__MARK_ENTRY_BYTES, "%s=%.*s%s%s:%llu", BROOD__MARK_VARIABLE,
                   (int)room, before, before[0] == '\0' ? "" : " ", mark->id,
                   (unsigned long long)index);
}

/* ---- looking at others ---- */

/* Does the environment string `text`, after its name, hold id:index as a word? */
static bool words_hold(const char *text, const char *id, uint64_t index)
{
    size_t id_bytes = strlen(id);

    for (const char *p = text; (p = strstr(p, id)) != NULL; p += id_bytes) {
        const char *number = p + id_bytes + 1;

        if (p[id_bytes] == ':' && (index == 0 || strtoull(number, NULL, 10) == index))
            return true;
    }
    return false;
}

/* A line of /proc/PID/maps: range, permissions, offset, device, inode, name. */
static bool line_offset(const char *line, const char *id, unsigned long long *ret_offset)
{
    const char *name = strstr(line, "/memfd:" FILE_PREFIX);

    return name != NULL &&
           strncmp(name + sizeof "/memfd:" FILE_PREFIX - 1, id, strlen(id)) == 0 &&
           sscanf(line, "%*s %*s %llx", ret_offset) == 1;
}

static bool line_holds(const char *line, const char *id, uint64_t index)
{
    unsigned long long offset;

    return line_offset(line, id, &offset) && offset != 0 &&
           (index == 0 || offset == (unsigned long long)index * PAGE_BYTES);
}

static bool line_is_program(const char *line, const char *id, uint64_t index)
{
    unsigned long long offset;

    (void)index;
    return line_offset(line, id, &offset) && offset == 0;
}

typedef bool piece_test(const char *piece, const char *id, uint64_t index);

/* Feeds each piece of a file, ended by `separator`, to `test` until it says yes. A piece
 * longer than the buffer is looked at in part. Sets *ret_empty if there was none. */
static bool any_piece(const char *path, char separator, const char *prefix, piece_test *test,
                      const char *id, uint64_t index, bool *ret_empty)
{
    char buffer[8192];
    size_t held = 0;
    bool found = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;

    *ret_empty = false;
    if (fd < 0)
        return false;
    *ret_empty = true;
    while (!found && (n = read(fd, buffer + held, sizeof buffer - 1 - held)) > 0) {
        char *piece = buffer, *end;

        *ret_empty = false;
        held += (size_t)n;
        while (!found && (end = memchr(piece, separator, held)) != NULL) {
            *end = '\0';
            found = strncmp(piece, prefix, strlen(prefix)) == 0 && test(piece, id, index);
            held -= (size_t)(end + 1 - piece);
            piece = end + 1;
        }
        if (held == sizeof buffer - 1) {
            buffer[held] = '\0';
            found = strncmp(piece, prefix, strlen(prefix)) == 0 && test(piece, id, index);
            held = 0;
        }
        memmove(buffer, piece, held);
    }
    if (n < 0)
        *ret_empty = false;
    (void)close(fd);
    return found;
}

enum brood__marked brood__mark_on(pid_t pid, const char *id, uint64_t index)
{
    char path[64];
    bool no_environment, no_maps;

    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    if (any_piece(path, '\0', BROOD__MARK_VARIABLE "=", words_hold, id, index, &no_environment))
        return MARKED_YES;
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    if (any_piece(path, '\n', "", line_holds, id, index, &no_maps))
        return MARKED_YES;
    /* A process that has memory but no environment yet is being executed. */
    return no_environment && !no_maps ? MARKED_UNCLEAR : MARKED_NO;
}

bool brood__mark_is_program(pid_t pid, const char *id)
{
    char path[64];
    bool empty;

    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    return any_piece(path, '\n', "", line_is_program, id, 0, &empty);
}
