/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A limit that two lanes share, over changes of the leader (docs/exactly-once.md): two cores, a lease with its record, and
 * an EC2 that honours tokens. Each call is for one instance, and more is always wanted. What one lane does alone is in
 * once.pml; here a call is asked once, and what EC2 shows it shows to all.
 *
 * Nobody has a clock. A core that dies loses its disk. A leader sends nothing once another one leads, but its calls arrive
 * at any later time. A record that is written may be in the lease or not when nobody answers. What may have been launched
 * by leaders before is let go when it must be shown: here, when no call of theirs is under way and all they launched is shown.
 *
 * Held: EC2 never has more instances than the limit (the assertion in arrive()); and when all is at rest it has exactly
 * that many (the process rest): so nothing of the limit stays reserved for nobody.
 *
 * Each of these makes a variant that does not hold, and spin must say so:
 *   NO_PROMISE       a leader launches what the limit leaves, whatever its record promises, and the record promises nothing
 *   FORGET_BEFORE    a successor's record leaves out what it counts of leaders before
 *   FORGET_ORDERS    a record leaves out the calls under way
 *   FORGET_YOUNG     a record leaves out what was launched and is not shown
 *   TRUST_UNSURE     a record that nobody answered for is taken to be written
 *   LAUNCH_FIRST     a leader launches before its own record is written
 */

#define LANES 2
#define NUMBERS 4 /* of each lane, one more than the highest */
#define CALLS 3
#define NONE 255
#define LIMIT 3
#define MANY 9

#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef STEALS
#define STEALS 1
#endif
#ifndef UNSURE
#define UNSURE 1 /* records that nobody answers for */
#endif

#define AT(l, n) ((l) * NUMBERS + (n))

byte total;
byte owner[LANES * NUMBERS]; /* the order that has that number; 0: none */
bool shown[LANES * NUMBERS];

typedef call_state { byte order, from, lane, n };
call_state calls[CALLS];

byte holder = NONE;
byte record_next[LANES], record_seen[LANES], record_ahead;

typedef core_state {
	bool leads, viewed; /* viewed: it has seen the fleet since it leads */
	byte next[LANES];
	bool known[LANES * NUMBERS]; /* and counted */
	byte count;
	byte order[LANES], n[LANES]; /* without a known end; 0: none */
	bool answered[LANES], taken[LANES];
	bool has_before;
	byte before, found;
	byte base[LANES]; /* what the record calls seen */
	byte first; /* the first order of this lead: all below are of leaders before */
	byte stored, unsure; /* left of what the records promise; MANY: there is none */
};
core_state cores[2];
byte orders;
byte crashes = CRASHES, steals = STEALS, unsures = UNSURE;

#define C cores[me]
#define OPEN ((C.order[0] != 0) + (C.order[1] != 0))
#define BEFORE (C.has_before && C.before > C.found -> C.before - C.found : 0)
#define USED (C.count + OPEN + BEFORE)
#define ROOM (USED < LIMIT -> LIMIT - USED : 0)
#define SETTLED(l) ((C.next[l] <= 1 || C.known[AT(l, 1)]) && (C.next[l] <= 2 || C.known[AT(l, 2)]) && \
	(C.next[l] <= 3 || C.known[AT(l, 3)]))
/* All up to that number was shown; and what is known above the highest such. */
#define BEHIND(l, n) (C.base[l] >= n || (C.known[AT(l, n)] && shown[AT(l, n)]))
#define PAST1(l) BEHIND(l, 1)
#define PAST2(l) (PAST1(l) && BEHIND(l, 2))
#define PAST3(l) (PAST2(l) && BEHIND(l, 3))
#define YOUNG(l) ((C.known[AT(l, 1)] && !PAST1(l)) + (C.known[AT(l, 2)] && !PAST2(l)) + (C.known[AT(l, 3)] && !PAST3(l)))
#define SLOT (calls[0].order == 0 || calls[1].order == 0 || calls[2].order == 0)
#define OLD(c) (calls[c].order != 0 && calls[c].order < C.first)
#define QUIET !(OLD(0) || OLD(1) || OLD(2))
#define SHOWN(l, n) (owner[AT(l, n)] == 0 || shown[AT(l, n)])
#define ALL_SHOWN (SHOWN(0, 1) && SHOWN(0, 2) && SHOWN(0, 3) && SHOWN(1, 1) && SHOWN(1, 2) && SHOWN(1, 3))

