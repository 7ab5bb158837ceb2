/*
 * brood map: options, then a dry or a real run.
 */
#include "cmd.h"
#include "map_quote.h"
#include "map_run.h"

#include <brood.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What --shell runs: the items come after it and are the script's parameters. */
static char *shell_words[] = { (char *)"/bin/sh", (char *)"-c", NULL, (char *)"sh" };

static int make_template(struct run *run, const struct map_options *options)
{
    if (options->shell_script == NULL)
        return template_create(&run->tmpl, options->command, options->command_count, false);
    shell_words[2] = (char *)options->shell_script;
    return template_create(&run->tmpl, shell_words, 4, true);
}

static int open_input(struct run *run, const struct map_options *options)
{
    int r;

    run->input.separator = options->separator;
    run->input.keep_empty = options->keep_empty;
    run->input.strip_cr = options->strip_cr;
    r = input_open(&run->input, options->input_path, options->items, options->item_count,
                   options->batch_count);
    if (r == 0)
        return STATUS_OK;
    if (options->input_path == NULL) {
        cmd_say("standard input: %s", brood_strerror(r));
        return STATUS_RESOURCE;
    }
    cmd_say("option -a: %.200s: %s", options->input_path, brood_strerror(r));
    return STATUS_USAGE;
}

static int print_line(const struct args *args)
{
    size_t capacity = quote_line_max(args->vector, args->count);
    char *line = malloc(capacity);
    size_t length;
    int r;

    if (line == NULL)
        return -ENOMEM;
    length = quote_line(line, capacity, args->vector, args->count);
    line[length++] = '\n';
    r = fwrite(line, 1, length, stdout) == length ? 0 : -errno;
    free(line);
    return r;
}

/* Prints each command as it would be run. Slots are those that jobs of equal length get. */
static int dry_run(struct run *run, const struct map_options *options)
{
    struct args args = { .vector = NULL };
    uint64_t seq = 0;
    int r = 0, item_error;

    while (r == 0) {
        struct item *items;
        size_t count;
        enum input_answer answer = input_take(&run->input, &items, &count, &item_error);

        if (answer == INPUT_FINISHED)
            break;
        if (answer == INPUT_WAIT) {
            /* A read may take long: what is known so far is shown before it. */
            if (!run->input.ready_always && fflush(stdout) == EOF)
                r = -errno;
            else
                r = input_fill(&run->input);
            continue;
        }
        r = template_expand(&run->tmpl, items, count, seq + 1,
                            (unsigned)(seq % options->job_limit) + 1, &args);
        seq++;
        if (r == 0)
            r = print_line(&args);
    }
    args_free(&args);
    if (r == 0 && fflush(stdout) == EOF)
        r = -errno;
    if (r == -ENOMEM || run->input.error != 0) {
        cmd_say("items: %s", brood_strerror(r != 0 ? r : run->input.error));
        return STATUS_RESOURCE;
    }
    if (r < 0)
        cmd_say("standard output: %s", brood_strerror(r));
    return r < 0 ? STATUS_OUTPUT : STATUS_OK;
}

static int real_run(struct run *run, const struct map_options *options)
{
    int r, status;

    run->log.fd = -1;
    if (options->log_path != NULL) {
        r = log_open(&run->log, options->log_path);
        if (r < 0) {
            cmd_say("option --joblog: %.200s: %s", options->log_path, brood_strerror(r));
            return STATUS_OUTPUT;
        }
    }
    status = run_all(run, options);
    log_close(&run->log);
    /* Whatever jobs left behind goes with us. */
    (void)brood_shutdown(run->walk_away ? BROOD_NOWAIT : BROOD_FOREVER);
    if (run->death_signal != 0) {
        signals_die(run);
        status = 128 + run->death_signal; /* it was blocked from outside: say it this way */
    }
    return status;
}

int cmd_map(int argc, char **argv)
{
    struct map_options options;
    struct run run = { .next_seq = 1 };
    int status;

    if (options_parse(argc, argv, &options, &status) != 0)
        return status;
    if (make_template(&run, &options) < 0) {
        cmd_say("%s", brood_strerror(-ENOMEM));
        return STATUS_RESOURCE;
    }
    status = open_input(&run, &options);
    if (status == STATUS_OK)
        status = options.dry_run ? dry_run(&run, &options) : real_run(&run, &options);
    input_close(&run.input);
    template_free(&run.tmpl);
    return status;
}
