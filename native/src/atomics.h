/* atomics.h - every place where the order of memory accesses matters, and what it promises.
 *
 * Each function is one ordering site with a number. -DEDGE_WEAKEN=n builds a mutant in which site n
 * is relaxed; native/tests/mutants.py demands that a test or the Spin model notices, or that the
 * reason it cannot is written here. "Pairs with" names the site on the other side.
 *
 * The two store-load pairs (hold against overwrite, sleep against wake) need the single total order
 * of memory_order_seq_cst; release and acquire do not order a store before a later load.
 * They are sequentially consistent accesses and not fences because ThreadSanitizer understands
 * accesses only, and because on x86-64 the read-modify-write is then the only barrier paid.
 */
#ifndef EDGE_ATOMICS_H
#define EDGE_ATOMICS_H

#include <stdatomic.h>
#include <stdint.h>

#ifndef EDGE_WEAKEN
#define EDGE_WEAKEN 0
#endif
#define EDGE_ORDER(site, order) (EDGE_WEAKEN == (site) ? memory_order_relaxed : (order))

/* Words in shared memory work between processes only if they are plain machine words. */
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics take a lock");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics take a lock");

typedef _Atomic uint32_t edge_word;
typedef _Atomic uint64_t edge_long;

/* 1. The writer publishes a frame: who sees `head` at a sequence sees its trail entry and
 *    descriptor. Pairs with 2. */
static inline void order_head_publish(edge_long *head, uint64_t sequence)
{
    atomic_store_explicit(head, sequence, EDGE_ORDER(1, memory_order_release));
}

/* 2. A reader learns of frames. Pairs with 1. */
static inline uint64_t order_head_read(const edge_long *head)
{
    return atomic_load_explicit((edge_long *)head, EDGE_ORDER(2, memory_order_acquire));
}

/* 3. The writer sets a slot's generation after its bytes. Redundant with 1 for a reader that comes
 *    by way of `head`; it carries a reader whose head is older than the slot it finds. Pairs with
 *    5. */
static inline void order_generation_publish(edge_long *generation, uint64_t sequence)
{
    atomic_store_explicit(generation, sequence, EDGE_ORDER(3, memory_order_release));
}

/* 4. A reader says that it holds a slot, before it looks at the generation again (5). Against 6
 *    and 7: either the writer sees the hold, or the reader sees that the slot is being written. */
static inline void order_hold_set(edge_long *holds, uint64_t bit)
{
    atomic_fetch_or_explicit(holds, bit, EDGE_ORDER(4, memory_order_seq_cst));
}

/* 5. The second look: is it still the frame that was meant? Also acquires the bytes (3). */
static inline uint64_t order_generation_check(const edge_long *generation)
{
    return atomic_load_explicit((edge_long *)generation, EDGE_ORDER(5, memory_order_seq_cst));
}

/* 6. The writer says that it is about to write a slot, before it looks at the holds (7). */
static inline void order_generation_mark(edge_long *generation)
{
    atomic_store_explicit(generation, 0, EDGE_ORDER(6, memory_order_seq_cst));
}

/* 7. The writer looks for holds; also acquires that a former holder read all it wanted (8). */
static inline uint64_t order_holds_scan(const edge_long *holds)
{
    return atomic_load_explicit((edge_long *)holds, EDGE_ORDER(7, memory_order_seq_cst));
}

/* 8. A reader lets a slot go, after its last read of the bytes. Pairs with 7. */
static inline void order_hold_clear(edge_long *holds, uint64_t bit)
{
    atomic_fetch_and_explicit(holds, ~bit, EDGE_ORDER(8, memory_order_release));
}

/* 9. A reader's place counts from here on; its words were set before. In the total order with 4 and
 *    10: a writer that misses the place marked its slot before the reader holds anything. */
static inline void order_place_join(edge_word *places, uint32_t bit)
{
    atomic_fetch_or_explicit(places, bit, EDGE_ORDER(9, memory_order_seq_cst));
}

/* 10. The writer reads which places count, before it scans their holds. Pairs with 9. */
static inline uint32_t order_places_scan(const edge_word *places)
{
    return atomic_load_explicit((edge_word *)places, EDGE_ORDER(10, memory_order_seq_cst));
}

/* 11. A place is given up, after its holds are cleared. Pairs with 10. Redundant: the place's lock
 *     goes from one reader to the next by system calls. */
static inline void order_place_leave(edge_word *places, uint32_t bit)
{
    atomic_fetch_and_explicit(places, ~bit, EDGE_ORDER(11, memory_order_release));
}

/* 12. The waker changes the futex word, before it looks for sleepers (13). Against 14 and 15:
 *     either the waker sees the sleeper, or the sleeper sees the word changed and does not sleep.
 *     Also releases what the sleeper will look for. */
static inline void order_wake_bump(edge_word *word)
{
    atomic_fetch_add_explicit(word, 1, EDGE_ORDER(12, memory_order_seq_cst));
}

