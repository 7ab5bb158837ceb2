/*
 * Compares what an example printed with what its .out file says it prints.
 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void line_print(FILE *report, const char *label, const char *line, ssize_t length)
{
    if (length <= 0)
        fprintf(report, "  %s: (nothing more)\n", label);
    else
        fprintf(report, "  %s: %.*s\n", label, (int)strcspn(line, "\n"), line);
}

bool output_matches(int out, const char *expected_path, FILE *report)
{
    FILE *expected = fopen(expected_path, "re");
    FILE *got = fdopen(dup(out), "r");
    char *expected_line = NULL;
    char *got_line = NULL;
    size_t expected_capacity = 0;
    size_t got_capacity = 0;
    ssize_t expected_length = 0;
    ssize_t got_length = 0;
    bool same = expected != NULL && got != NULL;
    size_t number = 0;

    if (!same)
        fprintf(report, "%s: %s\n", expected_path, strerror(errno));
    if (got != NULL)
        rewind(got);
    while (same) {
        number++;
        expected_length = getline(&expected_line, &expected_capacity, expected);
        got_length = getline(&got_line, &got_capacity, got);
        if (expected_length <= 0 && got_length <= 0)
            break;
        same = expected_length == got_length &&
               memcmp(expected_line, got_line, (size_t)got_length) == 0;
        if (!same) {
            fprintf(report, "stdout differs from %s in line %zu\n", expected_path, number);
            line_print(report, "expected", expected_line, expected_length);
            line_print(report, "printed ", got_line, got_length);
        }
    }
    free(expected_line);
    free(got_line);
    if (expected != NULL)
        fclose(expected);
    if (got != NULL)
        fclose(got);
    return same;
}
