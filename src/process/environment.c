#include "process/environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* Do two NAME=value strings have the same name? */
static bool same_name(const char *a, const char *b)
{
    size_t bytes = strcspn(a, "=");

    return strncmp(a, b, bytes) == 0 && b[bytes] == '=';
}

static bool replaced(const char *string, char *const *entries)
{
    for (; entries != NULL && *entries != NULL; entries++)
        if (same_name(*entries, string))
            return true;
    return false;
}

char **brood__environment(const struct brood__launch *l, char *const *entries)
{
    char **own = NULL, **from = environ, **vector;
    size_t count = 0, extra = 0, n = 0;

    if (l->has_environment) {
        own = brood__launch_strings(l, &l->environment, 0);
        if (own == NULL)
            return NULL;
        from = own;
    }
    while (from != NULL && from[count] != NULL)
        count++;
    while (entries != NULL && entries[extra] != NULL)
        extra++;
    vector = calloc(count + extra + 1, sizeof *vector);
    for (size_t i = 0; vector != NULL && i < count; i++)
        if (!replaced(from[i], entries))
            vector[n++] = from[i];
    for (size_t i = 0; vector != NULL && i < extra; i++)
        vector[n++] = entries[i];
    free(own);
    return vector;
}

const char *brood__environment_get(char *const *vector, const char *name)
{
    size_t bytes = strlen(name);

    for (; *vector != NULL; vector++)
        if (strncmp(*vector, name, bytes) == 0 && (*vector)[bytes] == '=')
            return *vector + bytes + 1;
    return NULL;
}
