/*
 * Messages, the clock, and the numbers that options hold.
 */
#include "cmd.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void (*before_say)(void *user);
static void *before_say_user;

void cmd_before_say(void (*function)(void *user), void *user)
{
    before_say = function;
    before_say_user = user;
}

void cmd_say(const char *format, ...)
{
    static const char prefix[] = "brood map: ";
    char line[1024];
    size_t at = sizeof prefix - 1;
    va_list arguments;
    int length;

    memcpy(line, prefix, at);
    va_start(arguments, format);
    length = vsnprintf(line + at, sizeof line - at - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    at += (size_t)length < sizeof line - at - 2 ? (size_t)length : sizeof line - at - 2;
    for (size_t i = 0; i < at; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 127)
            line[i] = '?';
    }
    line[at++] = '\n';
    if (before_say != NULL)
        before_say(before_say_user);
    /* Nobody is left to tell when standard error itself fails; the exit status remains. */
    if (write(STDERR_FILENO, line, at) < 0)
        return;
}

int64_t cmd_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

int cmd_parse_count(const char *text, uint64_t low, uint64_t high, uint64_t *ret_count)
{
    unsigned long long count;
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    count = strtoull(text, &end, 10);
    if (*end != '\0')
        return -EINVAL;
    if (errno == ERANGE || count < low || count > high)
        return -ERANGE;
    *ret_count = count;
    return 0;
}

int cmd_parse_duration(const char *text, bool zero, int64_t *ret_ns)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = { { "", 1 },   { "s", 1 },    { "ms", 0.001 }, { "us", 0.000001 },
                  { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
    double value, factor = 0;
    char *end;

    /* strtod alone would take hexadecimal, infinities and leading blanks. */
    if (strspn(text, "0123456789.") == 0 || text[0] == '\0')
        return -EINVAL;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return -EINVAL;
    value = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0)
            factor = units[i].seconds;
    }
    value *= factor;
    if (factor <= 0 || end == text || !isfinite(value) || value > 3e9)
        return -EINVAL;
    if (value < 1e-9 && (!zero || value > 0))
        return -EINVAL;
    *ret_ns = (int64_t)(value * (double)NS_PER_SECOND);
    return 0;
}

int cmd_parse_size(const char *text, uint64_t *ret_bytes)
{
    unsigned long long size;
    unsigned shift = 0;
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    size = strtoull(text, &end, 10);
    if (*end == 'K' || *end == 'k')
        shift = 10;
    else if (*end == 'M' || *end == 'm')
        shift = 20;
    else if (*end == 'G' || *end == 'g')
        shift = 30;
    if (shift > 0)
        end++;
    if (*end != '\0' || errno == ERANGE || size > (UINT64_C(1) << 60) >> shift)
        return -EINVAL;
    *ret_bytes = (uint64_t)size << shift;
    return 0;
}
