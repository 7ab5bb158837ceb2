/*
 * options: what `brood map` was asked to do.
 */
#ifndef BROOD_MAP_OPTIONS_H
#define BROOD_MAP_OPTIONS_H

#include "map_halt.h"
#include "map_progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_options {
    unsigned job_limit;
    size_t batch_count;
    bool keep_order;
    bool dry_run;
    bool keep_empty; /* an empty item is an item */
    bool strip_cr;
    char separator;
    const char *input_path; /* NULL: standard input */
    const char *shell_script;
    const char *log_path;
    enum progress_mode progress;
    struct halt halt;
    int64_t timeout_ns; /* 0: none */
    int64_t grace_ns;
    uint64_t buffer_bytes;
    char **command;
    size_t command_count;
    char **items; /* after :::, or NULL */
    size_t item_count;
};

/*
 * Reads the command line. Returns 0 with everything filled in; or 1 with *ret_status, the
 * exit status, because all was said: --help, or a usage error on one line.
 */
int options_parse(int argc, char **argv, struct map_options *options, int *ret_status);

#endif
