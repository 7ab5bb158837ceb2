/* The environment that a child gets, built before it exists. */
#ifndef BROOD__ENVIRONMENT_H
#define BROOD__ENVIRONMENT_H

#include "process/launch.h"
#include "process/mark.h"

/*
 * A new vector for free(): the launch's own environment, or this process's, with `entries`
 * (NULL-ended; may be NULL itself) in place of variables of the same names. The strings are
 * borrowed from all of these. NULL if out of memory.
 */
char **brood__environment(const struct brood__launch *launch, char *const *entries);

/* The value of a variable in a vector, or NULL. */
const char *brood__environment_get(char *const *vector, const char *name);

#endif
