#include <edgesdk/edgesdk.h>

#include <errno.h>
#include <string.h>

#define HAVE_STRERRORDESC 0
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 32)
#undef HAVE_STRERRORDESC
#define HAVE_STRERRORDESC 1
#endif
#endif

const char *edge_version(void)
{
    return "0.1.0";
}

const char *edge_strerror(int error)
{
    switch (-error) {
#define EDGE_ERROR_TEXT(name, number, text)                                                        \
    case number:                                                                                   \
        return text;
        EDGE_ERRORS(EDGE_ERROR_TEXT)
#undef EDGE_ERROR_TEXT
    default:
        break;
    }
#if HAVE_STRERRORDESC
    const char *text = error < 0 && error > -4096 ? strerrordesc_np(-error) : NULL;
#else
    /* Of the system's own numbers the text is static; any other would be written to a buffer. */
    const char *text = error < 0 && error >= -EHWPOISON ? strerror(-error) : NULL;
#endif
    return text ? text : "unknown error";
}
