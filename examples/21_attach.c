/*
 * 21_attach: memory for a process that is no copy of this one.
 * A spawned child, the program executed anew, attaches a segment by the descriptor it was
 * handed, and another one by name. Prints what they left there, and that the name is gone.
 * Next: 22_buffer.c.
 */
#include <brood.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* In the segment: places instead of pointers, for each process has it somewhere else. */
struct board {
    uint64_t lock;
    int visits;
};

struct invitation {
    int fd;        /* -1: come by name */
    char name[40]; /* of the segment */
};

static int visit(void *argument, size_t argument_bytes)
{
    const struct invitation *invitation = argument;
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    brood_shared *shared = NULL;
    struct board *board;
    brood_lock *lock;
    int r;

    (void)argument_bytes;
    options.name = invitation->name;
    options.layout = 1; /* of struct board */
    if (invitation->fd >= 0)
        r = brood_shared_attach_fd(invitation->fd, &options, &shared);
    else
        r = brood_shared_attach(&options, &shared);
    if (r < 0)
        return EXIT_FAILURE;
    board = brood_shared_at(shared, brood_shared_root(shared));
    lock = brood_shared_at(shared, board->lock);
    r = brood_lock_acquire(lock, BROOD_FOREVER);
    if (r >= 0) {
        board->visits++;
        r = brood_lock_release(lock);
    }
    brood_shared_detach(shared);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int send_visitor(const struct invitation *invitation)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int code = 0, r;

    options.start_method = BROOD_START_SPAWN;
    options.descriptors = &invitation->fd;
    options.descriptor_count = invitation->fd >= 0 ? 1 : 0;
    r = brood_process_create(visit, invitation, sizeof *invitation, &options, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(process, &code);
    brood_process_free(process);
    return r == 0 && code != 0 ? -EIO : r;
}

static int make_board(brood_shared *shared, struct board **ret_board)
{
    struct board *board = NULL;
    brood_lock *lock = NULL;
    int r = brood_shared_alloc(shared, sizeof *board, BROOD_ALLOC_ZERO, (void **)&board);

    if (r == 0)
        r = brood_lock_create(shared, NULL, &lock);
    if (r < 0)
        return r;
    board->lock = brood_shared_place(shared, lock);
    *ret_board = board;
    return brood_shared_set_root(shared, brood_shared_place(shared, board)); /* ready */
}

int main(int argc, char **argv)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    struct invitation invitation = { -1, "" };
    brood_shared *shared = NULL;
    struct board *board = NULL;
    int r = brood_main(argc, argv);

    snprintf(invitation.name, sizeof invitation.name, "example.%d", (int)getpid());
    options.name = invitation.name;
    options.layout = 1;
    if (r == 0)
        r = brood_shared_create(&options, &shared);
    if (r == 0)
        r = make_board(shared, &board);
    if (r == 0)
        r = send_visitor(&invitation);
    if (r == 0) {
        invitation.fd = brood_shared_fd(shared);
        r = send_visitor(&invitation);
    }
    if (r == 0)
        printf("visits: %d\n", board->visits);
    if (shared != NULL && brood_shared_unlink(invitation.name) == 0 && r == 0)
        printf("by that name now: %s\n",
               brood_shared_attach(&options, &shared) == -ENOENT ? "nothing" : "something");
    if (r < 0)
        fprintf(stderr, "21_attach: %s\n", brood_strerror(r));
    brood_shared_detach(shared);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
