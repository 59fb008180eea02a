/* edgesdk.h - what every part of libedgesdk uses: times, errors, version.
 *
 * Every function that can fail returns a negative number: -errno, or one of the codes below, which
 * lie outside of errno's range. edge_strerror() names both. Nothing here writes to stderr, keeps
 * global state, or allocates unless its comment says so.
 */
#ifndef EDGESDK_EDGESDK_H
#define EDGESDK_EDGESDK_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define EDGE_API __attribute__((visibility("default")))
#else
#define EDGE_API
#endif

/* One line an error of our own: name, number, text. Numbers are never reused. */
#define EDGE_ERRORS(X)                                                                             \
    X(EDGE_E_MAGIC, 4097, "not an edgesdk segment, or one that is not finished")                   \
    X(EDGE_E_VERSION, 4098, "segment of another major version")                                    \
    X(EDGE_E_HEADER, 4099, "segment header contradicts itself")                                    \
    X(EDGE_E_TRUNCATED, 4100, "segment is shorter than its header says")                           \
    X(EDGE_E_WRITER, 4101, "another process is the writer")                                        \
    X(EDGE_E_READERS, 4102, "all reader places are taken")                                         \
    X(EDGE_E_NAME, 4103, "name has characters outside of [a-z0-9._-], or is too long")             \
    X(EDGE_E_FORKED, 4104, "handle was made before fork(); open it again in the child")            \
    X(EDGE_E_HOLDS, 4105, "readers hold as many frames as they may")                               \
    X(EDGE_E_OWNER, 4106, "segment belongs to another user, or everybody may write it")            \
    X(EDGE_E_ENDED, 4107, "the writer ended the stream")

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */
/* Nanoseconds of CLOCK_MONOTONIC, unless the name says otherwise. */
typedef uint64_t edge_ns;

/* The library's version, "MAJOR.MINOR.PATCH". Static storage; any thread, any signal handler. */
EDGE_API const char *edge_version(void);

/* The text of a negative return value of this library (-errno or -EDGE_E_*). Static storage, never
 * NULL; any thread. For a number that is no error of ours or of the system: "unknown error". */
EDGE_API const char *edge_strerror(int error);
/* cffi: end */

#define EDGE_ERROR_ENUM(name, number, text) name = number,
enum edge_error { EDGE_ERRORS(EDGE_ERROR_ENUM) };
#undef EDGE_ERROR_ENUM

#ifdef __cplusplus
}
#endif
#endif