inline passed(l, number) {
	if :: C.next[l] <= number -> C.next[l] = number + 1 :: else -> skip fi
}

inline learn(l, number) {
	if
	:: !C.known[AT(l, number)] ->
		C.known[AT(l, number)] = true;
		C.count++;
		if :: number > C.base[l] && owner[AT(l, number)] < C.first -> C.found++ :: else -> skip fi
	:: else -> skip
	fi;
	passed(l, number)
}

#define NEW(l, n) (shown[AT(l, n)] && !C.known[AT(l, n)])
inline see(l, number) {
	if :: NEW(l, number) -> learn(l, number) :: else -> skip fi
}
inline see_all() {
	see(0, 1); see(0, 2); see(0, 3); see(1, 1); see(1, 2); see(1, 3)
}

inline forget() {
	d_step {
		C.count = 0; C.has_before = false; C.before = 0; C.found = 0; C.stored = MANY; C.unsure = MANY;
		i = 0;
		do :: i < LANES * NUMBERS -> C.known[i] = false; i++ :: else -> break od;
		i = 0;
		do
		:: i < LANES -> C.next[i] = 1; C.order[i] = 0; C.n[i] = 0; C.answered[i] = false; C.taken[i] = false; C.base[i] = 0; i++
		:: else -> break
		od;
		i = 0
	}
}

inline take_lead() {
	if :: holder != NONE -> cores[holder].leads = false :: else -> skip fi;
	/* Orders of a lead before are the business of whoever comes: begin as on an empty disk. */
	forget();
	holder = me;
	C.leads = true; C.viewed = false; C.first = orders + 1;
	C.has_before = record_ahead > 0; C.before = record_ahead;
	i = 0;
	do
	:: i < LANES ->
		C.base[i] = record_seen[i];
		C.next[i] = record_next[i];
		i++
	:: else -> break
	od;
	i = 0
}

/* What the record is to say. */
inline seen_of(l) {
	record_seen[l] = PAST1(l) + PAST2(l) + PAST3(l);
	record_next[l] = C.next[l]
}
inline amounts() {
	promised = (ROOM + 1) / 2;
#ifdef NO_PROMISE
	promised = 0;
#endif
	ahead = promised;
#ifndef FORGET_BEFORE
	ahead = ahead + BEFORE;
#endif
#ifndef FORGET_ORDERS
	ahead = ahead + OPEN;
#endif
#ifndef FORGET_YOUNG
	ahead = ahead + YOUNG(0) + YOUNG(1)
#endif
}
inline into_record() {
	record_ahead = ahead;
	seen_of(0); seen_of(1)
}

#define LEAST (C.stored == MANY -> 0 : (C.unsure < C.stored -> C.unsure : C.stored))
#ifdef NO_PROMISE
#define MAY ROOM
#else
#ifdef LAUNCH_FIRST
#define MAY (C.stored == MANY || LEAST > 0)
#else
#define MAY (LEAST > 0)
#endif
#endif

inline spend() {
	if :: C.stored != MANY && C.stored > 0 -> C.stored-- :: else -> skip fi;
	if :: C.unsure != MANY && C.unsure > 0 -> C.unsure-- :: else -> skip fi
}

inline send(i_, l) {
	calls[i_].order = orders; calls[i_].from = me; calls[i_].lane = l; calls[i_].n = C.n[l]
}

inline ask(l) {
	orders++;
	C.order[l] = orders; C.n[l] = C.next[l];
	spend();
	if
	:: calls[0].order == 0 -> send(0, l)
	:: else -> if :: calls[1].order == 0 -> send(1, l) :: else -> send(2, l) fi
	fi
}

