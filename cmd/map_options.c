/*
 * The command line of `brood map`. Options end at the first word that is not one: what
 * follows is the command, whose own options are none of ours.
 */
#include "map_options.h"

#include "cmd.h"
#include "map_template.h"

#include <brood.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define JOBS_MAX 65536
#define BATCH_MAX 1000000

static const char help_text[] =
    "usage: brood map [options] command [argument ...] [::: item ...]\n"
    "       brood map --shell script [options] [::: item ...]\n"
    "\n"
    "Runs the command once for each item, several at a time. Items are the lines of\n"
    "standard input, of a file, or the words after :::. In the command {} stands for the\n"
    "item, {.} {/} {//} {/.} for parts of it, {#} for the number of the job, {%} for that\n"
    "of its slot; without any of these the item is the last argument. No shell is used.\n"
    "\n"
    "  -j, --jobs N|N%|+N|-N   jobs at a time; 0: as many as allowed (default: processors)\n"
    "  -n, --max-args N        items a job (default 1)\n"
    "  -a, --arg-file FILE     read items from FILE\n"
    "  -0, --null              items end with a NUL byte\n"
    "  -d, --delimiter C       items end with C\n"
    "      --crlf              drop a carriage return at the end of an item\n"
    "  -k, --keep-order        print outputs in the order of the items\n"
    "      --buffer SIZE       memory for output that waits (default 64M)\n"
    "      --shell SCRIPT      run SCRIPT by /bin/sh; the items are \"$1\", \"$2\", ...\n"
    "      --timeout TIME      end a job after TIME: 10, 1.5s, 250ms, 2m, 1h\n"
    "      --grace TIME        time between asking a job to end and killing it (default 5)\n"
    "      --halt WHEN         never, or now|soon,fail|success|done=N|N%\n"
    "      --joblog FILE       append a JSON record of each job to FILE\n"
    "      --progress[=HOW]    auto, bar, lines or none (default none)\n"
    "      --dry-run           print the commands instead of running them\n"
    "      --help, --version\n";

enum option_id {
    OPT_JOBS,
    OPT_BATCH,
    OPT_FILE,
    OPT_NULL,
    OPT_DELIMITER,
    OPT_CRLF,
    OPT_ORDER,
    OPT_BUFFER,
    OPT_SHELL,
    OPT_TIMEOUT,
    OPT_GRACE,
    OPT_HALT,
    OPT_LOG,
    OPT_PROGRESS,
    OPT_DRY_RUN,
    OPT_HELP,
    OPT_VERSION
};

enum value_kind { VALUE_NONE, VALUE_NEEDED, VALUE_OPTIONAL };

struct option_row {
    const char *name;
    char letter;
    enum value_kind value;
    enum option_id id;
};

static const struct option_row option_rows[] = {
    { "jobs", 'j', VALUE_NEEDED, OPT_JOBS },
    { "max-args", 'n', VALUE_NEEDED, OPT_BATCH },
    { "arg-file", 'a', VALUE_NEEDED, OPT_FILE },
    { "null", '0', VALUE_NONE, OPT_NULL },
    { "delimiter", 'd', VALUE_NEEDED, OPT_DELIMITER },
    { "crlf", '\0', VALUE_NONE, OPT_CRLF },
    { "keep-order", 'k', VALUE_NONE, OPT_ORDER },
    { "buffer", '\0', VALUE_NEEDED, OPT_BUFFER },
    { "shell", '\0', VALUE_NEEDED, OPT_SHELL },
    { "timeout", '\0', VALUE_NEEDED, OPT_TIMEOUT },
    { "grace", '\0', VALUE_NEEDED, OPT_GRACE },
    { "halt", '\0', VALUE_NEEDED, OPT_HALT },
    { "joblog", '\0', VALUE_NEEDED, OPT_LOG },
    { "progress", '\0', VALUE_OPTIONAL, OPT_PROGRESS },
    { "dry-run", '\0', VALUE_NONE, OPT_DRY_RUN },
    { "help", 'h', VALUE_NONE, OPT_HELP },
    { "version", '\0', VALUE_NONE, OPT_VERSION },
};

/* How the user spelled the option, for messages. */
static void spell(char *text, size_t capacity, const struct option_row *row, bool is_long)
{
    if (is_long)
        (void)snprintf(text, capacity, "--%s", row->name);
    else
        (void)snprintf(text, capacity, "-%c", row->letter);
}

/* What the descriptors allow: a pidfd and both ends of two pipes a job, and what we and
 * libbrood need. */
static unsigned jobs_allowed(void)
{
    struct rlimit limit;
    rlim_t jobs;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return JOBS_MAX;
    jobs = limit.rlim_cur < 37 ? 1 : (limit.rlim_cur - 32) / 5;
    return jobs > JOBS_MAX ? JOBS_MAX : (unsigned)jobs;
}

