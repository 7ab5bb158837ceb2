/*
 * Which tests there are: from the manifest that the build writes, and by asking each test
 * program for its cases.
 */
#include "runner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_LIMIT_S 30.0
#define SCRIPT_LIMIT_S 60.0

char *runner_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        fputs("runner: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return text;
}

/* Tests run in directories of their own, so their paths must be whole. */
static char *whole_path(const char *path)
{
    char *whole = realpath(path, NULL);

    return whole != NULL ? whole : runner_format("%s", path);
}

static struct entry *list_append(struct entry_list *list)
{
    struct entry *items = realloc(list->items, (list->count + 1) * sizeof *items);

    if (items == NULL) {
        fputs("runner: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    list->items = items;
    memset(&items[list->count], 0, sizeof *items);
    return &items[list->count++];
}

/* The file's name without its directory and without `.sh` and the like. */
static char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = runner_format("%s", slash == NULL ? path : slash + 1);
    char *dot = strrchr(name, '.');

    if (dot != NULL)
        *dot = '\0';
    return name;
}

/* One line of `PROGRAM --list`: the case, as suite.case, and its limit in seconds or 0. */
static void list_add_line(struct entry_list *list, const char *suite, const char *path,
                          char *line)
{
    char *limit = strchr(line, '\t');
    struct entry *entry = list_append(list);

    if (limit != NULL)
        *limit++ = '\0';
    entry->limit_s = limit != NULL && atof(limit) > 0 ? atof(limit) : CASE_LIMIT_S;
    entry->case_name = runner_format("%s", line);
    entry->name = runner_format("%s/%s", suite, line);
    entry->path = whole_path(path);
}

int list_add_program(struct entry_list *list, const char *suite, const char *path)
{
    char *command = runner_format("'%s' --list", path);
    FILE *pipe = popen(command, "re");
    size_t before = list->count;
    size_t capacity = 0;
    char *line = NULL;
    int status;

    free(command);
    if (pipe == NULL)
        return -1;
    while (getline(&line, &capacity, pipe) > 0) {
        line[strcspn(line, "\n")] = '\0';
        list_add_line(list, suite, path, line);
    }
    free(line);
    status = pclose(pipe);
    if (status != 0 || list->count == before) {
        fprintf(stderr, "runner: %s --list named no cases\n", path);
        return -1;
    }
    return 0;
}

/* A comment `# limit: SECONDS` among a script's first lines replaces the usual limit. */
static double script_limit_s(const char *path)
{
    FILE *file = fopen(path, "re");
    double limit_s = SCRIPT_LIMIT_S;
    char line[256];

    if (file == NULL)
        return limit_s;
    for (int i = 0; i < 20 && fgets(line, sizeof line, file) != NULL; i++)
        if (sscanf(line, "# limit: %lf", &limit_s) == 1)
            break;
    fclose(file);
    return limit_s;
}

int list_add_script(struct entry_list *list, const char *suite, const char *path)
{
    size_t length = strlen(path);
    struct entry *entry;
    char *base;

    if (access(path, R_OK) != 0) {
        perror(path);
        return -1;
    }
    base = base_name(path);
    entry = list_append(list);
    entry->name = runner_format("%s/%s", suite, base);
    entry->path = whole_path(path);
    entry->shell_script = length > 3 && strcmp(path + length - 3, ".sh") == 0;
    entry->limit_s = script_limit_s(path);
    free(base);
    return 0;
}

int list_add_example(struct entry_list *list, const char *path, const char *expected)
{
    char *base = base_name(path);
    struct entry *entry = list_append(list);

    entry->name = runner_format("examples/%s", base);
    entry->path = whole_path(path);
    entry->limit_s = CASE_LIMIT_S;
    if (expected != NULL && access(expected, R_OK) == 0)
        entry->expected_path = whole_path(expected);
    free(base);
    return 0;
}

/*
 * A line of the manifest is of words between tabs:
 *     env      NAME     VALUE
 *     program  SUITE    PATH
 *     script   SUITE    PATH
 *     example  PATH     EXPECTED
 */
static int list_add_manifest_line(struct entry_list *list, char *line)
{
    char *kind = strtok(line, "\t");
    char *first = kind == NULL ? NULL : strtok(NULL, "\t");
    char *second = first == NULL ? NULL : strtok(NULL, "\t");

    if (kind == NULL || kind[0] == '#')
        return 0;
    if (second == NULL)
        return -1;
    if (strcmp(kind, "env") == 0)
        return setenv(first, second, 1);
    if (strcmp(kind, "program") == 0)
        return list_add_program(list, first, second);
    if (strcmp(kind, "script") == 0)
        return list_add_script(list, first, second);
    if (strcmp(kind, "example") == 0)
        return list_add_example(list, first, second);
    return -1;
}

int list_add_manifest(struct entry_list *list, const char *path)
{
    FILE *file = fopen(path, "re");
    size_t capacity = 0;
    char *line = NULL;
    int r = 0;

    if (file == NULL) {
        perror(path);
        return -1;
    }
    while (r == 0 && getline(&line, &capacity, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        r = list_add_manifest_line(list, line);
        if (r < 0)
            fprintf(stderr, "runner: %s: bad entry\n", path);
    }
    free(line);
    fclose(file);
    return r;
}
