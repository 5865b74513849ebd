/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what an agent says, cut anywhere, and as what a core says. Whatever state they make
 * comes out the same when it is sent on to another reader.
 */
#include <math.h>

#include "wire/delta.h"

struct fuzz {
	struct owners owners;
	struct layout *layout;
	struct frame_reader reader;
	struct scratch scratch;
	char reason[REASON_SIZE];
};

static void open_fuzz(struct fuzz *fuzz, bool everything)
{
	struct wire_interest interest = {0};

	*fuzz = (struct fuzz){0};
	if (!everything)
		interest.statistics[METRIC_ACCEPT_QUEUE_DEPTH] = 7;
	fuzz->layout = layout_new(&interest);
	frame_reader_init(&fuzz->reader, &fuzz->owners, fuzz->layout);
	fuzz->reader.listeners_max = 64; /* so that a run stays short */
}

static void close_fuzz(struct fuzz *fuzz)
{
	frame_reader_free(&fuzz->reader);
	if (fuzz->owners.bytes)
		abort();
	owners_free(&fuzz->owners);
	scratch_free(&fuzz->scratch);
	layout_unref(fuzz->layout);
}

static void same_value(double a, double b)
{
	if (isnan(a) ? !isnan(b) : memcmp(&a, &b, sizeof(a)) != 0)
		abort();
}

static void same_listener(const struct indicator *a, const struct indicator *b)
{
	if (a->id != b->id || a->slot != b->slot || a->port != b->port ||
	    a->diagnosis != b->diagnosis || a->owner.cgroup_id != b->owner.cgroup_id ||
	    strcmp(a->owner.name, b->owner.name) != 0 || strcmp(a->reason, b->reason) != 0)
		abort();
	for (unsigned m = 0; m < METRIC_COUNT; m++)
		for (unsigned s = 0; s < STAT_COUNT; s++)
			same_value(a->value[m][s], b->value[m][s]);
}

/* Of listeners with one id the writer keeps the last, so only frames without such are compared. */
static bool ids_differ(const struct frame *frame)
{
	for (size_t i = 0; i < frame->count; i++)
		for (size_t j = 0; j < i; j++)
			if (frame->indicators[i].id == frame->indicators[j].id)
				return false;
	return true;
}

static void send_on(const struct frame *frame, bool everything)
{
	struct frame_writer writer;
	struct text bytes = {0};
	struct owners owners = {0};
	struct message message;
	struct frame back;
	struct fuzz other;
	struct part part;

	open_fuzz(&other, everything);
	frame_writer_init(&writer, &owners, other.layout);
	if (frame_write(&writer, frame, true, NS_PER_S, &bytes) < 0)
		abort();
	part = (struct part){(const uint8_t *)bytes.data, bytes.length};
	while (message_next(&part, &message, other.reason) > 0)
		if (frame_read(&other.reader, &message, other.layout, NS_PER_S, other.reason) < 0)
			abort();
	frame_reader_expand(&other.reader, &other.scratch, &back);
	if (back.count != frame->count || back.kind != frame->kind)
		abort();
	for (size_t i = 0; i < back.count; i++)
		same_listener(&frame->indicators[i], &back.indicators[i]);
	text_free(&bytes);
	frame_writer_free(&writer);
	owners_free(&owners);
	close_fuzz(&other);
}

/* What both sides read of each kind; a real side reads only its own kinds. */
static int take(void *arg, const struct message *message)
{
	struct fuzz *fuzz = arg;
	struct welcome welcome;
	struct wire_interest interest;
	struct frame frame;
	struct hello hello;
	struct bye bye;
	int r;

	switch (message->kind) {
	case MESSAGE_HELLO:
		return hello_read(message->body, &hello, fuzz->reason);
	case MESSAGE_WELCOME:
		return welcome_read(message->body, &welcome, fuzz->reason);
	case MESSAGE_INTEREST:
		return interest_read(message->body, &interest, fuzz->reason);
	case MESSAGE_BYE:
		return bye_read(message->body, &bye, fuzz->reason);
	case MESSAGE_FRAME:
		r = frame_read(&fuzz->reader, message, fuzz->layout, NS_PER_S, fuzz->reason);
		if (r <= 0)
			return r;
		frame_reader_expand(&fuzz->reader, &fuzz->scratch, &frame);
		if (ids_differ(&frame))
			send_on(&frame, fuzz->layout->everything);
		return 0;
	default:
		return 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inbox inbox = {0};
	struct fuzz fuzz;
	size_t cut;
	int r;

	if (size < 2)
		return 0;
	open_fuzz(&fuzz, data[0] & 1);
	cut = MIN((size_t)data[1], size - 2);
	r = inbox_feed(&inbox, data + 2, cut, take, &fuzz, fuzz.reason);
	if (r >= 0)
		r = inbox_feed(&inbox, data + 2 + cut, size - 2 - cut, take, &fuzz, fuzz.reason);
	if (r < 0 && !fuzz.reason[0])
		abort();
	inbox_free(&inbox);
	close_fuzz(&fuzz);
	return 0;
}
