/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launching exactly once (docs/exactly-once.md): two cores, a lease with its record, and an EC2 that honours tokens, for
 * one lane. Whatever may fail does so at any moment, a bounded number of times; then all comes to rest.
 *
 * Nobody has a clock. A core that lost the lease may go on until it notices; a call may be lost, or arrive when nobody
 * waits for it any more; a reply may be lost; an instance is shown at any time after its launch (and a launch of nothing
 * counts as shown at some time: that is the end of a wait for visible_within). A core that dies keeps its journal or loses
 * the disk with it.
 *
 * Held: EC2 never has more instances than are wanted (the assertion in launch()); and when all is at rest it has exactly
 * that many, and the leader knows each of them (the process rest): so none is an orphan and no demand is lost.
 *
 * Each of these makes a variant that does not hold, and spin must say so:
 *   NO_HOLD          a number that another launch has is passed over without waiting for what that launched
 *   OWN_TOKENS       the token follows from the decision, not from the lane
 *   SKIP_REFUSED     a number under which nothing was launched is not used again
 *   NEW_TOKEN_RETRY  without an answer it is asked for again under the next number
 *   TRUST_RECORD     a successor does not wait until what its predecessor launched is shown
 * and this one holds, for EC2 itself says which numbers are used:
 *   NO_RECORD        a successor is told nothing and begins with number 1
 */

#define CORES 2
#define NUMBERS 5 /* one more than the highest */
#define CALLS 3
#define NONE 255

#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LOSSES
#define LOSSES 1 /* calls and replies */
#endif
#ifndef PARTIALS
#define PARTIALS 1 /* launches of fewer than asked for */
#endif
#ifndef REFUSALS
#define REFUSALS 1
#endif
#ifndef GROWTHS
#define GROWTHS 1 /* of demand */
#endif
#ifndef STEALS
#define STEALS 1 /* of the lease, from one that lives */
#endif

mtype = { DONE, REFUSED, TAKEN };

byte wanted = 1;
byte total; /* instances at EC2 */

/* ---- EC2: what it remembers of each token ---- */
byte owner[NUMBERS]; /* the order that has the number; 0: none */
byte launched[NUMBERS];
bool shown[NUMBERS];
#ifdef OWN_TOKENS
bool spent[8]; /* by order */
byte result[8];
#endif

/* ---- calls under way; they overtake each other ---- */
typedef call_state { bool used; byte from, order, n, count };
call_state calls[CALLS];

/* ---- the lease and its record ---- */
byte holder = NONE;
byte record_next = 1, record_seen = 0;

/* ---- cores ---- */
typedef core_state {
	bool leads;
	byte next; /* the lowest number that nobody is known to have used */
	bool known[NUMBERS]; /* all that was launched under it is known */
	byte count; /* instances that it counts */
	byte order, n, asked; /* the order without a known end; 0: none */
	bool answered; mtype answer; byte got; /* what EC2 said to it */
};
core_state cores[CORES];
byte orders; /* made so far, by all */

byte crashes = CRASHES, losses = LOSSES, steals = STEALS, partials = PARTIALS, refusals = REFUSALS, growths = GROWTHS;

#define C cores[me]

/* Whether all below next is known. */
#define SETTLED(k) (cores[k].next <= 1 || cores[k].known[1]) && (cores[k].next <= 2 || cores[k].known[2]) && \
	(cores[k].next <= 3 || cores[k].known[3]) && (cores[k].next <= 4 || cores[k].known[4])

#define FLYING(k) ((calls[0].used && calls[0].from == k && calls[0].order == cores[k].order) || \
	(calls[1].used && calls[1].from == k && calls[1].order == cores[k].order) || \
	(calls[2].used && calls[2].from == k && calls[2].order == cores[k].order))

#define ROOM (!calls[0].used || !calls[1].used || !calls[2].used)

inline send() {
	if
	:: !calls[0].used -> calls[0].used = true; calls[0].from = me; calls[0].order = C.order; calls[0].n = C.n; calls[0].count = C.asked
	:: else -> if
		:: !calls[1].used -> calls[1].used = true; calls[1].from = me; calls[1].order = C.order; calls[1].n = C.n; calls[1].count = C.asked
		:: else -> assert(!calls[2].used); calls[2].used = true; calls[2].from = me; calls[2].order = C.order; calls[2].n = C.n; calls[2].count = C.asked
		fi
	fi
}

/* The lowest number that was not shown: what the record calls seen is the one below. */
inline write_record() {
	if
	:: holder == me ->
		record_next = C.next;
		record_seen = 0;
		do
		:: record_seen + 1 < C.next && shown[record_seen + 1] -> record_seen++
		:: else -> break
		od
	:: else -> skip
	fi
}

inline forget() {
	C.next = 1; C.count = 0; C.order = 0; C.n = 0; C.asked = 0;
	C.known[1] = false; C.known[2] = false; C.known[3] = false; C.known[4] = false
}

inline passed(number) {
	if :: C.next <= number -> C.next = number + 1 :: else -> skip fi
}

/* DescribeInstances: an instance with that number in its tags. */
#define NEW(number) (shown[number] && !C.known[number])

inline see(number) {
	if
	:: NEW(number) -> C.known[number] = true; C.count = C.count + launched[number]; passed(number)
	:: else -> skip
	fi
}

inline take_lead() {
	holder = me;
	C.leads = true;
#ifndef NO_RECORD
	if :: record_next > C.next -> C.next = record_next :: else -> skip fi;
#endif
#ifdef TRUST_RECORD
	see(1); see(2); see(3); see(4); /* what is not shown by now is not waited for */
	if :: record_next > 1 -> C.known[1] = true :: else -> skip fi;
	if :: record_next > 2 -> C.known[2] = true :: else -> skip fi;
	if :: record_next > 3 -> C.known[3] = true :: else -> skip fi;
#endif
}

