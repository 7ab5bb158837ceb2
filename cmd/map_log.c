/*
 * The job log: records through jansson, appended under an OFD lock.
 */
#include "map_log.h"

#include "cmd.h"

#include <brood.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef BROOD_HAVE_JANSSON

#include <jansson.h>

int log_open(struct job_log *log, const char *path)
{
    struct stat status;

    log->path = path;
    log->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (log->fd < 0 || fstat(log->fd, &status) < 0)
        return -errno;
    log->regular = S_ISREG(status.st_mode);
    log->directory = getcwd(NULL, 0);
    return 0;
}

void log_close(struct job_log *log)
{
    if (log->fd >= 0)
        (void)close(log->fd);
    log->fd = -1;
    free((char *)log->directory);
    log->directory = NULL;
}

/* FNV-1a over the arguments and the working directory, each with its NUL: the job's key. */
static uint64_t hash_bytes(uint64_t hash, const char *text)
{
    do {
        hash ^= (unsigned char)*text;
        hash *= UINT64_C(0x100000001b3);
    } while (*text++ != '\0');
    return hash;
}

static json_t *format_key(const struct job_log *log, const struct job_record *record)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char text[20];

    for (size_t i = 0; i < record->argc; i++)
        hash = hash_bytes(hash, record->argv[i]);
    hash = hash_bytes(hash, log->directory == NULL ? "" : log->directory);
    (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return json_string_nocheck(text);
}

static json_t *format_hex(const char *bytes)
{
    size_t length = strlen(bytes);
    char *text = malloc(length * 2 + 1);
    json_t *value;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        text[i * 2] = "0123456789abcdef"[(unsigned char)bytes[i] >> 4];
        text[i * 2 + 1] = "0123456789abcdef"[(unsigned char)bytes[i] & 15];
    }
    value = json_stringn_nocheck(text, length * 2);
    free(text);
    return value;
}

/* JSON has no strings but UTF-8: an argument list with other bytes goes out in hexadecimal. */
static int add_arguments(json_t *object, const struct job_record *record)
{
    json_t *list = json_array();
    const char *name = "argv";

    for (size_t i = 0; i < record->argc; i++) {
        if (json_array_append_new(list, json_string(record->argv[i])) == 0)
            continue;
        name = "argv_hex";
        break;
    }
    if (name[4] == '\0')
        return json_object_set_new_nocheck(object, name, list);
    json_decref(list);
    list = json_array();
    for (size_t i = 0; i < record->argc; i++) {
        if (json_array_append_new(list, format_hex(record->argv[i])) < 0) {
            json_decref(list);
            return -1;
        }
    }
    return json_object_set_new_nocheck(object, name, list);
}

/* RFC 3339 with microseconds, in UTC. */
static json_t *format_time(const struct timespec *time)
{
    char day[40], text[64];
    struct tm fields;

    if (gmtime_r(&time->tv_sec, &fields) == NULL ||
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &fields) == 0)
        return NULL;
    (void)snprintf(text, sizeof text, "%s.%06ldZ", day, time->tv_nsec / 1000);
    return json_string_nocheck(text);
}

/* Microseconds are kept, not the digits that binary fractions have behind them. */
static json_t *format_seconds(int64_t ns)
{
    return json_real((double)(ns / 1000) / 1e6);
}

static json_t *format_count(uint64_t count)
{
    return json_integer((json_int_t)count);
}

