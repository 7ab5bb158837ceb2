/* Structs that cross the public interface carry their size, so that caller and library may
 * be of different versions. */
#ifndef BROOD__OPTIONS_H
#define BROOD__OPTIONS_H

#include <stddef.h>

/*
 * Reads a caller's option struct, whose first member is its size_t size, into ours. NULL
 * gives all defaults. -EINVAL for one smaller than the first that was published; -E2BIG for
 * one that uses fields we lack.
 */
int brood__options_read(void *into, size_t into_bytes, size_t first_bytes, const void *from);

/* Writes a result struct as far as the caller's size reaches, keeping that size. -EINVAL
 * for NULL or a size under `first_bytes`. */
int brood__result_write(void *to, size_t first_bytes, const void *from, size_t from_bytes);

#endif
