/*
 * Segments by themselves: what creation and attaching accept and refuse, places, the root,
 * names, and what a file that is no segment, or a damaged one, is met with. Method: create,
 * attach again in the same process (another mapping, at another address), and compare.
 */
#include "test.h"

#include "shm/layout.h"

#include <brood/shared.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static brood_shared_options named(char name[64], const char *what)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;

    (void)snprintf(name, 64, "test.%d.%s", (int)getpid(), what);
    options.name = name;
    options.members_max = 16;
    return options;
}

static void refuses_bad_options(void **state)
{
    static const struct {
        const char *name;
        size_t bytes, bytes_max;
        uint32_t members_max, mode, flags;
        int r;
    } bad[] = {
        { "", 0, 0, 0, 0, 0, -EINVAL },
        { "/", 0, 0, 0, 0, 0, -EINVAL },
        { "a/b", 0, 0, 0, 0, 0, -EINVAL },
        { "//a", 0, 0, 0, 0, 0, -EINVAL },
        { NULL, 4096, 0, 0, 0, 0, -EINVAL },          /* no room for the slots */
        { NULL, 1 << 20, 1 << 19, 0, 0, 0, -EINVAL }, /* more than the most */
        { NULL, SIZE_MAX, 0, 0, 0, 0, -EINVAL },
        { NULL, 0, SIZE_MAX, 0, 0, 0, -EINVAL },
        { NULL, 0, 0, 40000, 0, 0, -EINVAL },
        { "a", 0, 0, 0, 07777, 0, -EINVAL },
        { NULL, 0, 0, 0, 0, 64, -EINVAL },
        { "a", 0, 0, 0, 0, BROOD_SHARED_HUGETLB, -EINVAL },
    };
    brood_shared *shared = NULL;
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;

        options.name = bad[i].name;
        options.bytes = bad[i].bytes;
        options.bytes_max = bad[i].bytes_max;
        options.members_max = bad[i].members_max;
        options.mode = bad[i].mode;
        options.flags = bad[i].flags;
        assert_int_equal(brood_shared_create(&options, &shared), bad[i].r);
        assert_null(shared);
    }
    memset(text, 'x', sizeof text);
    text[201] = '\0';
    assert_int_equal(brood_shared_unlink(text), -EINVAL);
    assert_int_equal(brood_shared_create(NULL, NULL), -EINVAL);
    assert_int_equal(brood_shared_attach(NULL, &shared), -EINVAL);
    assert_int_equal(brood_shared_attach_fd(-1, NULL, &shared), -EBADF);
    assert_int_equal(brood_shared_attach_fd(9999, NULL, &shared), -EBADF);
    assert_int_equal(brood_shared_fd(NULL), -EINVAL);
    assert_int_equal(brood_shared_clean(NULL), -EINVAL);
    assert_int_equal(brood_shared_list(NULL, NULL), -EINVAL);
    brood_shared_detach(NULL);
}

static void reserves_at_creation(void **state)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    brood_shared *shared = NULL;
    struct stat status;

    (void)state;
    options.bytes = 3 << 20;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    assert_int_equal(brood_shared_info_get(shared, &info), 0);
    assert_int_equal(info.bytes, 3 << 20);
    assert_int_equal(info.bytes_max, 1 << 30);
    assert_string_equal(info.name, "");
    assert_int_equal(info.members, 0);
    assert_int_equal(info.members_max, 512);
    assert_int_equal(fstat(brood_shared_fd(shared), &status), 0);
    assert_true(status.st_blocks * 512 >= 3 << 20);
    assert_true(status.st_blocks * 512 < 4 << 20);
    assert_int_equal(brood_shared_grow(shared, 5 << 20), 0);
    assert_int_equal(brood_shared_grow(shared, 1 << 20), 0);
    assert_int_equal(fstat(brood_shared_fd(shared), &status), 0);
    assert_true(status.st_blocks * 512 >= 5 << 20);
    assert_int_equal(brood_shared_grow(shared, (size_t)1 << 31), -EFBIG);
    /* Nobody can cut it off under its users. */
    assert_int_equal(ftruncate(brood_shared_fd(shared), 4096), -1);
    brood_shared_detach(shared);
}

