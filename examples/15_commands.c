/*
 * 15_commands: run programs instead of functions, without a shell in between.
 * Prints what a command wrote into a pipe, exit codes of two others, and what happens with
 * one that is not there. Next: 16_object_form.c.
 */
#include <brood.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int run(const char *const argv[], const brood_process_options *options, int *ret_code)
{
    brood_process *process = NULL;
    int r = brood_process_create_command(argv, options, &process);

    if (r == 0)
        r = brood_process_start(process); /* fails here if the program cannot be run */
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(process, ret_code);
    brood_process_free(process);
    return r;
}

/* Little enough output to fit into the pipe; of more one would read before joining. */
static int print_output(void)
{
    const char *const argv[] = { "sh", "-c", "echo \"$GREETING from $(pwd)\"", NULL };
    const char *const environment[] = { "PATH=/usr/bin:/bin", "GREETING=hello", NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    char text[100];
    int output[2], code, r;
    ssize_t n;

    if (pipe2(output, O_CLOEXEC) < 0)
        return -errno;
    options.stdin_fd = BROOD_STDIO_NULL;
    options.stdout_fd = output[1];
    options.environment = environment;
    options.working_directory = "/";
    r = run(argv, &options, &code);
    close(output[1]);
    while (r == 0 && (n = read(output[0], text, sizeof text)) > 0)
        printf("output: %.*s", (int)n, text);
    close(output[0]);
    return r;
}

int main(void)
{
    const char *const fail[] = { "sh", "-c", "exit 3", NULL };
    const char *const die[] = { "sh", "-c", "kill -TERM $$", NULL };
    const char *const absent[] = { "no-such-command", NULL };
    int code = 0, r = print_output();

    if (r == 0)
        r = run(fail, NULL, &code);
    if (r == 0) {
        printf("exit 3: %d\n", code);
        r = run(die, NULL, &code);
    }
    if (r == 0) {
        printf("kill -TERM: %d\n", code);
        printf("no-such-command: %s\n",
               run(absent, NULL, &code) == -ENOENT ? "-ENOENT at the start" : "?");
    }
    if (r < 0)
        fprintf(stderr, "15_commands: %s\n", brood_strerror(r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
