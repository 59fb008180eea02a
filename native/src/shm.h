/* shm.h - named shared memory, its owners, and locks that the kernel drops when a process dies. */
#ifndef EDGE_SHM_H
#define EDGE_SHM_H

#include "atomics.h"
#include <edgesdk/edgesdk.h>

#include <sys/types.h>

#define SHM_NAME_MAX 63
#define SHM_PATH_MAX 96

/* "/dev/shm/edgesdk.KIND.NAME"; -EDGE_E_NAME. */
int shm_path(char path[SHM_PATH_MAX], const char *kind, const char *name);

/* A new segment without a name, its memory reserved (so that a full /dev/shm is -ENOSPC here and
 * not SIGBUS later). Returns a descriptor. */
int shm_create(uint64_t bytes, mode_t mode);

/* Gives the segment its name: -EEXIST if the name is taken, or in place of what has it, by way of
 * `next_path`: -EDGE_E_OWNER if somebody else keeps that. */
int shm_publish(int fd, const char *path);
int shm_replace(int fd, const char *path, const char *next_path);

/* Gives a named segment the permissions `mode`, if it has others: -EPERM if it is not ours. */
int shm_set_mode(int fd, mode_t mode);

/* Gives it the name, removing first what a dead owner of that name left; an owner lives while it
 * has the lock `byte`. -EBUSY: one lives. */
int shm_claim(int fd, const char *path, uint32_t byte);

/* Opens a segment that may be anybody's work: a regular file, not a link, of a user whom we trust
 * or `any_user`. Returns a descriptor, and its size in *bytes. */
int shm_open_named(const char *path, int any_user, uint64_t *bytes);

/* Whether `path` still names the file of `fd`: 1, 0. */
int shm_names(const char *path, int fd);

/* Locks of one byte each, of the open file description: they conflict between two opens in one
 * process too, and end with its last descriptor. 0, or -EAGAIN if it is taken. */
int shm_lock(int fd, uint32_t byte);
void shm_unlock(int fd, uint32_t byte);
int shm_locked(int fd, uint32_t byte);

/* Notices fork(): a page that the kernel wipes in the child. */
struct shm_guard {
    uint32_t *page;
    pid_t pid; /* where the kernel cannot wipe */
};
int shm_guard_open(struct shm_guard *guard);
void shm_guard_close(struct shm_guard *guard);
int shm_guard_asks(const struct shm_guard *guard);

static inline int shm_guard_forked(const struct shm_guard *guard)
{
    return guard->pid == 0 ? *guard->page == 0 : shm_guard_asks(guard);
}

#endif