/* What the machine cannot do is left; what was promised is there all the same. */
static void hints_are_only_hints(void **state)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    brood_shared *shared = NULL;
    void *pointer = NULL;
    int r;

    (void)state;
    options.bytes = 4 << 20;
    options.flags = BROOD_SHARED_HUGE_PAGES;
    options.numa_nodes = 1; /* the first node, which every machine has */
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    assert_int_equal(brood_shared_alloc(shared, 3 << 20, BROOD_ALLOC_ZERO, &pointer), 0);
    brood_shared_detach(shared);
    options.numa_nodes = UINT64_C(1) << 63;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    brood_shared_detach(shared);
    /* Reserved huge pages are no hint: there are some, or there are none. */
    options = (brood_shared_options)BROOD_SHARED_OPTIONS_INIT;
    options.flags = BROOD_SHARED_HUGETLB;
    options.bytes = options.bytes_max = 4 << 20;
    r = brood_shared_create(&options, &shared);
    if (r == 0)
        brood_shared_detach(shared);
    else
        assert_true(r == -ENOMEM || r == -ENOSPC || r == -ENOSYS || r == -EINVAL);
}

static void more_than_the_machine_has_is_refused(void **state)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    brood_shared *shared = NULL;
    char name[64];
    int r;

    (void)state;
    options.bytes = (size_t)1 << 43;
    r = brood_shared_create(&options, &shared);
    assert_true(r == -ENOSPC || r == -ENOMEM || r == -EFBIG);
    options = named(name, "huge");
    options.bytes = (size_t)1 << 43;
    r = brood_shared_create(&options, &shared);
    assert_true(r == -ENOSPC || r == -ENOMEM || r == -EFBIG);
    assert_int_equal(brood_shared_unlink(name), -ENOENT);
}

static void stays_below_the_file_limit(void **state)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    struct rlimit limit = { 8 << 20, 8 << 20 };
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    brood_shared *shared = NULL;

    (void)state;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_shared_info_get(shared, &info), 0);
    assert_int_equal(info.bytes_max, 8 << 20);
    brood_shared_detach(shared);
    options.bytes_max = 16 << 20;
    assert_int_equal(brood_shared_create(&options, &shared), -EFBIG);
}

static void attaches_by_name_at_another_address(void **state)
{
    brood_shared *first = NULL, *second = NULL, *third = NULL;
    char name[64];
    brood_shared_options options = named(name, "attach");
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    uint64_t place;
    char *text = NULL;

    (void)state;
    options.layout = 7;
    assert_int_equal(brood_shared_attach(&options, &first), -ENOENT);
    assert_int_equal(brood_shared_create(&options, &first), 0);
    assert_int_equal(brood_shared_create(&options, &second), -EEXIST);
    assert_int_equal(brood_shared_attach(&options, &second), 0);
    assert_int_equal(brood_shared_alloc(first, 100, 0, (void **)&text), 0);
    strcpy(text, "hello");
    place = brood_shared_place(first, text);
    assert_true(place > 0);
    assert_int_equal(brood_shared_root(second), 0);
    assert_int_equal(brood_shared_set_root(first, place), 0);
    assert_int_equal(brood_shared_root(second), place);
    assert_string_equal(brood_shared_at(second, place), "hello");
    assert_ptr_not_equal(brood_shared_at(second, place), text);
    assert_int_equal(brood_shared_place(second, text), 0); /* a pointer of the other mapping */
    assert_int_equal(brood_shared_free(second, brood_shared_at(second, place)), 0);

    assert_int_equal(brood_shared_info_get(second, &info), 0);
    assert_string_equal(info.name, name);
    assert_int_equal(info.layout, 7);
    options.layout = 8;
    assert_int_equal(brood_shared_attach(&options, &third), -EPROTO);
    options.layout = 0;
    assert_int_equal(brood_shared_attach(&options, &third), 0);
    brood_shared_detach(third);

    assert_int_equal(brood_shared_unlink(name), 0);
    assert_int_equal(brood_shared_unlink(name), -ENOENT);
    assert_int_equal(brood_shared_attach(&options, &third), -ENOENT);
    assert_int_equal(brood_shared_alloc(second, 100, 0, (void **)&text), 0); /* still there */
    brood_shared_detach(first);
    text[0] = 'x';
    brood_shared_detach(second);
}

