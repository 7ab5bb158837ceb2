/* The trials: who is forked, killed and asked in which order. See step.h. */
#include "step.h"

#include "shm/heap.h"
#include "shm/presence.h"
#include "shm/robust.h"
#include "shm/segment.h"
#include "step_self.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HELPERS_MAX 4
#define FINDINGS_MAX 5 /* or BROOD_CRASH_FINDINGS: enough to end the scenario */
#define LIMIT_MS 4000  /* for whoever has to come to an end, times BROOD_TEST_TIMEOUT_FACTOR */
#define LATE_MS 1000   /* ten slices, for there is other work on the machine */
#define ASLEEP_MAX 8   /* sleeps of one operation in which the victim is killed */

brood_shared *step_shared;
struct brood__header *step_header;
struct step_notes *step_notes;

/* In memory that all processes of a trial share. */
struct common {
    struct step_control control[2];
    _Atomic pid_t helper_pid[HELPERS_MAX];
    _Atomic int spare_sleep; /* the victim is to die asleep at its target: let it sleep there */
    struct step_notes notes;
    char message[512];
    struct step_trace trace[2];
};

/* What is to be done in one trial. */
struct plan {
    enum step_act act;
    uint32_t target;
    bool asleep; /* kill it when it sleeps after `target` instructions */
};

/* The scenario at work, in the stage. */
static const struct step_scenario *scenario;
static struct common *common;
static unsigned char *image;
static size_t image_bytes;
static struct step_sight sight;
static int findings;
static struct {
    uint32_t kills, asleep, drifted;
    double seconds;
} total;

static char wrong_text[480];

const char *step_wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(wrong_text, sizeof wrong_text, format, arguments);
    va_end(arguments);
    return wrong_text;
}

int64_t step_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool step_long(void)
{
    const char *value = getenv("BROOD_TEST_LONG");

    return value != NULL && strcmp(value, "1") == 0;
}

static int findings_max(void)
{
    const char *value = getenv("BROOD_CRASH_FINDINGS");

    return value != NULL && atoi(value) > 0 ? atoi(value) : FINDINGS_MAX;
}

static double seconds_now(void)
{
    return (double)step_now() * 1e-9;
}

static int limit_ms(void)
{
    const char *factor = getenv("BROOD_TEST_TIMEOUT_FACTOR");

    return factor != NULL && atoi(factor) > 1 ? LIMIT_MS * atoi(factor) : LIMIT_MS;
}

static void nap(void)
{
    const struct timespec moment = { .tv_nsec = 50000 };

    (void)nanosleep(&moment, NULL);
}

void step_require(void)
{
    if (SANITIZED)
        test_skip("the steps of a sanitizer are not those of the library");
}

void step_require_short_spins(void)
{
#ifndef __GLIBC__
    test_skip("stepped, this C library's spin before a sleep outlasts the sleep");
#endif
}

/* ---- for helpers ---- */

static struct step_control *victim(void)
{
    return &common->control[0];
}

static bool victim_ended(void)
{
    return atomic_load(&victim()->pid) == 0 || atomic_load(&victim()->done);
}

/* Asleep, and so at two looks: between them it would have moved on. */
static bool surely_asleep(struct step_control *control)
{
    uint32_t count = atomic_load(&control->count);

    if (!step_asleep(control))
        return false;
    nap();
    return step_asleep(control) && atomic_load(&control->count) == count;
}

static void mark_asleep(struct step_control *control)
{
    uint32_t count = atomic_load(&control->count);

    if (control->act == STEP_RECORD && count <= STEP_POINTS_MAX)
        (void)atomic_fetch_or(&control->trace->marks[count], STEP_ASLEEP);
}

bool step_await_victim_asleep(void)
{
    for (;;) {
        bool asleep = surely_asleep(victim());

        if (asleep && !atomic_load(&common->spare_sleep)) {
            mark_asleep(victim());
            return true;
        }
        if (victim_ended())
            return false;
        if (!asleep)
            nap();
    }
}

void step_coming(int index)
{
    atomic_store(&step_notes->coming[index], 1);
}

void step_got(int index)
{
    atomic_store(&step_notes->got[index], step_now());
}

