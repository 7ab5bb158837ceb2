/*
 * Single quotes protect every byte but the single quote itself, in any POSIX shell.
 */
#include "map_quote.h"

#include <stdbool.h>
#include <string.h>

#define QUOTE_PLAIN                                                                            \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"                           \
    "_-+=:,./@%^"

struct line {
    char *at;
    char *end; /* leaves room for the dots and the NUL */
    bool full;
};

static void put(struct line *line, const char *bytes, size_t length)
{
    if (line->full || length > (size_t)(line->end - line->at)) {
        line->full = true;
        return;
    }
    memcpy(line->at, bytes, length);
    line->at += length;
}

static void put_argument(struct line *line, const char *argument, bool is_command)
{
    size_t plain = strspn(argument, QUOTE_PLAIN);

    /* As the first word, a=b would be an assignment. */
    if (argument[plain] == '\0' && plain > 0 &&
        !(is_command && strchr(argument, '=') != NULL)) {
        /* A long plain argument is still shown as far as there is room. */
        if (plain > (size_t)(line->end - line->at) && !line->full) {
            put(line, argument, (size_t)(line->end - line->at));
            line->full = true;
            return;
        }
        put(line, argument, plain);
        return;
    }
    put(line, "'", 1);
    for (; *argument != '\0' && !line->full; argument++) {
        if (*argument == '\'')
            put(line, "'\\''", 4);
        else
            put(line, argument, 1);
    }
    put(line, "'", 1);
}

size_t quote_line(char *buffer, size_t capacity, char *const *arguments, size_t count)
{
    struct line line = { buffer, buffer + capacity - 4, false };

    for (size_t i = 0; i < count && !line.full; i++) {
        if (i > 0)
            put(&line, " ", 1);
        put_argument(&line, arguments[i], i == 0);
    }
    if (line.full) {
        memcpy(line.at, "...", 3);
        line.at += 3;
    }
    *line.at = '\0';
    return (size_t)(line.at - buffer);
}

size_t quote_line_max(char *const *arguments, size_t count)
{
    size_t bytes = 8;

    for (size_t i = 0; i < count; i++)
        bytes += strlen(arguments[i]) * 4 + 3;
    return bytes;
}
