/* Keeps, in the directory that DURABLE_DIRECTORY names, what of each file has been synced to its disk: after a power
 * loss nothing else is certain to be there. Preloaded; files elsewhere than in WATCHED_DIRECTORY are left alone. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void keep(int descriptor)
{
    const char *watched = getenv("WATCHED_DIRECTORY"), *durable = getenv("DURABLE_DIRECTORY");
    char link[64], path[PATH_MAX], target[PATH_MAX + 64], draft[PATH_MAX + 128], block[65536];
    if (!watched || !durable)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return;
    path[length] = 0;
    char *name = strrchr(path, '/');
    if (!name || (size_t)(name - path) != strlen(watched) || strncmp(path, watched, name - path) != 0)
        return;
    snprintf(target, sizeof target, "%s%s", durable, name);
    snprintf(draft, sizeof draft, "%s.draft", target);
    int copy = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t offset = 0;
    ssize_t count;
    while ((count = pread(descriptor, block, sizeof block, offset)) > 0) {
        if (write(copy, block, count) != count)
            abort();
        offset += count;
    }
    close(copy);
    if (rename(draft, target) != 0)
        abort();
}

int fsync(int descriptor)
{
    keep(descriptor);
    return syscall(SYS_fsync, descriptor);
}

int fdatasync(int descriptor)
{
    keep(descriptor);
    return syscall(SYS_fdatasync, descriptor);
}