void step_await_asleep(int index)
{
    struct step_control look;

    while (atomic_load(&step_notes->coming[index]) == 0)
        nap();
    memset(&look, 0, sizeof look);
    atomic_store(&look.begun, 1);
    do {
        nap();
        atomic_store(&look.pid, atomic_load(&common->helper_pid[index]));
    } while (!surely_asleep(&look) && atomic_load(&step_notes->got[index]) == 0);
}

void step_await_number(int index, int64_t value)
{
    while (atomic_load(&step_notes->number[index]) < value)
        nap();
}

void step_await_victim_dead(void)
{
    while (atomic_load(&victim()->pid) != 0)
        nap();
}

/* ---- for checks ---- */

uint64_t step_used(void)
{
    return atomic_load(&step_header->heap.used_bytes);
}

uint64_t step_used_before(void)
{
    return ((const struct brood__header *)(const void *)image)->heap.used_bytes;
}

const char *step_heap_wrong(uint64_t more)
{
    int r = brood__heap_check(step_header);

    if (r < 0)
        return step_wrong("the heap is not sound: %d", r);
    r = brood_shared_reclaim(step_shared);
    if (r < 0)
        return step_wrong("reclaim: %d", r);
    r = brood__heap_check(step_header);
    if (r < 0)
        return step_wrong("the heap is not sound after a reclaim: %d", r);
    if (step_used() != step_used_before() + more)
        return step_wrong("%lld bytes more are allocated, not %lld",
                          (long long)(step_used() - step_used_before()), (long long)more);
    return NULL;
}

const char *step_late(const struct step_death *death, int index)
{
    int64_t got = atomic_load(&step_notes->got[index]);
    int64_t late_ms = (got - death->after) / 1000000;

    if (got == 0)
        return step_wrong("helper %d never got it", index);
    return late_ms > LATE_MS
               ? step_wrong("helper %d got it %d ms after the death", index, (int)late_ms)
               : NULL;
}

/* ---- processes ---- */

/* Waits for the end of a child of the stage. False: it took too long, and was killed. */
static bool await_end(pid_t pid, int ms, int *ret_status)
{
    int64_t deadline = step_now() + (int64_t)ms * 1000000;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool in_time = true;

    if (waitpid(pid, ret_status, WNOHANG) != pid) {
        struct pollfd entry = { .fd = pidfd, .events = POLLIN };
        int64_t left = deadline - step_now();

        in_time = poll(&entry, 1, left > 0 ? (int)(left / 1000000) : 0) == 1;
        if (!in_time && pid > 1)
            (void)kill(pid, SIGKILL);
        while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
            ;
    }
    if (pidfd >= 0)
        (void)close(pidfd);
    return in_time;
}

/* For addr2line, which knows more than dladdr(). */
static void print_place(const char *words, uintptr_t pc)
{
    Dl_info info;

    if (pc != 0 && dladdr((void *)pc, &info) != 0)
        printf("%s addr2line -fie %s %#lx", words, info.dli_fname,
               (unsigned long)(pc - (uintptr_t)info.dli_fbase));
}

static void finding(const struct step_death *death, const char *what)
{
    struct step_control *control = &common->control[death->killed];

    findings++;
    if (findings > FINDINGS_MAX)
        return;
    printf("  FINDING %s: %s\n    killed %s after %u instructions", scenario->name, what,
           death->killed == 1 ? "B"
           : death->asleep    ? "asleep"
                              : "it",
           (unsigned)atomic_load(&control->count));
    print_place(", before", atomic_load(&control->pc));
    printf("\n");
}

static void reset(void)
{
    memcpy(step_header, image, image_bytes);
    (void)madvise((char *)step_header + image_bytes,
                  (size_t)step_header->bytes_max - image_bytes, MADV_REMOVE);
    memset(&common->notes, 0, sizeof common->notes);
    atomic_store(&common->spare_sleep, 0);
    common->message[0] = '\0';
    for (int i = 0; i < 2; i++) {
        struct step_control *control = &common->control[i];
        struct step_trace *trace = control->trace;

        memset(control, 0, sizeof *control);
        control->trace = trace;
        atomic_store(&control->pid, -1); /* not dead */
    }
}