static void attaches_by_descriptor(void **state)
{
    brood_shared *first = NULL, *second = NULL;
    char *text = NULL;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &first), 0);
    assert_true(fcntl(brood_shared_fd(first), F_GETFD) & FD_CLOEXEC);
    assert_int_equal(brood_shared_attach_fd(brood_shared_fd(first), NULL, &second), 0);
    assert_int_equal(brood_shared_alloc(first, 10, 0, (void **)&text), 0);
    strcpy(text, "hi");
    assert_string_equal(brood_shared_at(second, brood_shared_place(first, text)), "hi");
    brood_shared_detach(first);
    brood_shared_detach(second);
}

static void mode_is_what_was_asked(void **state)
{
    brood_shared *shared = NULL;
    char name[64], path[128];
    brood_shared_options options = named(name, "mode");
    struct stat status;

    (void)state;
    options.mode = 0666;
    (void)umask(077);
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    (void)snprintf(path, sizeof path, "/dev/shm/brood.%s", name);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0666);
    assert_int_equal(brood_shared_unlink(name), 0);
    brood_shared_detach(shared);
}

/* Every byte of the header in turn is turned into another: an attach refuses it, or the
 * change was harmless and the segment can be used. It never crashes. */
static void damaged_headers_are_refused(void **state)
{
    brood_shared *shared = NULL, *other = NULL;
    char name[64];
    brood_shared_options options = named(name, "damage");
    unsigned char *copy = malloc(sizeof(struct brood__header));
    int fd, refused = 0;

    (void)state;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    fd = dup(brood_shared_fd(shared));
    assert_int_equal(pread(fd, copy, sizeof(struct brood__header), 0),
                     (ssize_t)sizeof(struct brood__header));
    for (size_t i = 0; i < offsetof(struct brood__header, root); i++) {
        unsigned char bad = copy[i] ^ 0xa5;

        assert_int_equal(pwrite(fd, &bad, 1, (off_t)i), 1);
        other = NULL;
        if (brood_shared_attach(&options, &other) < 0)
            refused++;
        else
            brood_shared_detach(other);
        assert_int_equal(pwrite(fd, &copy[i], 1, (off_t)i), 1);
    }
    assert_true(refused > 40);
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(brood_shared_attach(&options, &other), -EBADMSG);
    (void)close(fd);
    assert_int_equal(brood_shared_unlink(name), -EBADMSG); /* not known to be ours */
    (void)snprintf((char *)copy, 128, "/dev/shm/brood.%s", name);
    assert_int_equal(unlink((char *)copy), 0);
    free(copy);
    _exit(0); /* the segment was cut off: do not touch it again */
}

static int count(const brood_shared_info *info, void *user)
{
    if (strncmp(info->name, "test.", 5) == 0)
        ++*(int *)user;
    return 0;
}

/* A listing meets the files of everybody: it maps none, and believes nothing. */
static void damaged_slots_end_no_listing(void **state)
{
    brood_shared *shared = NULL;
    char name[64];
    brood_shared_options options = named(name, "slots");
    uint32_t many = 0x7fffffff;
    int fd, found = 0;

    (void)state;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    fd = dup(brood_shared_fd(shared));
    assert_int_equal(pwrite(fd, &many, sizeof many, offsetof(struct brood__header, slots_used)),
                     (ssize_t)sizeof many);
    assert_int_equal(brood_shared_list(count, &found), 0);
    assert_int_equal(found, 0);
    many = 0;
    assert_int_equal(pwrite(fd, &many, sizeof many, offsetof(struct brood__header, slots_used)),
                     (ssize_t)sizeof many);
    (void)close(fd);
    brood_shared_detach(shared);
    assert_int_equal(brood_shared_clean(name), 0);
}