inline arrive(c) {
	if
	:: owner[AT(calls[c].lane, calls[c].n)] == 0 ->
		owner[AT(calls[c].lane, calls[c].n)] = calls[c].order;
		total++;
		assert(total <= LIMIT);
		taken = false
	:: else -> taken = true
	fi;
	if
	:: cores[calls[c].from].order[calls[c].lane] == calls[c].order ->
		cores[calls[c].from].answered[calls[c].lane] = true;
		cores[calls[c].from].taken[calls[c].lane] = taken
	:: else -> skip
	fi;
	calls[c].order = 0; calls[c].from = NONE; calls[c].lane = 0; calls[c].n = 0; taken = false
}

inline hear(l) {
	if
	:: C.taken[l] -> passed(l, C.n[l])
	:: else -> learn(l, C.n[l])
	fi;
	C.order[l] = 0; C.n[l] = 0; C.answered[l] = false; C.taken[l] = false
}

active proctype ec2() {
	bool taken;

end:	do
	:: atomic { calls[0].order != 0 -> arrive(0) }
	:: atomic { calls[1].order != 0 -> arrive(1) }
	:: atomic { calls[2].order != 0 -> arrive(2) }
	:: atomic { owner[AT(0, 1)] && !shown[AT(0, 1)] -> shown[AT(0, 1)] = true }
	:: atomic { owner[AT(0, 2)] && !shown[AT(0, 2)] -> shown[AT(0, 2)] = true }
	:: atomic { owner[AT(0, 3)] && !shown[AT(0, 3)] -> shown[AT(0, 3)] = true }
	:: atomic { owner[AT(1, 1)] && !shown[AT(1, 1)] -> shown[AT(1, 1)] = true }
	:: atomic { owner[AT(1, 2)] && !shown[AT(1, 2)] -> shown[AT(1, 2)] = true }
	:: atomic { owner[AT(1, 3)] && !shown[AT(1, 3)] -> shown[AT(1, 3)] = true }
	od
}

#define CAN(l) (C.leads && C.viewed && C.order[l] == 0 && SETTLED(l) && C.next[l] < NUMBERS && ROOM > 0 && MAY && SLOT)

proctype a_core(byte me) {
	byte i, promised, ahead;

end:	do
	:: atomic { crashes > 0 && C.leads -> crashes--; C.leads = false; forget(); holder = NONE }
	:: atomic { holder == NONE -> take_lead() }
	:: atomic { holder != me && holder != NONE && steals > 0 -> steals--; take_lead() }
	:: atomic { C.leads && (!C.viewed || NEW(0, 1) || NEW(0, 2) || NEW(0, 3) || NEW(1, 1) || NEW(1, 2) || NEW(1, 3)) ->
		C.viewed = true; see_all() }
	:: atomic { C.leads && C.has_before && C.viewed && QUIET && ALL_SHOWN &&
			!(NEW(0, 1) || NEW(0, 2) || NEW(0, 3) || NEW(1, 1) || NEW(1, 2) || NEW(1, 3)) ->
		C.has_before = false; C.before = 0; C.found = 0 }
	:: atomic { CAN(0) -> ask(0) }
	:: atomic { CAN(1) -> ask(1) }
	:: atomic { C.leads && C.answered[0] -> hear(0) }
	:: atomic { C.leads && C.answered[1] -> hear(1) }
	/* A record with more in it: written; or nobody knows. */
	:: atomic { C.leads && holder == me && (C.stored == MANY || (C.stored == 0 && ROOM > 0) || C.unsure == 0) ->
		amounts(); into_record(); C.stored = promised; C.unsure = MANY; promised = 0; ahead = 0 }
	:: atomic { C.leads && holder == me && unsures > 0 ->
		unsures--; amounts();
		if :: into_record() :: skip fi;
#ifdef TRUST_UNSURE
		C.stored = promised;
#else
		if :: C.unsure == MANY || promised < C.unsure -> C.unsure = promised :: else -> skip fi;
#endif
		promised = 0; ahead = 0 }
	od
}

/* Nothing more can happen. */
active proctype rest() {
	timeout ->
	assert(total == LIMIT)
}

init {
	byte me, i;

	atomic {
		record_next[0] = 1; record_next[1] = 1;
		calls[0].from = NONE; calls[1].from = NONE; calls[2].from = NONE;
		forget();
		me = 1;
		forget();
		me = 0;
		run a_core(0); run a_core(1)
	}
}
