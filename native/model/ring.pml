/* ring.pml - the slot protocol of the ring: one writer that may die and be followed by another,
 * readers that may die while they hold, a reaper, places that are taken again.
 *
 * Properties (asserts, and no invalid end state):
 *   no torn read    a held frame has all its bytes from one commit, of the sequence it was taken for
 *   no lost frame   a reader misses a sequence only if its slot was claimed for a later one
 *   no lost slot    when all is over and the dead are reaped, nobody holds anything
 *   progress        readers that stay leave the writer a slot: it commits every frame
 *
 * -DWEAKEN=n reorders what native/src/atomics.h site n may reorder when it is relaxed. Spin knows
 * sequential consistency only, so a weakened site is modelled by the order it then permits.
 * ./run.sh checks this file as it is, and that each mutant below fails.
 */
#ifndef WEAKEN
#define WEAKEN 0
#endif
#ifndef FRAMES
#define FRAMES 3
#endif
#ifndef SECOND /* whether there is a second reader */
#define SECOND 1
#endif
#ifndef WRITER_DEATHS
#define WRITER_DEATHS 0
#endif
#ifndef READER_DEATHS
#define READER_DEATHS 0
#endif
#ifndef TRIES
#define TRIES 1 /* frames a reader tries to take */
#endif
#define SLOTS 3
#define READERS 2
#define LIMIT 1 /* slots - 1 - begun: what readers together may hold */

byte head;              /* sequence of the newest frame */
byte trail[FRAMES + 2]; /* slot + 1 of each sequence; 0 not written */
byte gen[SLOTS];
byte lo[SLOTS];         /* two words of payload: between them a frame is torn */
byte hi[SLOTS];
byte holds[READERS];    /* a bit a slot */
bool joined[READERS];   /* the place counts */
byte lock[READERS];     /* 0 free (the kernel's, by death), 1 a reader's, 2 the reaper's */
bool claimed[FRAMES + 2]; /* the slot of this sequence was marked for another */
byte kept[READERS];     /* what each reader holds after both its checks */
byte writers = WRITER_DEATHS; /* lives left */
byte finished;

#define held_by(r, s) ((holds[r] >> (s)) & 1)
#define seen_bits(r) (joined[r] -> holds[r] : 0)
#define count3(x) (((x) & 1) + (((x) >> 1) & 1) + (((x) >> 2) & 1))

inline reap(r)
{
    if
    :: atomic { joined[r] && lock[r] == 0 -> lock[r] = 2 }
       atomic { holds[r] = 0; joined[r] = false; lock[r] = 0 }
    :: else
    fi
}

/* kill -9 here, if a life is left to lose. */
inline mortal()
{
    if
    :: writers > 0 -> writers--; goto died
    :: true
    fi
}

proctype writer()
{
    byte s, old, scan, places, next;

    /* adopt(): what was finished but not published is not a frame. */
    d_step {
        s = 0;
        do
        :: s < SLOTS ->
           if
           :: gen[s] > head -> gen[s] = 0
           :: else
           fi;
           s++
        :: else -> break
        od;
        next = head + 1;
        scan = 0
    }
    do
    :: next > FRAMES -> break
    :: else ->
       reap(0);
       /* Any slot but the newest frame's: what choose() prefers is not what makes it safe. */
       atomic {
           old = (head > 0 -> trail[head] : 0);
           if
           :: old != 1 -> s = 0
           :: old != 2 -> s = 1
           :: old != 3 -> s = 2
           fi;
           old = gen[s];
           if
           :: old > 0 -> claimed[old] = true
           :: else
           fi
       }
#if WEAKEN == 6
       scan = ((joined[0] -> holds[0] : 0) | (joined[1] -> holds[1] : 0));
       gen[s] = 0;
#elif WEAKEN == 7
       lo[s] = next; /* the first store to the slot goes before the look at the holds */
       gen[s] = 0;
       places = joined[0] | (joined[1] << 1);
       scan = ((places & 1) -> holds[0] : 0) | ((places & 2) -> holds[1] : 0);
#elif WEAKEN == 10
       places = joined[0] | (joined[1] << 1);
       gen[s] = 0;
       scan = ((places & 1) -> holds[0] : 0) | ((places & 2) -> holds[1] : 0);
#else
       gen[s] = 0;                            /* 6 */
       places = joined[0] | (joined[1] << 1); /* 10 */
       scan = ((places & 1) -> holds[0] : 0); /* 7 */
       scan = scan | ((places & 2) -> holds[1] : 0);
#endif
       if
       :: (scan >> s) & 1 -> gen[s] = old; goto again
       :: else
       fi;
#if WEAKEN == 1
       head = next;
#endif
#if WEAKEN == 3
       gen[s] = next;
#endif
       lo[s] = next;
       mortal();
       hi[s] = next;
       atomic { gen[s] = next; trail[next] = s + 1 } /* 3 */
       mortal();
       head = next; /* 1 */
       next++;
again: atomic { s = 0; old = 0; scan = 0; places = 0 }
    od;
    finished = 1;
    goto end;
died:
    atomic { s = 0; old = 0; scan = 0; places = 0; run writer() }
end:
    skip
}

