#include <edgesdk/edgesdk.h>

#include <string.h>

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
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
    const char *text = error < 0 && error > -4096 ? strerrordesc_np(-error) : NULL;
#else
    /* Static text for the system's own numbers; the error range keeps it to those. */
    const char *text = error < 0 && error > -134 ? strerror(-error) : NULL;
#endif
    return text ? text : "unknown error";
}
