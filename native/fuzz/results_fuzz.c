/* A record that another process wrote: items in bounds, texts that end, and what is accepted packs
 * and unpacks to the same. */
#include "../src/ring_layout.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static edge_result first;
    static edge_result second;
    if (result_unpack(&first, data, size) != 0) {
        if (first.items_count != 0) {
            abort();
        }
        return 0;
    }
    if (first.items_count > EDGE_RESULT_ITEMS || memchr(first.application, 0, 32) == NULL ||
        memchr(first.camera, 0, 32) == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < first.items_count; i++) {
        if (memchr(first.items[i].label, 0, 32) == NULL) {
            abort();
        }
    }
    if (result_unpack(&second, &first, sizeof first) != 0 ||
        memcmp(&first, &second, sizeof first) != 0) {
        abort();
    }
    return 0;
}
