/*
 * progress: how far the run is, on standard error.
 *
 * A bar of ASCII on a terminal, redrawn ten times a second at most and erased before
 * anything else is printed there; or a plain line now and then. It never holds up a job.
 */
#ifndef BROOD_MAP_PROGRESS_H
#define BROOD_MAP_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum progress_mode { PROGRESS_NONE, PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_LINES };

struct counts {
    uint64_t done;
    uint64_t failed;
    uint64_t total; /* 0: not known yet */
    unsigned running;
};

struct progress {
    enum progress_mode mode; /* NONE, BAR or LINES */
    int64_t start;
    int64_t next; /* when to show again; NO_DEADLINE without progress */
    uint64_t done_shown;
    size_t width_shown; /* characters of the bar that are on the screen */
    size_t columns;
};

void progress_open(struct progress *progress, enum progress_mode mode);

/* Shows the counts if it is time. `line_is_open`: the cursor is not where a line starts. */
void progress_update(struct progress *progress, const struct counts *counts, bool line_is_open);

/* Takes the bar off the screen. */
void progress_erase(struct progress *progress);

/* The end: the bar goes, the last line comes. */
void progress_close(struct progress *progress, const struct counts *counts);

#endif