static void helpers_start(void)
{
    for (int i = 0; i < scenario->helpers; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            const char *wrong = scenario->help(i);

            if (wrong != NULL)
                (void)snprintf(common->message, sizeof common->message, "%s", wrong);
            _exit(wrong != NULL);
        }
        atomic_store(&common->helper_pid[i], pid);
    }
}

/* What is wrong with them, or NULL. */
static const char *helpers_end(void)
{
    const char *wrong = NULL;

    for (int i = 0; i < scenario->helpers; i++) {
        pid_t pid = atomic_load(&common->helper_pid[i]);
        int status = 0;

        if (!await_end(pid, wrong == NULL ? limit_ms() : 0, &status))
            wrong = wrong != NULL ? wrong : step_wrong("helper %d does not come to its end", i);
        else if (WIFSIGNALED(status))
            wrong = step_wrong("helper %d died of signal %d", i, WTERMSIG(status));
        else if (status != 0 && wrong == NULL)
            wrong = step_wrong("helper %d: %s", i, common->message);
    }
    return wrong;
}

/* What the survivor has to say. */
static const char *survivor_asked(const struct step_death *death)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        const char *wrong = scenario->check(death);

        if (wrong != NULL)
            (void)snprintf(common->message, sizeof common->message, "%s", wrong);
        _exit(wrong != NULL);
    }
    if (!await_end(pid, limit_ms(), &status))
        return "the survivor does not come to its end";
    if (WIFSIGNALED(status))
        return step_wrong("the survivor died of signal %d", WTERMSIG(status));
    return status == 0 ? NULL : common->message;
}

/* The farthest point that a breakpoint brings one to for less than the steps it saves. */
static uint32_t breakpoint_before(const struct step_trace *trace, uint32_t target)
{
    uint32_t best = 0, best_cost = target;

    for (uint32_t back = 0; back < best_cost && back < target; back++) {
        uint32_t cost = back + 2 * trace->nth[target - back];

        if (cost < best_cost) {
            best_cost = cost;
            best = target - back;
        }
    }
    return best;
}

static void stepped_start(int who, const struct plan *plan)
{
    struct step_control *control = &common->control[who];
    pid_t pid;

    control->act = plan->act;
    control->target = plan->target;
    if ((scenario->flags & STEP_VARIES) == 0 && plan->act != STEP_RECORD &&
        plan->act != STEP_COUNT && control->trace->count >= plan->target)
        control->breakpoint = breakpoint_before(control->trace, plan->target);
    pid = fork();
    if (pid == 0) {
        atomic_store(&control->pid, getpid());
        if (scenario->begin != NULL)
            scenario->begin(who);
        if (plan->act == STEP_RECORD)
            memcpy(sight.copy, sight.memory, sight.bytes);
        if (step_self_possible()) {
            atomic_store(&control->begun, 1);
            step_self(control, &sight, scenario->operate, who);
        } else {
            step_traced(control, scenario->operate, who);
        }
        if (plan->act != STEP_HOLD) /* it came to the end: dead all the same */
            (void)kill(getpid(), SIGKILL);
        _exit(0);
    }
    atomic_store(&control->pid, pid);
}

/* Kills it when it sleeps after its target. False: it came to its end without. */
static bool kill_asleep(struct step_control *control, pid_t pid)
{
    int64_t deadline = step_now() + (int64_t)limit_ms() * 1000000;

    while (!atomic_load(&control->done) && step_now() < deadline) {
        if (atomic_load(&control->count) >= control->target && surely_asleep(control)) {
            (void)kill(pid, SIGKILL);
            return true;
        }
        nap();
    }
    return false;
}

