/* Fills the disk of a process that loads this before the C library: LD_PRELOAD=… FULL_DISK=FILE.
 *
 * As long as the first byte of FILE is not zero, nothing can be written to any file: each write says that there is
 * no space left, as on a file system that never writes where something stands. What is no file (a socket, a pipe)
 * and the standard streams are left alone.
 *
 * Nothing here allocates, and nothing is asked of the C library that might be this very library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static const volatile char *flag;

static int is_full(void) {
    const volatile char *file = __atomic_load_n(&flag, __ATOMIC_ACQUIRE);
    if (file == NULL) {
        const char *path = getenv("FULL_DISK");
        if (path == NULL) return 0;
        int opened = open(path, O_RDONLY | O_CLOEXEC);
        if (opened < 0) return 0;
        void *mapped = mmap(NULL, 1, PROT_READ, MAP_SHARED, opened, 0);
        close(opened);
        if (mapped == MAP_FAILED) return 0;
        file = mapped;
        /* Two threads may both come here first; the one mapping that is forgotten is a page. */
        __atomic_store_n(&flag, file, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(file, __ATOMIC_ACQUIRE) != 0;
}

static int refused(int to) {
    struct stat about;
    if (to <= STDERR_FILENO || !is_full()) return 0;
    if (fstat(to, &about) != 0 || !S_ISREG(about.st_mode)) return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int to, const void *bytes, size_t length) {
    return refused(to) ? -1 : (ssize_t)syscall(SYS_write, to, bytes, length);
}

ssize_t pwrite(int to, const void *bytes, size_t length, off_t at) {
    return refused(to) ? -1 : (ssize_t)syscall(SYS_pwrite64, to, bytes, length, at);
}

ssize_t pwrite64(int to, const void *bytes, size_t length, off64_t at) {
    return refused(to) ? -1 : (ssize_t)syscall(SYS_pwrite64, to, bytes, length, at);
}
