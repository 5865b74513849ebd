/* SPDX-License-Identifier: Apache-2.0 */
/* The capacity reservations that a class selects: active ones, as Karpenter's. */
#include "cloud/private.h"

static const char FIELD[] = "capacityReservationSelectorTerms";

static void next_term(struct resolver *resolver);

static void end_reservation(struct resolver *resolver)
{
	struct capacity_reservation *item = &resolver->reservation;
	bool known = false;

	vec_for_each (other, &resolver->reservations)
		known |= strcmp(other->id, item->id) == 0;
	if (str_starts(item->id, "cr-") && *item->instance_type && *item->zone && !known &&
	    (!item->ends_wall_ns || item->ends_wall_ns > time_wall_ns()))
		*vec_push(&resolver->reservations) = *item;
	*item = (struct capacity_reservation){0};
}

static void take_kind(struct capacity_reservation *item, bool is, enum reservation_kind kind)
{
	if (is)
		item->kind = kind;
}

static void on_reservation_element(void *arg, const char *path, const char *text)
{
	static const char prefix[] = "capacityReservationSet/item";
	struct resolver *resolver = arg;
	struct capacity_reservation *item = &resolver->reservation;
	uint64_t number = 0;

	if (!str_starts(path, prefix))
		return;
	path += sizeof(prefix) - 1;
	if (!*path)
		end_reservation(resolver);
	else if (strcmp(path, "/capacityReservationId") == 0)
		set_text(item->id, text);
	else if (strcmp(path, "/instanceType") == 0)
		set_text(item->instance_type, text);
	else if (strcmp(path, "/availabilityZone") == 0)
		set_text(item->zone, text);
	else if (strcmp(path, "/reservationType") == 0)
		take_kind(item, strcmp(text, "capacity-block") == 0, RESERVATION_CAPACITY_BLOCK);
	else if (strcmp(path, "/interruptible") == 0)
		take_kind(item, strcmp(text, "true") == 0, RESERVATION_INTERRUPTIBLE);
	else if (strcmp(path, "/availableInstanceCount") == 0 && parse_u64(text, &number) == 0)
		item->available = (uint32_t)MIN(number, UINT32_MAX);
	else if (strcmp(path, "/endDate") == 0)
		time_parse(text, &item->ends_wall_ns);
}

static void on_reservations(void *arg, const struct answer *answer)
{
	struct resolver *resolver = arg;
	/* One that was cancelled long ago is not known by its id any more: none, and no reason not
	 * to launch elsewhere. */
	bool missing = str_starts(answer->code, "InvalidCapacityReservationId");
	char words[512];

	if (answer->error && !missing) {
		resolver_fail(resolver, FIELD, answer->error, "DescribeCapacityReservations: %s",
			      answer_text(answer, words));
		return;
	}
	if (resolver->check && resolver->reservations.count == resolver->found_before) {
		resolver_fail(resolver, FIELD, 0,
			      "term %zu: no active capacity reservation in %s matches, expected at "
			      "least one",
			      resolver->term + 1, resolver->cloud->identity.region);
		return;
	}
	resolver->term++;
	next_term(resolver);
}

static void add_filter(struct text *query, size_t *count, const char *name, const char *value)
{
	form_add(query, name, "Filter.%zu.Name", ++*count);
	form_add(query, value, "Filter.%zu.Value.1", *count);
}

/* EC2 takes no MaxResults beside ids. */
void reservation_request(const struct reservation_term *term, struct text *query)
{
	size_t filters = 0;

	form_begin(query, "DescribeCapacityReservations");
	add_filter(query, &filters, "state", "active");
	if (term->id) {
		form_add(query, term->id, "CapacityReservationId.1");
		return;
	}
	if (term->owner_id)
		add_filter(query, &filters, "owner-id", term->owner_id);
	vec_for_each (tag, &term->tags.list) {
		_cleanup_free_ char *name = str_printf("tag:%s", tag->key);

		if (strcmp(tag->value, "*") == 0)
			add_filter(query, &filters, "tag-key", tag->key);
		else
			add_filter(query, &filters, name, tag->value);
	}
	if (term->instance_match_criteria)
		add_filter(query, &filters, "instance-match-criteria",
			   term->instance_match_criteria);
	form_add(query, "1000", "MaxResults");
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct capacity_reservation *)a)->id,
		      ((const struct capacity_reservation *)b)->id);
}

static void next_term(struct resolver *resolver)
{
	_cleanup_text_ struct text query = {0};

	if (resolver->term == resolver->class->reservations.count) {
		if (resolver->reservations.count)
			qsort(resolver->reservations.at, resolver->reservations.count,
			      sizeof(*resolver->reservations.at), compare);
		resolve_profile(resolver);
		return;
	}
	resolver->found_before = resolver->reservations.count;
	resolver->reservation = (struct capacity_reservation){0};
	reservation_request(&resolver->class->reservations.at[resolver->term], &query);
	describe_send(resolver->cloud, &(struct describe_request){
					       .query = query.data,
					       .flags = resolver->flags,
					       .on_element = on_reservation_element,
					       .done = on_reservations,
					       .arg = resolver,
				       });
}

void resolve_reservations(struct resolver *resolver)
{
	resolver->term = 0;
	next_term(resolver);
}
