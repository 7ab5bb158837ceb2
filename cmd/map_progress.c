/*
 * The bar and the lines.
 */
#include "map_progress.h"

#include "cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_PERIOD (100 * NS_PER_MS)
#define LINES_PERIOD (30 * NS_PER_SECOND)
#define BAR_CELLS 20

static bool bar_is_welcome(void)
{
    const char *term = getenv("TERM"), *ci = getenv("CI");

    return isatty(STDERR_FILENO) == 1 && (ci == NULL || *ci == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

void progress_open(struct progress *progress, enum progress_mode mode)
{
    *progress = (struct progress){ .mode = mode, .next = NO_DEADLINE };
    if (mode == PROGRESS_AUTO)
        progress->mode = bar_is_welcome() ? PROGRESS_BAR : PROGRESS_NONE;
    else if (mode == PROGRESS_BAR && isatty(STDERR_FILENO) != 1)
        progress->mode = PROGRESS_LINES;
    if (progress->mode == PROGRESS_NONE)
        return;
    progress->start = cmd_now();
    progress->next =
        progress->start + (progress->mode == PROGRESS_BAR ? BAR_PERIOD : LINES_PERIOD);
}

static void put(const char *text, size_t length)
{
    /* Progress that cannot be shown is no reason to stop. */
    if (write(STDERR_FILENO, text, length) < 0)
        return;
}

/* "3:07", or "1:02:03". */
static void format_clock(char *text, size_t capacity, double seconds)
{
    unsigned long whole = seconds < 359999.0 ? (unsigned long)(seconds + 0.5) : 359999;

    if (whole >= 3600)
        (void)snprintf(text, capacity, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60,
                       whole % 60);
    else
        (void)snprintf(text, capacity, "%lu:%02lu", whole / 60, whole % 60);
}

static size_t format_counts(const struct progress *progress, const struct counts *counts,
                            char *text, size_t capacity)
{
    double elapsed = (double)(cmd_now() - progress->start) / (double)NS_PER_SECOND;
    double rate = elapsed > 0 ? (double)counts->done / elapsed : 0;
    char share[64] = "", eta[64] = "", clock[48];
    int length;

    if (counts->total > 0) {
        (void)snprintf(share, sizeof share, "/%llu %u%%", (unsigned long long)counts->total,
                       (unsigned)(counts->done * 100 / counts->total));
        if (rate > 0 && counts->done < counts->total) {
            format_clock(clock, sizeof clock, (double)(counts->total - counts->done) / rate);
            (void)snprintf(eta, sizeof eta, " ETA %s", clock);
        }
    }
    format_clock(clock, sizeof clock, elapsed);
    length = snprintf(text, capacity, "%llu%s fail %llu run %u %.1f/s %s%s",
                      (unsigned long long)counts->done, share,
                      (unsigned long long)counts->failed, counts->running, rate, clock, eta);
    return length < 0 ? 0 : (size_t)length < capacity ? (size_t)length : capacity - 1;
}

static size_t format_bar(const struct counts *counts, char *text)
{
    size_t full = counts->total > 0 ? (size_t)(counts->done * BAR_CELLS / counts->total) : 0;

    if (counts->total == 0)
        return 0;
    if (full > BAR_CELLS)
        full = BAR_CELLS;
    text[0] = '[';
    memset(text + 1, '=', full);
    memset(text + 1 + full, ' ', BAR_CELLS - full);
    if (full > 0 && full < BAR_CELLS)
        text[full] = '>';
    text[BAR_CELLS + 1] = ']';
    text[BAR_CELLS + 2] = ' ';
    return BAR_CELLS + 3;
}

static size_t terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void draw_bar(struct progress *progress, const struct counts *counts, bool line_is_open)
{
    char line[512];
    size_t at = 0, start, width, columns = terminal_columns();

    if (line_is_open)
        line[at++] = '\n';
    line[at++] = '\r';
    start = at;
    at += format_bar(counts, line + at);
    at += format_counts(progress, counts, line + at, 200);
    /* A full last column would wrap, and could not be erased. */
    if (at - start >= columns)
        at = start + columns - 1;
    width = at - start;
    while (at - start < progress->width_shown && at < sizeof line)
        line[at++] = ' ';
    put(line, at);
    progress->width_shown = width;
}

void progress_erase(struct progress *progress)
{
    char line[512];
    size_t width = progress->width_shown;

    if (width == 0)
        return;
    line[0] = '\r';
    memset(line + 1, ' ', width);
    line[1 + width] = '\r';
    put(line, width + 2);
    progress->width_shown = 0;
}

static void print_line(struct progress *progress, const struct counts *counts)
{
    char line[256];
    size_t length = format_counts(progress, counts, line, sizeof line - 1);

    line[length++] = '\n';
    put(line, length);
    progress->done_shown = counts->done;
}

void progress_update(struct progress *progress, const struct counts *counts, bool line_is_open)
{
    int64_t now;

    if (progress->mode == PROGRESS_NONE)
        return;
    now = cmd_now();
    if (now < progress->next)
        return;
    if (progress->mode == PROGRESS_BAR) {
        draw_bar(progress, counts, line_is_open && progress->width_shown == 0);
        progress->next = now + BAR_PERIOD;
        return;
    }
    /* Not before a tenth more is done, if it is known what a tenth is. */
    if (counts->total == 0 || (counts->done - progress->done_shown) * 10 >= counts->total)
        print_line(progress, counts);
    progress->next = now + LINES_PERIOD;
}

void progress_close(struct progress *progress, const struct counts *counts)
{
    progress_erase(progress);
    if (progress->mode == PROGRESS_LINES)
        print_line(progress, counts);
    progress->mode = PROGRESS_NONE;
    progress->next = NO_DEADLINE;
}
