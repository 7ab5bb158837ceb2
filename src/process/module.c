/*
 * A module is known by its GNU build-id, which the linker computes from its contents. One
 * linked without is known by a hash of its name and program headers: weaker, for two builds
 * may agree in those, but the same file always does.
 */
#include "process/module.h"

#include <errno.h>
#include <link.h>
#include <string.h>

#define MODULE_BYTES sizeof(((brood_function_id *)0)->module)

static void hash_bytes(uint64_t *hash, const void *bytes, size_t count)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < count; i++) /* FNV-1a */
        *hash = (*hash ^ p[i]) * 0x100000001b3u;
}

static void layout_id(const struct dl_phdr_info *info, uint8_t ret_id[MODULE_BYTES])
{
    uint64_t hash = 0xcbf29ce484222325u;

    hash_bytes(&hash, info->dlpi_name, strlen(info->dlpi_name));
    hash_bytes(&hash, info->dlpi_phdr, sizeof(ElfW(Phdr)) * info->dlpi_phnum);
    memset(ret_id, 0, MODULE_BYTES);
    memcpy(ret_id, "layout", 6);
    memcpy(ret_id + 8, &hash, sizeof hash);
}

/* Finds the build-id among the notes of one PT_NOTE segment. */
static bool note_id(const char *notes, size_t bytes, size_t align, uint8_t ret_id[MODULE_BYTES])
{
    align = align < 4 ? 4 : align;
    while (bytes >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)notes;
        size_t name_bytes = (note->n_namesz + align - 1) & ~(align - 1);
        size_t text_bytes = (note->n_descsz + align - 1) & ~(align - 1);
        size_t whole = sizeof *note + name_bytes + text_bytes;

        if (whole > bytes)
            return false;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
            memcmp(notes + sizeof *note, "GNU", 4) == 0) {
            size_t id_bytes = note->n_descsz < MODULE_BYTES ? note->n_descsz : MODULE_BYTES;

            memset(ret_id, 0, MODULE_BYTES);
            memcpy(ret_id, notes + sizeof *note + name_bytes, id_bytes);
            return true;
        }
        notes += whole;
        bytes -= whole;
    }
    return false;
}

static void module_id(const struct dl_phdr_info *info, uint8_t ret_id[MODULE_BYTES])
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];

        if (h->p_type == PT_NOTE &&
            note_id((const char *)info->dlpi_addr + h->p_vaddr, h->p_memsz, h->p_align, ret_id))
            return;
    }
    layout_id(info, ret_id);
}

static bool holds(const struct dl_phdr_info *info, uintptr_t address, bool code)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t start = (uintptr_t)info->dlpi_addr + h->p_vaddr;

        if (h->p_type == PT_LOAD && (!code || (h->p_flags & PF_X)) && address >= start &&
            address - start < h->p_memsz)
            return true;
    }
    return false;
}

struct search {
    uintptr_t address;     /* locate: what to look for */
    brood_function_id *id; /* locate: where it goes; resolve: what to look for */
    bool code;
};

static int locate_in(struct dl_phdr_info *info, size_t bytes, void *user)
{
    struct search *s = user;

    (void)bytes;
    if (!holds(info, s->address, false))
        return 0;
    module_id(info, s->id->module);
    s->id->offset = s->address - (uintptr_t)info->dlpi_addr;
    return 1;
}

int brood__module_locate(const void *address, brood_function_id *ret_id)
{
    struct search s = { (uintptr_t)address, ret_id, false };

    memset(ret_id, 0, sizeof *ret_id);
    return dl_iterate_phdr(locate_in, &s) == 1 ? 0 : -ENOENT;
}

static int resolve_in(struct dl_phdr_info *info, size_t bytes, void *user)
{
    struct search *s = user;
    uint8_t id[MODULE_BYTES];

    (void)bytes;
    module_id(info, id);
    if (memcmp(id, s->id->module, MODULE_BYTES) != 0)
        return 0;
    s->address = (uintptr_t)info->dlpi_addr + s->id->offset;
    return holds(info, s->address, s->code) ? 1 : -1;
}

int brood__module_resolve(const brood_function_id *id, bool code, void **ret_address)
{
    brood_function_id wanted = *id;
    struct search s = { 0, &wanted, code };

    if (dl_iterate_phdr(resolve_in, &s) != 1)
        return -ENOENT;
    *ret_address = (void *)s.address;
    return 0;
}
