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
    const char *text = error < 0 ? strerrordesc_np(-error) : NULL;
    return text ? text : "unknown error";
}