/* ---- what EC2 does with a call ---- */

inline launch(i) {
	k = calls[i].count;
	if
	:: partials > 0 && k > 0 -> partials--; k--
	:: skip
	fi;
	owner[calls[i].n] = calls[i].order;
	launched[calls[i].n] = launched[calls[i].n] + k;
	shown[calls[i].n] = false;
	total = total + k;
	assert(total <= wanted)
}

inline arrive(i) {
	answer = DONE;
#ifdef OWN_TOKENS
	if
	:: spent[calls[i].order] -> k = result[calls[i].order]
	:: else -> launch(i); spent[calls[i].order] = true; result[calls[i].order] = k
	fi;
#else
	if
	:: owner[calls[i].n] == calls[i].order -> k = launched[calls[i].n]
	:: owner[calls[i].n] == 0 && refusals > 0 -> refusals--; answer = REFUSED; k = 0
	:: owner[calls[i].n] == 0 -> launch(i)
	:: owner[calls[i].n] != 0 && owner[calls[i].n] != calls[i].order -> answer = TAKEN; k = 0
	fi;
#endif
	/* The reply reaches the one that asked, if it still wants to know. */
	if
	:: losses > 0 -> losses--
	:: cores[calls[i].from].order == calls[i].order && !cores[calls[i].from].answered ->
		cores[calls[i].from].answered = true;
		cores[calls[i].from].answer = answer;
		cores[calls[i].from].got = k
	:: !(cores[calls[i].from].order == calls[i].order && !cores[calls[i].from].answered)
	fi;
	calls[i].used = false; calls[i].from = 0; calls[i].order = 0; calls[i].n = 0; calls[i].count = 0;
	k = 0
}

inline lose(i) {
	losses--;
	calls[i].used = false; calls[i].from = 0; calls[i].order = 0; calls[i].n = 0; calls[i].count = 0
}

active proctype ec2() {
	byte k; mtype answer;

end:	do
	:: atomic { calls[0].used -> arrive(0) }
	:: atomic { calls[1].used -> arrive(1) }
	:: atomic { calls[2].used -> arrive(2) }
	:: atomic { calls[0].used && losses > 0 -> lose(0) }
	:: atomic { calls[1].used && losses > 0 -> lose(1) }
	:: atomic { owner[1] != 0 && !shown[1] -> shown[1] = true }
	:: atomic { owner[2] != 0 && !shown[2] -> shown[2] = true }
	:: atomic { owner[3] != 0 && !shown[3] -> shown[3] = true }
	:: atomic { owner[4] != 0 && !shown[4] -> shown[4] = true }
	od
}

/* ---- a core ---- */

inline end_of_order() {
	C.order = 0; C.n = 0; C.asked = 0; C.answered = false; C.answer = DONE; C.got = 0;
}

inline hear() {
	if
	:: C.answer == DONE ->
		if
		:: !C.known[C.n] -> C.known[C.n] = true; C.count = C.count + C.got
		:: else -> skip
		fi;
		passed(C.n)
	:: C.answer == TAKEN ->
		passed(C.n);
#ifdef NO_HOLD
		C.known[C.n] = true
#endif
	:: C.answer == REFUSED ->
#ifdef SKIP_REFUSED
		C.known[C.n] = true; passed(C.n)
#else
		skip
#endif
	fi;
	end_of_order()
}

proctype a_core(byte me) {
end:	do
	/* life and lead */
	:: atomic { crashes > 0 ->
		crashes--; C.leads = false; C.answered = false; C.got = 0;;
		if
		:: forget() /* the disk is lost */
		:: skip /* the journal stays: what was asked for is asked for again */
		fi;
		if :: holder == me -> holder = NONE :: else -> skip fi
	}
	:: atomic { holder == NONE -> take_lead() }
	:: atomic { holder != me && steals > 0 -> steals--; take_lead() }
	:: atomic { C.leads && holder != me -> C.leads = false; C.answered = false } /* it notices */
	:: atomic { (NEW(1) || NEW(2) || NEW(3) || NEW(4)) -> see(1); see(2); see(3); see(4) }
	/* EC2 shows another's launch under the number of its order: as if EC2 had said so */
	:: atomic { C.order != 0 && !C.answered && shown[C.n] && owner[C.n] != C.order ->
		C.answered = true; C.answer = TAKEN; C.got = 0 }
	:: atomic { C.order != 0 && !C.answered && shown[C.n] && owner[C.n] == C.order ->
		C.answered = true; C.answer = DONE; C.got = launched[C.n] }
	/* what it does */
	:: atomic { C.leads && C.order == 0 && C.count < wanted && SETTLED(me) && C.next < NUMBERS && orders < 7 && ROOM ->
		orders++; C.order = orders; C.n = C.next; C.asked = wanted - C.count; send() }
	:: atomic { C.leads && C.order != 0 && !C.answered && !FLYING(me) && ROOM ->
#ifdef NEW_TOKEN_RETRY
		C.known[C.n] = true; passed(C.n); orders++; C.order = orders; C.n = C.next;
#endif
		send() }
	:: atomic { C.answered -> hear() }
	/* what it leaves to its successor */
	:: atomic { C.leads && holder == me && (record_next != C.next) -> write_record() }
	od
}

active proctype demand() {
end:	atomic { growths > 0 -> growths--; wanted++ }
}

/* Nothing more can happen. */
active proctype rest() {
	timeout ->
	assert(total == wanted);
	assert(holder != NONE && cores[holder].count == total)
}

init {
	atomic {
		cores[0].next = 1; cores[1].next = 1;
		run a_core(0); run a_core(1)
	}
}
