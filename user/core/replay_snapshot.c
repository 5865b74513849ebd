/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the kinds of lines that snapshot.c writes. */
#include <cjson/cJSON.h>
#include <math.h>

#include "core/replay.h"

static bool is_true(const cJSON *json, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, key));
}

static void replay_totals(struct core *core, const cJSON *json)
{
	core->totals.decisions = count_of(json, "decisions", 1e15);
	core->totals.instances_launched = count_of(json, "launched", 1e15);
	core->totals.terminations = count_of(json, "terminations", 1e15);
	core->totals.lead_times_learned = count_of(json, "lead_times", 1e15);
}

/* ---- times ---- */

static void read_histogram(const cJSON *array, struct duration_histogram *histogram)
{
	const cJSON *it, *sum = cJSON_GetArrayItem(array, 0);
	size_t bucket = 0;

	if (!cJSON_IsNumber(sum))
		return;
	histogram->sum_seconds = sum->valuedouble;
	for (it = sum->next; it && bucket <= DURATION_BUCKETS; it = it->next) {
		histogram->counts[bucket] =
			it->valuedouble > 0 ? (uint64_t)MIN(it->valuedouble, 1e15) : 0;
		histogram->count += histogram->counts[bucket++];
	}
}

static void replay_timing(struct core *core, const cJSON *json)
{
	struct timing *timing = &core->timing;
	const cJSON *it;
	double hours = number_of(json, "spot_hours"), usd = number_of(json, "usd_before_serving");
	int s = 0;

	*timing = (struct timing){0};
	timing->served = count_of(json, "served", 1e15);
	timing->spot_interruptions = count_of(json, "interruptions", 1e15);
	timing->spot_hours = hours > 0 ? hours : 0;
	timing->usd_before_serving = usd > 0 ? usd : 0;
	read_histogram(cJSON_GetObjectItemCaseSensitive(json, "latency"), &timing->latency);
	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(json, "stages"))
		if (s < STAGE_COUNT)
			read_histogram(it, &timing->stages[s++]);
	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(json, "latencies"))
		timing->latencies[timing->latencies_count++ % LATENCIES_KEPT] = it->valuedouble;
}

static void replay_learned(struct core *core, const cJSON *json)
{
	struct pool_state *pool = pool_find(core, text_of(json, "pool"));
	enum serving_proof proof = is_true(json, "proven") ? PROOF_RESPONSE : PROOF_CLOCK;
	const cJSON *it;

	if (!pool)
		return;
	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(json, "samples")) {
		const cJSON *seconds = cJSON_GetArrayItem(it, 1);

		if (cJSON_IsNumber(seconds) && seconds->valuedouble > 0)
			lead_time_learn(core, pool, element(it, 0), seconds->valuedouble, proof);
	}
	pool->agents_known |= is_true(json, "agents");
}

/* ---- lanes and launches ---- */

static void read_numbers(struct lane *lane, const cJSON *numbers)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, numbers) {
		const cJSON *expected = cJSON_GetArrayItem(it, 1);
		bool known = cJSON_IsNumber(expected) && expected->valuedouble >= 0;
		struct lane_number number = {
			.n = number_at(it, 0, 1e15),
			.expected = known ? (uint32_t)number_at(it, 1, INT32_MAX) : COUNT_UNKNOWN,
			.exact = number_at(it, 2, 1),
			.ended = number_at(it, 3, 1),
			.known_wall_ns = number_at(it, 4, 1e16) * NS_PER_US};

		lane_replay_number(lane, &number);
	}
}

static int replay_lane(struct core *core, const cJSON *json, char reason[160])
{
	const char *key = text_of(json, "key");
	struct lane *lane;

	if (strlen(key) != 16 || strspn(key, "0123456789abcdef") != 16)
		return no_sense(reason, "a lane without a usable key: \"%.60s\"", key);
	lane = lane_by_key(core, strtoull(key, NULL, 16));
	set_text(lane->pool, text_of(json, "pool"));
	set_text(lane->policy, text_of(json, "policy"));
	lane->next = MAX(count_of(json, "next", 1e15), 1);
	lane->settled = MIN(count_of(json, "settled", 1e15), lane->next - 1);
	lane->seen = MIN(count_of(json, "seen", 1e15), lane->settled);
	lane->known = is_true(json, "known");
	lane->lost = is_true(json, "lost");
	lane->blind = is_true(json, "blind");
	lane->taken = (uint32_t)count_of(json, "taken", 1000);
	lane->wait_wall_ns = ns_of(json, "wait_us");
	lane->wait_to = count_of(json, "wait_to", 1e15);
	read_numbers(lane, cJSON_GetObjectItemCaseSensitive(json, "numbers"));
	return 0;
}