/* One victim, one survivor. */
static void trial(const struct plan *plan)
{
    struct step_control *control = victim();
    struct step_death death = { .asleep = plan->asleep };
    const char *wrong = NULL, *helpers_wrong;
    int status = 0;
    pid_t pid;

    reset();
    atomic_store(&common->spare_sleep, plan->asleep);
    (void)fflush(NULL);
    helpers_start();
    stepped_start(0, plan);
    pid = atomic_load(&control->pid);
    if (!step_self_possible())
        step_trace_on(control, &sight);
    if (plan->asleep) {
        /* The others are not to wait for it to sleep elsewhere, too. */
        death.asleep = kill_asleep(control, pid);
        atomic_store(&common->spare_sleep, 0);
    } else if (plan->act == STEP_RECORD && (scenario->flags & STEP_SLEEPS) != 0) {
        int64_t deadline = step_now() + (int64_t)limit_ms() * 1000000;

        while (!atomic_load(&control->done) && step_now() < deadline) {
            if (surely_asleep(control))
                mark_asleep(control);
            nap();
        }
    }
    if (!await_end(pid, plan->act == STEP_RECORD ? 3 * limit_ms() : limit_ms(), &status))
        wrong = "the operation does not come to its end";
    death.after = step_now();
    atomic_store(&control->pid, 0);
    if (wrong == NULL && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL))
        wrong = step_wrong("the operation ended with status %#x", (unsigned)status);
    death.done[0] = atomic_load(&control->done) != 0;
    if (plan->act == STEP_DIE && !plan->asleep && !death.done[0] && step_self_possible() &&
        plan->target > 0 && atomic_load(&control->pc) != control->trace->pcs[plan->target])
        total.drifted++;
    total.kills++;
    total.asleep += death.asleep;
    helpers_wrong = helpers_end();
    if (wrong == NULL)
        wrong = helpers_wrong;
    if (wrong == NULL)
        wrong = survivor_asked(&death);
    if (wrong != NULL)
        finding(&death, wrong);
}

/* ---- the stage ---- */

/* Nobody spins while he can be stepped: on one processor nobody does anyway. */
static void spin_never(void)
{
    cpu_set_t before, one;

    if (sched_getaffinity(0, sizeof before, &before) < 0)
        return;
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
    (void)brood__spin_count();
    (void)sched_setaffinity(0, sizeof before, &before);
}

static void stage_open(const struct step_scenario *own)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;

    scenario = own;
    findings = 0;
    memset(&total, 0, sizeof total);
    spin_never();
    common =
        mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(common != MAP_FAILED);
    common->control[0].trace = &common->trace[0];
    common->control[1].trace = &common->trace[1];
    step_notes = &common->notes;
    options.members_max = own->members != 0 ? own->members : 12;
    options.bytes = sizeof(struct brood__header) + BROOD__LINE +
                    options.members_max * sizeof(struct brood__slot) +
                    (own->bytes != 0 ? own->bytes : 8192);
    options.bytes_max = options.bytes + 65536;
    assert_int_equal(brood_shared_create(&options, &step_shared), 0);
    step_header = step_shared->header;
    own->setup();
    image_bytes = (size_t)atomic_load(&step_header->bytes);
    image = malloc(image_bytes);
    sight.bytes = (own->flags & STEP_OUTSIDE) != 0 ? 0 : image_bytes;
    sight.memory = (const unsigned char *)step_header;
    sight.copy = malloc(image_bytes);
    assert_non_null(image);
    assert_non_null(sight.copy);
    memcpy(image, step_header, image_bytes);
}

static void stage_close(void)
{
    free(image);
    free(sight.copy);
    brood_shared_detach(step_shared);
    (void)munmap(common, sizeof *common);
    if (findings > 0)
        fail_msg("%s: %d findings", scenario->name, findings);
}

/* How often each point's place was passed by then, by a table of all places. */
static void count_places(struct step_trace *trace)
{
    uint32_t slots = 1;
    struct place {
        uintptr_t pc;
        uint32_t times;
    } * places;

    while (slots < 2 * trace->count + 2)
        slots *= 2;
    places = calloc(slots, sizeof *places);
    assert_non_null(places);
    for (uint32_t k = 1; k <= trace->count; k++) {
        uint32_t at = (uint32_t)(trace->pcs[k] * UINT64_C(0x9e3779b97f4a7c15) >> 40) % slots;

        while (places[at].pc != 0 && places[at].pc != trace->pcs[k])
            at = (at + 1) % slots;
        places[at].pc = trace->pcs[k];
        trace->nth[k] = ++places[at].times;
    }
    free(places);
}