static int parse_jobs(const char *text, unsigned *ret_limit)
{
    char digits[24];
    size_t length = strlen(text);
    bool percent = length > 0 && text[length - 1] == '%';
    char sign = text[0] == '+' || text[0] == '-' ? text[0] : '\0';
    uint64_t count, processors;

    if (length >= sizeof digits)
        return -EINVAL;
    memcpy(digits, text, length + 1);
    if (percent)
        digits[length - 1] = '\0';
    if (cmd_parse_count(digits + (sign != '\0'), 0, 1000000, &count) < 0)
        return -EINVAL;
    if (percent && (sign != '\0' || count == 0))
        return -EINVAL;
    if (count == 0 && sign == '\0') {
        *ret_limit = jobs_allowed();
        return 0;
    }
    if (percent || sign != '\0') {
        processors = (uint64_t)brood_cpu_count();
        if (percent)
            count = processors * count / 100;
        else if (sign == '+')
            count = processors + count;
        else
            count = processors > count ? processors - count : 1;
    }
    *ret_limit = count < 1 ? 1 : count > JOBS_MAX ? JOBS_MAX : (unsigned)count;
    return 0;
}

static int parse_delimiter(const char *text, char *ret_separator)
{
    static const char names[] = "n\nt\tr\r0\0\\\\";
    char *end;
    long value;

    if (text[0] == '\0')
        return -EINVAL;
    if (text[1] == '\0') {
        *ret_separator = text[0];
        return 0;
    }
    if (text[0] != '\\')
        return -EINVAL;
    if (text[1] == 'x' && text[2] != '\0' && strspn(text + 2, "0123456789abcdefABCDEF") < 3) {
        value = strtol(text + 2, &end, 16);
        *ret_separator = (char)value;
        return *end == '\0' ? 0 : -EINVAL;
    }
    for (size_t i = 0; text[2] == '\0' && i + 1 < sizeof names; i += 2) {
        if (names[i] == text[1]) {
            *ret_separator = names[i + 1];
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_progress(const char *text, enum progress_mode *ret_mode)
{
    static const char *const names[] = { "none", "auto", "bar", "lines" };

    if (text == NULL) {
        *ret_mode = PROGRESS_AUTO;
        return 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_mode = (enum progress_mode)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_script(const char *text, const char **ret_script)
{
    if (template_names_item(text))
        return -EINVAL;
    *ret_script = text;
    return 0;
}

/* Sets one option. Returns 0 or negative errno, with what is wrong in *ret_why. */
static int set_option(struct map_options *options, enum option_id id, const char *value,
                      const char **ret_why)
{
    uint64_t count;
    int r;

    switch (id) {
    case OPT_JOBS:
        *ret_why = "is not a number of jobs (N, N%, +N or -N)";
        return parse_jobs(value, &options->job_limit);
    case OPT_BATCH:
        *ret_why = "is not a number of items from 1 to 1000000";
        r = cmd_parse_count(value, 1, BATCH_MAX, &count);
        if (r == 0)
            options->batch_count = (size_t)count;
        return r;
    case OPT_FILE: options->input_path = value; return 0;
    case OPT_NULL:
        options->separator = '\0';
        options->keep_empty = true;
        return 0;
    case OPT_DELIMITER:
        *ret_why = "is not one byte (C, \\n, \\t, \\r, \\0, \\\\ or \\xHH)";
        options->keep_empty = false;
        return parse_delimiter(value, &options->separator);
    case OPT_CRLF: options->strip_cr = true; return 0;
    case OPT_ORDER: options->keep_order = true; return 0;
    case OPT_BUFFER:
        *ret_why = "is not a size (N, NK, NM or NG)";
        return cmd_parse_size(value, &options->buffer_bytes);
    case OPT_SHELL:
        *ret_why = "must not hold {}: items are not pasted into scripts, use \"$1\"";
        return parse_script(value, &options->shell_script);
    case OPT_TIMEOUT:
        *ret_why = "is not a time (10, 1.5s, 250ms, 2m, 1h)";
        return cmd_parse_duration(value, false, &options->timeout_ns);
    case OPT_GRACE:
        *ret_why = "is not a time (10, 1.5s, 250ms, 2m, 1h)";
        return cmd_parse_duration(value, true, &options->grace_ns);
    case OPT_HALT:
        *ret_why = "is not never or now|soon,fail|success|done=N|N%";
        return halt_parse(value, &options->halt);
    case OPT_LOG: options->log_path = value; return 0;
    case OPT_PROGRESS:
        *ret_why = "is not auto, bar, lines or none";
        return parse_progress(value, &options->progress);
    case OPT_DRY_RUN: options->dry_run = true; return 0;
    case OPT_HELP:
    case OPT_VERSION: break;
    }
    return 1;
}

/* --help and --version: status 0 only if the text arrived. */
static int print_text(enum option_id id)
{
    int r = id == OPT_HELP ? fputs(help_text, stdout) : printf("brood %s\n", brood_version());

    if (r < 0 || fflush(stdout) == EOF) {
        cmd_say("standard output: %s", brood_strerror(errno));
        return STATUS_OUTPUT;
    }
    return STATUS_OK;
}

/* Applies an option whose value is known. Returns 0, or 1 with *ret_status. */
static int apply(struct map_options *options, const struct option_row *row, bool is_long,
                 const char *value, int *ret_status)
{
    const char *why = "";
    char name[24];
    int r = set_option(options, row->id, value, &why);

    *ret_status = STATUS_USAGE;
    if (r == 0)
        return 0;
    if (r > 0) {
        *ret_status = print_text(row->id);
        return 1;
    }
    spell(name, sizeof name, row, is_long);
    cmd_say("option %s: '%.200s' %s", name, value, why);
    return 1;
}

/* argv[*at] is a long option. */
static int parse_long(struct map_options *options, int argc, char **argv, int *at,
                      int *ret_status)
{
    const char *name = argv[*at] + 2, *value = strchr(name, '=');
    size_t length = value == NULL ? strlen(name) : (size_t)(value - name);
    const struct option_row *row = NULL;

    *ret_status = STATUS_USAGE;
    for (size_t i = 0; i < sizeof option_rows / sizeof option_rows[0]; i++) {
        if (strlen(option_rows[i].name) == length &&
            memcmp(option_rows[i].name, name, length) == 0)
            row = &option_rows[i];
    }
    if (row == NULL) {
        cmd_say("unknown option --%.*s; try brood map --help", (int)length, name);
        return 1;
    }
    if (value != NULL)
        value++;
    if (value != NULL && row->value == VALUE_NONE) {
        cmd_say("option --%s takes no value", row->name);
        return 1;
    }
    if (value == NULL && row->value == VALUE_NEEDED) {
        if (*at + 1 >= argc) {
            cmd_say("option --%s needs a value", row->name);
            return 1;
        }
        value = argv[++*at];
    }
    return apply(options, row, true, value, ret_status);
}

/* argv[*at] is one or more short options. */
static int parse_short(struct map_options *options, int argc, char **argv, int *at,
                       int *ret_status)
{
    const char *letter = argv[*at] + 1;

    *ret_status = STATUS_USAGE;
    for (; *letter != '\0'; letter++) {
        const struct option_row *row = NULL;
        const char *value = NULL;

        for (size_t i = 0; i < sizeof option_rows / sizeof option_rows[0]; i++) {
            if (option_rows[i].letter == *letter)
                row = &option_rows[i];
        }
        if (row == NULL) {
            cmd_say("unknown option -%c; try brood map --help", *letter);
            return 1;
        }
        if (row->value == VALUE_NEEDED) {
            if (letter[1] != '\0') {
                value = letter + 1;
            } else if (*at + 1 < argc) {
                value = argv[++*at];
            } else {
                cmd_say("option -%c needs a value", *letter);
                return 1;
            }
        }
        if (apply(options, row, false, value, ret_status) != 0)
            return 1;
        if (value != NULL)
            return 0;
    }
    return 0;
}

/* What follows the options: the command, and after ::: the items. */
static int parse_operands(struct map_options *options, int argc, char **argv, int at)
{
    int start = at;

    while (at < argc && strcmp(argv[at], ":::") != 0 && strcmp(argv[at], "::::") != 0)
        at++;
    options->command = argv + start;
    options->command_count = (size_t)(at - start);
    if (at < argc && argv[at][3] == ':') {
        cmd_say("'::::' is not supported; read items from a file with -a FILE");
        return 1;
    }
    if (at < argc) {
        options->items = argv + at + 1;
        options->item_count = (size_t)(argc - at - 1);
    }
    for (size_t i = 0; i < options->item_count; i++) {
        if (strcmp(options->items[i], ":::") == 0) {
            cmd_say("more than one ':::' is not supported");
            return 1;
        }
    }
    return 0;
}

static int check(const struct map_options *options)
{
    if (options->shell_script != NULL && options->command_count > 0) {
        cmd_say("option --shell takes no command besides the script (found '%.200s')",
                options->command[0]);
        return 1;
    }
    if (options->shell_script == NULL && options->command_count == 0) {
        cmd_say("no command; usage: brood map [options] command [argument ...] [::: item ...]");
        return 1;
    }
    if (options->shell_script == NULL && options->command[0][0] == '\0') {
        cmd_say("the command is an empty string");
        return 1;
    }
    if (options->items != NULL && options->input_path != NULL) {
        cmd_say("option -a: items come from a file or after ':::', not both");
        return 1;
    }
    return 0;
}

int options_parse(int argc, char **argv, struct map_options *options, int *ret_status)
{
    int at = 1;

    *options = (struct map_options){ .batch_count = 1,
                                     .separator = '\n',
                                     .progress = PROGRESS_NONE,
                                     .grace_ns = 5 * NS_PER_SECOND,
                                     .buffer_bytes = UINT64_C(64) << 20 };
    for (; at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
        int r;

        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        if (argv[at][1] == '-')
            r = parse_long(options, argc, argv, &at, ret_status);
        else
            r = parse_short(options, argc, argv, &at, ret_status);
        if (r != 0)
            return 1;
    }
    *ret_status = STATUS_USAGE;
    if (parse_operands(options, argc, argv, at) != 0 || check(options) != 0)
        return 1;
    if (options->job_limit == 0)
        options->job_limit = (unsigned)brood_cpu_count();
    return 0;
}
