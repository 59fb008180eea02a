/* wake.pml - sleeping and waking by a futex word, and the end of a stream.
 *
 * Properties: no wake is lost (a sleeper that nobody wakes is an invalid end state); who believes
 * that the stream ended has seen every frame. -DWEAKEN=n as in ring.pml.
 */
#ifndef WEAKEN
#define WEAKEN 0
#endif
#define FRAMES 3

byte head, word, flags;
bool sleepers, asleep;

inline wake()
{
#if WEAKEN == 12 || WEAKEN == 13
    saw = sleepers;
    word++;
#else
    word++;         /* 12 */
    saw = sleepers; /* 13 */
#endif
    if
    :: saw -> asleep = false /* FUTEX_WAKE */
    :: else
    fi
}

active proctype writer()
{
    bool saw;
    byte next = 1;
    do
    :: next > FRAMES -> break
    :: else ->
       head = next;
       wake();
       next++
    od;
#if WEAKEN == 23
    skip
#else
    flags = 1; /* 23 */
    wake()
#endif
}

#if WEAKEN == 23
/* The flag may be seen before the last frame. */
active proctype early_flag()
{
    bool saw;
    flags = 1;
    word++;
    saw = sleepers;
    if
    :: saw -> asleep = false
    :: else
    fi
}
#endif

active proctype reader()
{
    byte seen, before, found;
    do
    :: before = word; /* 15, the first look */
       if
       :: head > seen -> seen = head
       :: else ->
#if WEAKEN == 24
          found = head;
          if
          :: flags && found <= seen -> break
          :: else
          fi;
#else
          if
          :: flags -> /* 24 */
             if
             :: head <= seen -> break
             :: else
             fi
          :: else
          fi;
#endif
#if WEAKEN == 14 || WEAKEN == 15
          found = word;
          sleepers = true;
#else
          sleepers = true; /* 14 */
          found = word;    /* 15 */
#endif
          if
          :: found == before ->
             /* FUTEX_WAIT compares and sleeps in one step; at site 14/15 weakened its own look is
              * ordered by the kernel's lock, but our store may still be in the store buffer. */
#if WEAKEN == 14 || WEAKEN == 15
             asleep = true;
#else
             atomic {
                 if
                 :: word == before -> asleep = true
                 :: else
                 fi
             }
#endif
             !asleep
          :: else
          fi;
          sleepers = false
       fi
    od;
    assert(seen == FRAMES)
}