/* Runs one of a pair alone to its end. */
static void record_alone(int who)
{
    struct plan plan = { .act = STEP_RECORD };
    int status;

    memset(&common->trace[who], 0, sizeof common->trace[who]);
    reset();
    (void)fflush(NULL);
    stepped_start(who, &plan);
    if (!await_end(atomic_load(&common->control[who].pid), 3 * limit_ms(), &status))
        fail_msg("%s: %s alone does not come to its end", scenario->name, who == 0 ? "A" : "B");
    count_places(&common->trace[who]);
}

static bool marked(const struct step_trace *trace, uint32_t k, unsigned mark)
{
    return (atomic_load(&trace->marks[k]) & mark) != 0;
}

struct tally {
    uint32_t of[2], tried[2]; /* [0]: points that differ from the one before; [1]: the rest */
};

/* Tries the points of a class, first a few all over, then those between. */
static void try_points(struct tally *tally, bool rest, unsigned char *tried, double seconds)
{
    const struct step_trace *trace = &common->trace[0];
    double deadline = seconds_now() + seconds;

    for (uint32_t stride = 256; stride >= 1; stride /= 2)
        for (uint32_t k = stride / 2; k <= trace->count; k += stride) {
            struct plan plan = { .act = STEP_DIE, .target = k };

            if (tried[k] || marked(trace, k, STEP_CHANGED) == rest)
                continue;
            if (findings >= findings_max() || (!step_long() && seconds_now() > deadline))
                return;
            tried[k] = 1;
            tally->tried[rest]++;
            trial(&plan);
        }
}

void step_single(const struct step_scenario *own)
{
    struct plan plan = { .act = STEP_RECORD };
    struct tally tally = { { 0 }, { 0 } };
    struct step_trace *trace;
    double seconds = own->seconds > 0 ? own->seconds : 0.6, start;
    unsigned char *tried;
    uint32_t sleeps = 0;

    step_require();
    stage_open(own);
    start = seconds_now();
    trace = &common->trace[0];
    trial(&plan);
    if (step_self_possible())
        count_places(trace);
    if (trace->count >= STEP_POINTS_MAX) {
        for (uint32_t k = trace->count - 40; k < trace->count; k++) {
            print_place("", trace->pcs[k]);
            printf("\n");
        }
        fail_msg("%s: too many instructions, the last of them above", own->name);
    }
    if ((own->flags & STEP_OUTSIDE) == 0)
        (void)atomic_fetch_or(&trace->marks[0], STEP_CHANGED);
    tried = calloc(trace->count + 1, 1);
    assert_non_null(tried);
    for (uint32_t k = 0; k <= trace->count; k++)
        tally.of[!marked(trace, k, STEP_CHANGED)]++;
    for (uint32_t k = 0; k <= trace->count && sleeps < ASLEEP_MAX &&
                         findings < findings_max() && step_self_possible();
         k++)
        if (marked(trace, k, STEP_ASLEEP)) {
            plan = (struct plan){ .act = STEP_COUNT, .target = k, .asleep = true };
            sleeps++;
            trial(&plan);
        }
    try_points(&tally, false, tried, 4 * seconds);
    try_points(&tally, true, tried, seconds);
    total.seconds = seconds_now() - start;
    printf("%s: %u instructions; kills at %u of %u points that differ, at %u of %u others, "
           "%u asleep; %.0f kills/s, %u drifted, %d findings\n",
           own->name, (unsigned)trace->count, (unsigned)tally.tried[0], (unsigned)tally.of[0],
           (unsigned)tally.tried[1], (unsigned)tally.of[1], (unsigned)total.asleep,
           total.kills / total.seconds, (unsigned)total.drifted, findings);
    free(tried);
    stage_close();
}

/* ---- pairs ---- */

/* Waits until it is held, asleep, or at its end. */
static bool await_held(struct step_control *control)
{
    int64_t deadline = step_now() + (int64_t)limit_ms() * 1000000;

    for (int look = 0; step_now() < deadline; look++) {
        if (atomic_load(&control->held) || atomic_load(&control->done))
            return true;
        if (look < 200)
            (void)sched_yield();
        else if (surely_asleep(control))
            return true;
    }
    return false;
}

