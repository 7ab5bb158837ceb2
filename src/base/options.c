#include "base/options.h"

#include <errno.h>
#include <string.h>

int brood__options_read(void *into, size_t into_bytes, size_t first_bytes, const void *from)
{
    const unsigned char *bytes = from;
    size_t size;

    memset(into, 0, into_bytes);
    if (from == NULL)
        return 0;
    memcpy(&size, from, sizeof size);
    if (size < first_bytes)
        return -EINVAL;
    for (size_t i = into_bytes; i < size; i++)
        if (bytes[i] != 0)
            return -E2BIG;
    memcpy(into, from, size < into_bytes ? size : into_bytes);
    return 0;
}

int brood__result_write(void *to, size_t first_bytes, const void *from, size_t from_bytes)
{
    size_t size;

    if (to == NULL)
        return -EINVAL;
    memcpy(&size, to, sizeof size);
    if (size < first_bytes)
        return -EINVAL;
    memcpy(to, from, size < from_bytes ? size : from_bytes);
    memcpy(to, &size, sizeof size);
    return 0;
}
