/* Moves the wall clock of a process that loads this before the C library: LD_PRELOAD=… MOVED_CLOCK=FILE.
 *
 * FILE holds eight bytes, the time in nanoseconds since 1970 in the machine's byte order; zero is the real time.
 * Whoever writes to it moves the clock of the running process; between two writes its time stands still. Eight
 * bytes more, where they are there, are nanoseconds by which the real time is wrong: that clock goes on. The
 * clocks that measure how long something takes go on as they are, and a wait until a moment of the moved clock takes
 * as long as it would have taken when it began.
 *
 * Nothing here allocates: an allocator that asks for the time while it starts must not wait for itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS INT64_C(1000000000)

static const volatile int64_t *moved_to;

static const volatile int64_t *file_in_memory(void) {
    const volatile int64_t *file = __atomic_load_n(&moved_to, __ATOMIC_ACQUIRE);
    if (file == NULL) {
        const char *path = getenv("MOVED_CLOCK");
        if (path == NULL) return NULL;
        int opened = open(path, O_RDONLY | O_CLOEXEC);
        if (opened < 0) return NULL;
        void *mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, opened, 0);
        close(opened);
        if (mapped == MAP_FAILED) return NULL;
        file = mapped;
        /* Two threads may both come here first; the one mapping that is forgotten is a page. */
        __atomic_store_n(&moved_to, file, __ATOMIC_RELEASE);
    }
    return file;
}

static void set(struct timespec *at, int64_t nanoseconds) {
    at->tv_sec = nanoseconds / NANOSECONDS;
    at->tv_nsec = nanoseconds % NANOSECONDS;
}

/* By how much the clock is wrong, the real time being this. */
static int64_t wrong_by(const struct timespec *real) {
    const volatile int64_t *file = file_in_memory();
    if (file == NULL) return 0;
    int64_t moved = __atomic_load_n(file, __ATOMIC_ACQUIRE);
    if (moved != 0) return moved - (real->tv_sec * NANOSECONDS + real->tv_nsec);
    /* What a short file does not have is zero as far as its page goes. */
    return __atomic_load_n(file + 1, __ATOMIC_ACQUIRE);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        set(at, at->tv_sec * NANOSECONDS + at->tv_nsec + wrong_by(at));
    }
    return failed;
}

/* The kernel waits by its own clock, which nobody has moved. */
static struct timespec by_the_kernels(const struct timespec *until) {
    struct timespec at;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &at);
    int64_t nanoseconds = until->tv_sec * NANOSECONDS + until->tv_nsec - wrong_by(&at);
    set(&at, nanoseconds > 0 ? nanoseconds : 0);
    return at;
}

int pthread_cond_timedwait(pthread_cond_t *restrict what, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict until) {
    /* Where the C library keeps which clock a condition goes by. */
    if ((what->__data.__wrefs & 2) != 0) return pthread_cond_clockwait(what, lock, CLOCK_MONOTONIC, until);
    struct timespec at = by_the_kernels(until);
    return pthread_cond_clockwait(what, lock, CLOCK_REALTIME, &at);
}

/* Of one kind with the other in this C library. */
int cnd_timedwait(cnd_t *restrict what, mtx_t *restrict lock, const struct timespec *restrict until) {
    struct timespec at = by_the_kernels(until);
    int waited = pthread_cond_clockwait((pthread_cond_t *)what, (pthread_mutex_t *)lock, CLOCK_REALTIME, &at);
    return waited == 0 ? thrd_success : waited == ETIMEDOUT ? thrd_timedout : thrd_error;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *also) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (also != NULL) *also = now.tv_sec;
    return now.tv_sec;
}