static void let_go(struct step_control *control)
{
    control->target = UINT32_MAX;
    atomic_store(&control->go, 1);
    (void)syscall(SYS_futex, &control->go, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void pair_trial(uint32_t i, uint32_t j, int killed)
{
    struct plan plans[2] = { { .act = STEP_HOLD, .target = i },
                             { .act = STEP_HOLD, .target = j } };
    struct step_control *other = &common->control[!killed];
    struct step_death death = { .killed = killed };
    const char *wrong = NULL;
    pid_t pids[2];
    int status;

    reset();
    (void)fflush(NULL);
    for (int who = 0; who < 2; who++) {
        stepped_start(who, &plans[who]);
        pids[who] = atomic_load(&common->control[who].pid);
        if (!await_held(&common->control[who]) && wrong == NULL)
            wrong = step_wrong("%s does not come so far", who == 0 ? "A" : "B");
    }
    death.asleep = step_asleep(&common->control[killed]);
    if (pids[killed] > 1)
        (void)kill(pids[killed], SIGKILL);
    (void)await_end(pids[killed], limit_ms(), &status);
    atomic_store(&common->control[killed].pid, 0);
    death.after = step_now();
    let_go(other);
    if (!await_end(pids[!killed], limit_ms(), &status))
        wrong = wrong != NULL ? wrong : "the other one does not come to its end";
    else if (status != 0 && wrong == NULL)
        wrong = step_wrong("the other one ended with status %#x", (unsigned)status);
    for (int who = 0; who < 2; who++)
        death.done[who] = atomic_load(&common->control[who].done) != 0;
    total.kills++;
    if (wrong == NULL)
        wrong = survivor_asked(&death);
    if (wrong != NULL) {
        finding(&death, wrong);
        if (findings <= FINDINGS_MAX)
            printf("    (A at %u, B at %u)\n", (unsigned)i, (unsigned)j);
    }
}

/* The points just before and just after each change: before it, one knows all that the change
 * is made from, and it may become old. And the last. */
static uint32_t points_of(const struct step_trace *trace, uint32_t **ret_points)
{
    uint32_t *points = calloc(trace->count + 2, sizeof *points);
    uint32_t count = 0;

    assert_non_null(points);
    for (uint32_t k = 0; k <= trace->count; k++)
        if (k == 0 || k == trace->count || marked(trace, k, STEP_CHANGED) ||
            marked(trace, k + 1, STEP_CHANGED))
            points[count++] = k;
    *ret_points = points;
    return count;
}

void step_pairs(const struct step_scenario *own)
{
    double seconds = own->seconds > 0 ? own->seconds : 2, start;
    uint32_t *points[2], counts[2], all, stride, at = 0;

    step_require();
    if (!step_self_possible())
        test_skip("pairs step themselves, which is for x86-64");
    stage_open(own);
    for (int who = 0; who < 2; who++) {
        record_alone(who);
        counts[who] = points_of(&common->trace[who], &points[who]);
    }
    start = seconds_now();
    total.kills = 0;
    all = counts[0] * counts[1] * 2;
    /* A walk through all of them in steps of no common divisor: even when the time ends
     * first, it has been everywhere. */
    for (stride = all * 5 / 8 + 1;; stride++) {
        uint32_t a = stride, b = all;

        while (b != 0) {
            uint32_t rest = a % b;

            a = b;
            b = rest;
        }
        if (a == 1)
            break;
    }
    for (uint32_t n = 0; n < all && findings < findings_max(); n++) {
        if (!step_long() && seconds_now() - start > seconds)
            break;
        pair_trial(points[0][at / 2 % counts[0]], points[1][at / 2 / counts[0]], (int)(at % 2));
        at = (at + stride) % all;
    }
    total.seconds = seconds_now() - start;
    printf("%s: pairs: A %u of %u instructions, B %u of %u; %u of %u kills; %.0f kills/s, "
           "%d findings\n",
           own->name, (unsigned)counts[0], (unsigned)common->trace[0].count,
           (unsigned)counts[1], (unsigned)common->trace[1].count, (unsigned)total.kills,
           (unsigned)all, total.kills / total.seconds, findings);
    free(points[0]);
    free(points[1]);
    stage_close();
}