static int add_outcome(json_t *object, const struct job_record *record)
{
    int bad = 0;

    bad |= json_object_set_new_nocheck(object, "rc", json_integer(record->code));
    bad |= json_object_set_new_nocheck(object, "signal", json_integer(record->signal));
    bad |= json_object_set_new_nocheck(object, "core", json_boolean(record->core));
    bad |= json_object_set_new_nocheck(object, "timeout", json_boolean(record->timeout));
    bad |=
        json_object_set_new_nocheck(object, "interrupted", json_boolean(record->interrupted));
    bad |= json_object_set_new_nocheck(object, "user_s", format_seconds(record->user_ns));
    bad |= json_object_set_new_nocheck(object, "sys_s", format_seconds(record->system_ns));
    bad |= json_object_set_new_nocheck(object, "maxrss_kib",
                                       json_integer(record->max_rss_bytes / 1024));
    bad |= json_object_set_new_nocheck(object, "out_bytes", format_count(record->out_bytes));
    bad |= json_object_set_new_nocheck(object, "err_bytes", format_count(record->err_bytes));
    if (record->error != NULL)
        bad |= json_object_set_new_nocheck(object, "error", json_string(record->error));
    return bad;
}

char *log_format(const struct job_log *log, const struct job_record *record, size_t *ret_length)
{
    json_t *object = json_object();
    char *line = NULL;
    size_t length;
    int bad = 0;

    bad |= json_object_set_new_nocheck(object, "seq", format_count(record->seq));
    bad |= json_object_set_new_nocheck(object, "key", format_key(log, record));
    bad |= add_arguments(object, record);
    bad |= json_object_set_new_nocheck(object, "slot", json_integer((json_int_t)record->slot));
    bad |= json_object_set_new_nocheck(object, "start", format_time(&record->start));
    bad |= json_object_set_new_nocheck(object, "wall_s", format_seconds(record->wall_ns));
    bad |= add_outcome(object, record);
    if (bad == 0)
        line = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
    json_decref(object);
    if (line == NULL)
        return NULL;
    length = strlen(line);
    line[length++] = '\n'; /* in the place of the NUL */
    *ret_length = length;
    return line;
}

static void lock(struct job_log *log, short type)
{
    struct flock range = { .l_type = type, .l_whence = SEEK_SET };

    /* Where a file system has no locks, appending in one write is all there is. */
    while (fcntl(log->fd, F_OFD_SETLKW, &range) < 0 && errno == EINTR)
        continue;
}

/* Tells whether someone died in the middle of the last line. */
static bool is_torn(const struct job_log *log, off_t size)
{
    char last;

    return size > 0 && pread(log->fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* Under the lock. Returns 0 or negative errno, with the file as it was before. */
static int append_locked(struct job_log *log, const char *line, size_t length)
{
    struct stat status;
    ssize_t put;
    int r;

    if (!log->regular) {
        put = write(log->fd, line, length);
        return put < 0 ? -errno : (size_t)put == length ? 0 : -EIO;
    }
    if (fstat(log->fd, &status) < 0)
        return -errno;
    if (is_torn(log, status.st_size) && write(log->fd, "\n", 1) == 1)
        status.st_size++;
    put = write(log->fd, line, length);
    if (put >= 0 && (size_t)put == length)
        return 0;
    r = put < 0 ? -errno : -ENOSPC;
    if (put > 0 && ftruncate(log->fd, status.st_size) < 0)
        return -errno;
    return r;
}

void log_append(struct job_log *log, const char *line, size_t length)
{
    int r;

    if (log->regular)
        lock(log, F_WRLCK);
    r = append_locked(log, line, length);
    if (log->regular)
        lock(log, F_UNLCK);
    if (r < 0)
        log_lose(log, r);
}

#else

int log_open(struct job_log *log, const char *path)
{
    log->path = path;
    return -ENOSYS;
}

void log_close(struct job_log *log)
{
    log->fd = -1;
}

char *log_format(const struct job_log *log, const struct job_record *record, size_t *ret_length)
{
    (void)log, (void)record, (void)ret_length;
    return NULL;
}

void log_append(struct job_log *log, const char *line, size_t length)
{
    (void)line, (void)length;
    log_lose(log, -ENOSYS);
}

#endif

void log_lose(struct job_log *log, int error)
{
    log->lost_count++;
    if (log->error != 0)
        return;
    log->error = error;
    cmd_say("job log %s: %s; records are lost", log->path, brood_strerror(error));
}
