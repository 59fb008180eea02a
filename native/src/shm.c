#include "shm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define SHM_DIRECTORY "/dev/shm"

int shm_path(char path[SHM_PATH_MAX], const char *kind, const char *name)
{
    size_t length = strnlen(name, SHM_NAME_MAX + 1);
    if (length == 0 || length > SHM_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != length) {
        return -EDGE_E_NAME;
    }
    snprintf(path, SHM_PATH_MAX, SHM_DIRECTORY "/edgesdk.%s.%s", kind, name);
    return 0;
}

int shm_create(uint64_t bytes, mode_t mode)
{
    if (bytes > INT64_MAX || bytes > SIZE_MAX) {
        return -ENOMEM;
    }
    /* Without a name a process that is killed before shm_publish() leaves nothing behind. */
    int fd = open(SHM_DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    int error = 0;
    if (mode != 0600 && fchmod(fd, mode) != 0) {
        error = -errno;
    }
    while (error == 0 && fallocate(fd, 0, 0, (off_t)bytes) != 0) {
        if (errno != EINTR) {
            error = -errno;
        }
    }
    if (error != 0) {
        close(fd);
        return error;
    }
    return fd;
}

static int link_descriptor(int fd, const char *path)
{
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
}

int shm_publish(int fd, const char *path)
{
    return link_descriptor(fd, path);
}

int shm_replace(int fd, const char *path, const char *next_path)
{
    /* Only the holder of the writer's lock comes here, so what has this name is a dead writer's. */
    unlink(next_path);
    int error = link_descriptor(fd, next_path);
    if (error == -EEXIST) {
        return -EDGE_E_OWNER; /* what could not be removed is not ours */
    }
    if (error == 0 && rename(next_path, path) != 0) {
        error = -errno;
        unlink(next_path);
    }
    return error;
}

static int in_group(gid_t group)
{
    gid_t groups[64];
    int n = getgroups(64, groups);
    for (int i = 0; i < n; i++) {
        if (groups[i] == group) {
            return 1;
        }
    }
    return group == getegid();
}

static int trusted(const struct stat *status)
{
    if (status->st_mode & S_IWOTH) {
        return 0;
    }
    return status->st_uid == geteuid() || status->st_uid == 0 ||
           ((status->st_mode & S_IWGRP) && in_group(status->st_gid));
}

int shm_open_named(const char *path, int any_user, uint64_t *bytes)
{
    /* O_NONBLOCK: a FIFO of this name must not hang us. */
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return errno == ELOOP ? -EDGE_E_OWNER : -errno;
    }
    struct stat status;
    int error = fstat(fd, &status) != 0 ? -errno : 0;
    if (error == 0 && !S_ISREG(status.st_mode)) {
        error = -EDGE_E_MAGIC;
    }
    if (error == 0 && !any_user && !trusted(&status)) {
        error = -EDGE_E_OWNER;
    }
    if (error != 0) {
        close(fd);
        return error;
    }
    *bytes = (uint64_t)status.st_size;
    return fd;
}

int shm_set_mode(int fd, mode_t mode)
{
    struct stat status;
    if (fstat(fd, &status) == 0 && (status.st_mode & 07777) == mode) {
        return 0; /* who is only of its group could not set it */
    }
    return fchmod(fd, mode) == 0 ? 0 : -errno;
}

int shm_names(const char *path, int fd)
{
    struct stat by_name;
    struct stat by_fd;
    return lstat(path, &by_name) == 0 && fstat(fd, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino &&
           by_name.st_dev == by_fd.st_dev;
}

static int lock_call(int fd, int command, short type, struct flock *lock, uint32_t byte)
{
    *lock = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    do {
        result = fcntl(fd, command, lock);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

int shm_lock(int fd, uint32_t byte)
{
    struct flock lock;
    int error = lock_call(fd, F_OFD_SETLK, F_WRLCK, &lock, byte);
    return error == -EACCES ? -EAGAIN : error;
}

void shm_unlock(int fd, uint32_t byte)
{
    struct flock lock;
    lock_call(fd, F_OFD_SETLK, F_UNLCK, &lock, byte);
}

int shm_locked(int fd, uint32_t byte)
{
    struct flock lock;
    return lock_call(fd, F_OFD_GETLK, F_WRLCK, &lock, byte) == 0 && lock.l_type != F_UNLCK;
}

int shm_claim(int fd, const char *path, uint32_t byte)
{
    for (int round = 0; round < 100; round++) {
        int error = shm_publish(fd, path);
        if (error != -EEXIST) {
            return error;
        }
        uint64_t bytes;
        int old = shm_open_named(path, 0, &bytes);
        if (old == -ENOENT) {
            continue;
        }
        if (old < 0) {
            return old;
        }
        /* With the lock of what the name leads to, nobody else removes it meanwhile. */
        error = shm_lock(old, byte);
        if (error == 0 && shm_names(path, old)) {
            unlink(path);
        }
        close(old);
        if (error != 0) {
            return error == -EAGAIN ? -EBUSY : error;
        }
    }
    return -EBUSY;
}

int shm_guard_open(struct shm_guard *guard)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return -errno;
    }
    guard->page = page;
    *guard->page = 1;
    /* qemu-user says yes to every advice and does nothing, so ask it for nonsense first. */
    int wiped = madvise(page, size, INT_MAX) != 0 && madvise(page, size, MADV_WIPEONFORK) == 0;
    guard->pid = wiped ? 0 : getpid();
    return 0;
}

void shm_guard_close(struct shm_guard *guard)
{
    if (guard->page != NULL) {
        munmap(guard->page, (size_t)sysconf(_SC_PAGESIZE));
        guard->page = NULL;
    }
}

int shm_guard_asks(const struct shm_guard *guard)
{
    return guard->pid != getpid();
}