static void replay_launches(struct core *core, const cJSON *json)
{
	const cJSON *it;

	cJSON_ArrayForEach (it, cJSON_GetObjectItemCaseSensitive(json, "list")) {
		struct launch_count *launch = vec_push(&core->launches);

		launch->wall_ns = number_at(it, 0, 1e16) * NS_PER_US;
		launch->count = (uint32_t)number_at(it, 1, INT32_MAX);
		set_text(launch->token, element(it, 2));
	}
}

/* ---- instances ---- */

static enum instance_state state_of(const char *text)
{
	for (enum instance_state s = INSTANCE_PENDING; s <= INSTANCE_STOPPED; s++)
		if (strcmp(text, instance_state_text(s)) == 0)
			return s;
	return INSTANCE_PENDING;
}

static void read_texts(struct core *core, struct instance *instance, const cJSON *json)
{
	set_text(instance->instance_type, text_of(json, "type"));
	set_text(instance->zone, text_of(json, "zone"));
	set_text(instance->decision, text_of(json, "decision"));
	set_text(instance->token, text_of(json, "token"));
	set_text(instance->pool, text_of(json, "pool"));
	set_text(instance->policy, text_of(json, "policy"));
	instance_place(core, instance);
	lane_of_token(core, instance->token, &instance->sequence);
	instance->epoch = count_of(json, "epoch", 1e15);
}

static int replay_known(struct core *core, const cJSON *json, char reason[160])
{
	const char *id = text_of(json, "id");
	struct instance *instance;

	if (!*id || strlen(id) >= sizeof(instance->id) || instance_find(core, id))
		return no_sense(reason, "an instance without a usable id, or twice: \"%.60s\"", id);
	instance = instance_add(core, id);
	if (!instance)
		return -ENOMEM;
	read_texts(core, instance, json);
	instance->capacity_type = capacity_type_of(text_of(json, "capacity_type"));
	instance->state = state_of(text_of(json, "state"));
	instance->vcpus = (uint32_t)count_of(json, "vcpus", INT32_MAX);
	instance->memory_mib = count_of(json, "memory_mib", INT32_MAX);
	instance->usd_per_hour = number_of(json, "usd_per_hour");
	instance->launched_wall_ns = ns_of(json, "launched_us");
	instance->known_wall_ns = ns_of(json, "known_us");
	instance->running_wall_ns = ns_of(json, "running_us");
	instance->gone_wall_ns = ns_of(json, "gone_us");
	instance->source = source_of_text(text_of(json, "source"));
	instance->started_wall_ns = ns_of(json, "started_us");
	set_text(instance->class_hash, text_of(json, "class_hash"));
	set_text(instance->pool_hash, text_of(json, "pool_hash"));
	instance->prepared = is_true(json, "prepared");
	instance->seen = is_true(json, "seen");
	instance->serving = is_true(json, "serving");
	instance->gone = is_true(json, "gone");
	instance->vanished = is_true(json, "vanished");
	instance->registered = is_true(json, "registered");
	instance->tag_ignored = is_true(json, "tag_ignored");
	return 0;
}

static int replay_record(struct core *core, const cJSON *json, char reason[160])
{
	struct record *record = record_find(core, text_of(json, "decision"));

	if (!record)
		return no_sense(reason, "a record of decision %.60s, which is not there",
				text_of(json, "decision"));
	record->attempts = (uint32_t)count_of(json, "attempts", 1000);
	record->decision.launched = (uint32_t)count_of(json, "launched", INSTANCES_MAX);
	record->decision.failed = (uint32_t)count_of(json, "failed", INSTANCES_MAX);
	record->released = (uint32_t)count_of(json, "released", INSTANCES_MAX);
	record->decision.closed = is_true(json, "closed");
	return 0;
}

/* 1: of none of these kinds. */
int replay_snapshot(struct core *core, const cJSON *json, const char *kind, char reason[160])
{
	if (strcmp(kind, "lane") == 0)
		return replay_lane(core, json, reason);
	if (strcmp(kind, "known") == 0)
		return replay_known(core, json, reason);
	if (strcmp(kind, "record") == 0)
		return replay_record(core, json, reason);
	if (strcmp(kind, "totals") == 0)
		replay_totals(core, json);
	else if (strcmp(kind, "timing") == 0)
		replay_timing(core, json);
	else if (strcmp(kind, "learned") == 0)
		replay_learned(core, json);
	else if (strcmp(kind, "launches") == 0)
		replay_launches(core, json);
	else
		return 1;
	return 0;
}