/* The thread is present for as long as the process has any handle. */
static void one_handle_of_two_is_given_up(void **state)
{
    brood_shared *first = NULL, *second = NULL;
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    void *pointer = NULL, *again;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &first), 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(brood_shared_attach_fd(brood_shared_fd(first), NULL, &second), 0);
        again = brood_shared_at(second, brood_shared_place(second, pointer));
        assert_int_equal(brood_shared_alloc(second, 10, 0, &pointer), 0);
        assert_true(round == 0 || again != NULL); /* the mapping that stayed */
        assert_int_equal(brood_shared_alloc(first, 10, 0, &again), 0);
        brood_shared_detach(second);
        assert_int_equal(brood_shared_info_get(first, &info), 0);
        assert_int_equal(info.members, 1);
    }
    assert_int_equal(brood_shared_attach_fd(brood_shared_fd(first), NULL, &second), 0);
    brood_shared_detach(first);
    assert_int_equal(brood_shared_info_get(second, &info), 0);
    assert_int_equal(info.members, 1);
    assert_int_equal(brood_shared_alloc(second, 10, 0, &pointer), 0);
    brood_shared_detach(second);
}

static void other_files_are_refused(void **state)
{
    brood_shared *shared = NULL;
    char name[64], path[128] = "", link_path[128];
    brood_shared_options options = named(name, "other");
    int fd;

    (void)state;
    (void)snprintf(path, sizeof path, "/dev/shm/brood.%s", name);
    (void)snprintf(link_path, sizeof link_path, "/dev/shm/brood.%s.link", name);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd > 2);
    assert_int_equal(brood_shared_attach(&options, &shared), -EBADMSG);
    assert_int_equal(write(fd, path, sizeof path), (ssize_t)sizeof path);
    assert_int_equal(brood_shared_attach(&options, &shared), -EBADMSG);
    assert_int_equal(brood_shared_unlink(name), -EBADMSG);
    assert_int_equal(brood_shared_clean(name), -EBADMSG);
    assert_int_equal(brood_shared_attach_fd(fd, NULL, &shared), -EBADMSG);
    (void)close(fd);
    assert_int_equal(symlink("/etc/passwd", link_path), 0);
    (void)snprintf(name + strlen(name), 8, ".link");
    assert_int_equal(brood_shared_attach(&options, &shared), -EBADMSG);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(unlink(path), 0);
    fd = open("/dev/null", O_RDWR);
    assert_int_equal(brood_shared_attach_fd(fd, NULL, &shared), -EBADMSG);
    (void)close(fd);
}

static void common_segment_is_one(void **state)
{
    brood_shared *first = NULL, *second = NULL;
    void *pointer = NULL;

    (void)state;
    assert_int_equal(brood_shared_common(&first), 0);
    assert_int_equal(brood_shared_common(&second), 0);
    assert_ptr_equal(first, second);
    assert_int_equal(brood_shared_alloc(NULL, 100, 0, &pointer), 0);
    assert_true(brood_shared_place(first, pointer) > 0);
    assert_int_equal(brood_shared_place(NULL, pointer), brood_shared_place(first, pointer));
    brood_shared_detach(first); /* does nothing */
    memset(pointer, 1, 100);
    assert_int_equal(brood_shared_free(NULL, pointer), 0);
    assert_null(brood_shared_at(NULL, 0));
    assert_null(brood_shared_at(NULL, 8)); /* in the header */
    assert_null(brood_shared_at(NULL, UINT64_MAX));
    assert_int_equal(brood_shared_place(NULL, NULL), 0);
    assert_int_equal(brood_shared_set_root(NULL, 8), -EINVAL);
    /* The harness compares descriptors: this one stays for the life of the process. */
    _exit(0);
}

static const struct test_case cases[] = {
    TEST_CASE(refuses_bad_options),           TEST_CASE(reserves_at_creation),
    TEST_CASE(hints_are_only_hints),          TEST_CASE(more_than_the_machine_has_is_refused),
    TEST_CASE(stays_below_the_file_limit),    TEST_CASE(attaches_by_name_at_another_address),
    TEST_CASE(attaches_by_descriptor),        TEST_CASE(mode_is_what_was_asked),
    TEST_CASE(damaged_headers_are_refused),   TEST_CASE(damaged_slots_end_no_listing),
    TEST_CASE(one_handle_of_two_is_given_up), TEST_CASE(other_files_are_refused),
    TEST_CASE(common_segment_is_one),
};
TEST_SUITE(shared, cases)