proctype reader(byte r; byte lives)
{
    byte seen, sequence, s, g, tries;

    /* take_place(), join() */
    atomic { lock[r] == 0 -> lock[r] = 1; holds[r] = 0 }
#if WEAKEN != 9
    joined[r] = true; /* 9 */
#endif
    /* It begins with the oldest frame that is there. */
    do
    :: finished || tries == TRIES -> break
#if WEAKEN == 2
    :: tries < TRIES ->
       atomic { sequence = seen + 1; s = trail[sequence] }
       head >= sequence || finished;
       if
       :: head < sequence -> break
       :: else
       fi;
#else
    :: head > seen && tries < TRIES ->
       /* Any frame up to the newest: NEXT begins at the oldest, LATEST at the newest. */
       atomic { /* 2 */
           if
           :: sequence = seen + 1
           :: head > seen + 1 -> sequence = head
           fi;
           s = trail[sequence]
       }
#endif
       tries++;
       if
       :: s == 0 -> assert(claimed[sequence]); goto next
       :: else -> s--
       fi;
#if WEAKEN == 4 || WEAKEN == 5
       g = gen[s];
       holds[r] = holds[r] | (1 << s);
#else
       holds[r] = holds[r] | (1 << s); /* 4 */
       g = gen[s];                     /* 5 */
#endif
#if WEAKEN == 9
       joined[r] = true;
#endif
       if
       :: g != sequence ->
          assert(claimed[sequence]);
          holds[r] = holds[r] & ~(1 << s);
          goto next
       :: else
       fi;
       atomic {
           g = seen_bits(0) | seen_bits(1);
           if
           :: count3(g) > LIMIT -> g = 0
           :: else -> kept[r] = 1 << s; assert(count3(kept[0] | kept[1]) <= LIMIT); g = 1
           fi
       }
       if
       :: g == 0 -> holds[r] = holds[r] & ~(1 << s); sequence = seen; goto next
       :: else
       fi;
       assert(lo[s] == sequence);
       if
       :: lives > 0 -> /* kill -9 with the hold; the kernel drops the lock */
          atomic { kept[r] = 0; lock[r] = 0; run reader(r, lives - 1) }
          goto dead
       :: true
       fi;
#if WEAKEN == 8
       atomic { kept[r] = 0; holds[r] = holds[r] & ~(1 << s) }
       assert(hi[s] == sequence);
#else
       assert(hi[s] == sequence);
       atomic { kept[r] = 0; holds[r] = holds[r] & ~(1 << s) } /* 8 */
#endif
next:  atomic { seen = sequence; s = 0; g = 0; sequence = 0 }
    od;
    atomic { holds[r] = 0; joined[r] = false; lock[r] = 0 }
dead:
    skip
}

init {
    atomic {
        run writer();
        run reader(0, READER_DEATHS); /* only this one dies, so only its place needs the reaper */
#if SECOND
        run reader(1, 0)
#endif
    }
    /* When all the rest is over: the dead are reaped, and every slot is free. */
    _nr_pr == 1;
    reap(0);
    assert(head == FRAMES);
    assert((seen_bits(0) | seen_bits(1)) == 0)
}
