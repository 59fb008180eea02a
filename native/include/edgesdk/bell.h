/* bell.h - one waiter for many rings.
 *
 * A process that reads hundreds of rings makes one bell and opens every ring with it and a tag of
 * its own; each commit in any of them sets the tag and rings. One thread waits and learns which
 * tags rang. Rings that coalesce are told once. Handles do not survive fork() (-EDGE_E_FORKED).
 * NULL is -EINVAL unless said.
 */
#ifndef EDGESDK_BELL_H
#define EDGESDK_BELL_H

#include <edgesdk/edgesdk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */
#define EDGE_BELL_TAGS 4096

typedef struct edge_bell edge_bell;

/* Makes bell `name` ([a-z0-9._-], 63 characters at most) with permissions `mode` (0 means 0600);
 * *out is the caller's to close. One left by a dead process is replaced. -EBUSY: it lives;
 * -EDGE_E_NAME; -EDGE_E_OWNER another user's; -ENOSPC; -ENOMEM; -EMFILE. */
EDGE_API int edge_bell_create(edge_bell **out, const char *name, uint32_t mode);

/* Rings it: the waiter returns, with `tag` if that is below EDGE_BELL_TAGS, without a tag
 * otherwise. Any thread; a signal handler too; never blocks; a system call only if somebody sleeps.
 */
EDGE_API int edge_bell_ring(edge_bell *bell, uint32_t tag);

/* Waits at most `timeout` (UINT64_MAX: for ever) until it rings, or returns at once if it rang
 * since the last wait. *tags gets up to `n` tags that rang, each once; those that find no room
 * come with the next call. Returns their number; 0 if time is up, a signal came, it rang
 * without a tag, or for no reason. One thread at a time; blocks. */
EDGE_API int edge_bell_wait(edge_bell *bell, edge_ns timeout, uint32_t *tags, uint32_t n);

/* Closes and removes the bell; NULL is allowed. Rings that still have it ring in vain. */
EDGE_API void edge_bell_close(edge_bell *bell);
/* cffi: end */

#ifdef __cplusplus
}
#endif
#endif
