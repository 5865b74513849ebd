/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts of a fleet, by what their agents do. */
#include "cmd/facts.h"

#define SERVICES_SIZE sizeof(((struct host_status *)0)->services)

void host_counts_free(struct host_counts *counts)
{
	struct map_entry *entry;

	for (size_t at = 0; (entry = map_next(&counts->by_service, &at));)
		free(entry->value);
	map_free(&counts->by_service);
}

static void count_service(struct host_counts *counts, const char *name, bool silent)
{
	struct host_count *count = map_get(&counts->by_service, hash_text(name));

	if (!count) {
		count = calloc(1, sizeof(*count));
		if (!count)
			return;
		map_put(&counts->by_service, hash_text(name), count);
	}
	if (silent)
		count->silent++;
	else
		count->reporting++;
}

void host_counts_take(const struct core *core, struct moment now, struct host_counts *counts)
{
	struct host_status host;

	memset(counts, 0, sizeof(*counts));
	for (size_t i = 0; core_host(core, i, now, &host); i++) {
		char *rest = host.services, *name;

		if (host.silent)
			counts->all.silent++;
		else
			counts->all.reporting++;
		while ((name = strsep(&rest, ",")))
			if (*name)
				count_service(counts, name, host.silent);
	}
}

struct host_count host_count_of(const struct host_counts *counts, const char *service)
{
	const struct host_count *count = map_get(&counts->by_service, hash_text(service));

	return count ? *count : (struct host_count){0};
}

void hosts_json(const struct facts *facts, struct moment now, struct text *out)
{
	struct host_status host;

	text_add(out, "{\"hosts\":[");
	for (size_t i = 0; core_host(facts->core, i, now, &host); i++) {
		text_add(out, i ? ",{\"host\":" : "{\"host\":");
		text_add_json(out, host.host);
		text_add(out, ",\"instance\":");
		text_add_json(out, host.instance_id);
		text_add(out, ",\"services\":");
		text_add_json(out, host.services);
		text_printf(out, ",\"silent\":%s,\"responded\":%s,\"heard_seconds_ago\":",
			    host.silent ? "true" : "false", host.responded ? "true" : "false");
		export_json_number(out, (double)(now.mono_ns - MIN(now.mono_ns, host.heard_ns)) /
						NS_PER_S);
		text_add_char(out, '}');
	}
	text_add(out, "]}");
}