/* 13. The waker looks for sleepers. */
static inline uint32_t order_sleepers_read(const edge_word *sleepers)
{
    return atomic_load_explicit((edge_word *)sleepers, EDGE_ORDER(13, memory_order_seq_cst));
}

/* 14. A sleeper says so, before it looks at the word a last time (15). */
static inline void order_sleeper_set(edge_word *sleepers, uint32_t bit)
{
    atomic_fetch_or_explicit(sleepers, bit, EDGE_ORDER(14, memory_order_seq_cst));
}

/* 15. The sleeper's last look at the word. */
static inline uint32_t order_word_check(const edge_word *word)
{
    return atomic_load_explicit((edge_word *)word, EDGE_ORDER(15, memory_order_seq_cst));
}

/* 16. A bell's tag is set, and what rang is visible to who takes the tag. Pairs with 17. */
static inline uint64_t order_tag_set(edge_long *pending, uint64_t bit)
{
    return atomic_fetch_or_explicit(pending, bit, EDGE_ORDER(16, memory_order_release));
}

/* 17. The waiter takes all tags of a word. Pairs with 16. */
static inline uint64_t order_tags_take(edge_long *pending)
{
    return atomic_exchange_explicit(pending, 0, EDGE_ORDER(17, memory_order_acquire));
}

/* 18. A reader's last seen sequence, after its holds are set (4): a slot that all have passed is
 *     free unless held. Pairs with 19. Redundant for safety: it is a hint for the choice of a slot,
 *     and 4 to 7 make the choice safe. */
static inline void order_seen_publish(edge_long *seen, uint64_t sequence)
{
    atomic_store_explicit(seen, sequence, EDGE_ORDER(18, memory_order_release));
}

/* 19. The writer learns how far a reader is. Pairs with 18. */
static inline uint64_t order_seen_read(const edge_long *seen)
{
    return atomic_load_explicit((edge_long *)seen, EDGE_ORDER(19, memory_order_acquire));
}

/* 20. The magic, written last: who sees it sees the whole header. Redundant while segments get
 *     their name only when they are finished; it stands for a writer that does not. Pairs with 21.
 */
static inline void order_magic_publish(edge_long *magic, uint64_t value)
{
    atomic_store_explicit(magic, value, EDGE_ORDER(20, memory_order_release));
}

/* 21. The magic is read first. Pairs with 20. */
static inline uint64_t order_magic_read(const edge_long *magic)
{
    return atomic_load_explicit((edge_long *)magic, EDGE_ORDER(21, memory_order_acquire));
}

/* 22. The last view of a frame in this process lets the hold go after all views were read: returns
 *     1 for that one. The only view there is can be dropped without a read-modify-write, since who
 *     would make a second one would have to have the first. */
static inline int order_refs_drop(edge_word *refs)
{
    if (atomic_load_explicit(refs, EDGE_ORDER(22, memory_order_acquire)) == 1) {
        atomic_store_explicit(refs, 0, memory_order_relaxed);
        return 1;
    }
    return atomic_fetch_sub_explicit(refs, 1, EDGE_ORDER(22, memory_order_acq_rel)) == 1;
}

/* 23. The writer says that the stream ended or moved, after its last frame. Pairs with 24. */
static inline void order_flags_set(edge_word *flags, uint32_t bits)
{
    atomic_fetch_or_explicit(flags, bits, EDGE_ORDER(23, memory_order_release));
}

/* 24. A reader believes that nothing follows only after one more look at `head`. Pairs with 23. */
static inline uint32_t order_flags_read(const edge_word *flags)
{
    return atomic_load_explicit((edge_word *)flags, EDGE_ORDER(24, memory_order_acquire));
}

/* 25. A reader's bell has its name and tag. Pairs with 26. For a place that is new to the writer 9
 *     and 10 say the same; this is for one taken again between its looks at both. */
static inline void order_bell_publish(edge_word *serial, uint32_t value)
{
    atomic_store_explicit(serial, value, EDGE_ORDER(25, memory_order_release));
}

/* 26. The writer finds a bell it does not know. Pairs with 25. */
static inline uint32_t order_bell_read(const edge_word *serial)
{
    return atomic_load_explicit((edge_word *)serial, EDGE_ORDER(26, memory_order_acquire));
}

/* Reads and writes that need no order: counters, words that one side owns, and hints that a site
 * above checks again. */
static inline uint32_t plain_word(const edge_word *word)
{
    return atomic_load_explicit((edge_word *)word, memory_order_relaxed);
}
static inline uint64_t plain_long(const edge_long *word)
{
    return atomic_load_explicit((edge_long *)word, memory_order_relaxed);
}
static inline void plain_set_word(edge_word *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}
static inline void plain_set_long(edge_long *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}
static inline void plain_clear_bits(edge_word *word, uint32_t bits)
{
    atomic_fetch_and_explicit(word, ~bits, memory_order_relaxed);
}

#endif
