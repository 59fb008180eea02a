/* Whatever another process left in a bell: tags come out in range, each once, and none gets lost.
 */
#include "../src/bell_segment.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(64) unsigned char page[BELL_BYTES];
    memset(page, 0, sizeof page);
    memcpy(page, data, size < sizeof page ? size : sizeof page);
    struct bell_segment *segment = (void *)page;
    bell_header_check(segment, size);
    plain_set_word(&segment->sleeping, 0);
    uint32_t room = size != 0 ? data[0] % 65 + 1 : 1;
    uint32_t tag = size > 1 ? data[1] * 17U % EDGE_BELL_TAGS : 0;
    bell_ring(segment, tag);
    static unsigned char came[EDGE_BELL_TAGS];
    memset(came, 0, sizeof came);
    uint32_t tags[65];
    for (uint32_t n; (n = bell_collect(segment, tags, room)) != 0;) {
        if (n > room) {
            abort();
        }
        for (uint32_t i = 0; i < n; i++) {
            if (tags[i] >= EDGE_BELL_TAGS || came[tags[i]]++) {
                abort();
            }
        }
    }
    if (!came[tag]) {
        abort();
    }
    return 0;
}
