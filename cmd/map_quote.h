/*
 * quote: a command line as a POSIX shell would have to be given it.
 */
#ifndef BROOD_MAP_QUOTE_H
#define BROOD_MAP_QUOTE_H

#include <stddef.h>

/*
 * Writes the arguments, quoted where a shell needs it and parted by blanks, into `buffer`,
 * with a NUL. What does not fit is left out and "..." stands for it. Returns the length.
 */
size_t quote_line(char *buffer, size_t capacity, char *const *arguments, size_t count);

/* How much room quote_line() needs at most so that nothing is left out. */
size_t quote_line_max(char *const *arguments, size_t count);

#endif
