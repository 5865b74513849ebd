/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the cloud room: cloud_tool [--NAME VALUE]... DOCUMENT.yaml..., then one command a line on
 * standard input; every event is one JSON object a line on standard output.
 *
 *	start | describe | status | rates | whoami | document | check | quit
 *	verify {"document","pkcs7","certificates"}
 *	lease {"table","name","holder","ttl_ms"} | lease-state TEXT | lease-fill BYTES
 *	lease-status | lease-free
 *	pause {"table","name","why"} | freeze MS (stands still, as a stopped process does)
 *	launch {"token":..., "capacity_type":"spot", "count":1,
 *		"overrides":[{"type","zone","subnet","template"}], "starts":["i-..."], "tags":{}}
 *	terminate {"decision":..., "instances":["i-..."]} | stop {"id":..., "hibernate":true}
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "cloud/cloud.h"

struct tool {
	struct loop *loop;
	struct http_client *http;
	struct cloud *cloud;
	struct documents documents;
	struct problems problems;
	struct text input;
	struct launch_order orders[64]; /* kept: asked for again by token */
	size_t orders_count;
	struct lease *lease; /* with one, only who holds it acts */
	char *lease_words[3]; /* its table, name and holder */
	char state[256];
	size_t fill; /* bytes behind it */
};

static void print_line(struct text *line)
{
	printf("%s\n", line->data);
	fflush(stdout);
	text_free(line);
}

static void add(struct text *line, const char *key, const char *value)
{
	text_add(line, line->length > 1 && line->data[line->length - 1] != '{' ? "," : "");
	text_add_json(line, key);
	text_add_char(line, ':');
	text_add_json(line, value);
}

static void add_number(struct text *line, const char *key, double value)
{
	text_add_char(line, ',');
	text_add_json(line, key);
	if (isnan(value))
		text_add(line, ":null");
	else
		text_printf(line, ":%.17g", value);
}

static void begin(struct text *line, const char *event)
{
	text_add_char(line, '{');
	add(line, "event", event);
}

static void end(struct text *line)
{
	text_add_char(line, '}');
	print_line(line);
}

/* ---- events ---- */

static void on_catalog(void *arg, const struct catalog *catalog)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "catalog");
	text_add(&line, ",\"offerings\":[");
	for (size_t i = 0; i < catalog->count; i++) {
		const struct offering *offering = &catalog->offerings[i];

		text_add(&line, i ? ",{" : "{");
		add(&line, "type", offering->instance_type);
		add(&line, "zone", offering->zone);
		add(&line, "zone_id", offering->zone_id);
		add(&line, "capacity_type", capacity_type_text(offering->capacity_type));
		add(&line, "architecture", architecture_text(offering->architecture));
		add_number(&line, "vcpus", offering->vcpus);
		add_number(&line, "memory_mib", (double)offering->memory_mib);
		add_number(&line, "usd", offering->usd_per_hour);
		text_add_char(&line, '}');
	}
	text_add(&line, "],\"quotas\":[");
	for (size_t i = 0; i < catalog->quotas_count; i++) {
		const struct vcpu_quota *quota = &catalog->quotas[i];

		text_add(&line, i ? ",{" : "{");
		add(&line, "name", quota->name);
		add(&line, "capacity_type", capacity_type_text(quota->capacity_type));
		add(&line, "categories", quota->categories);
		add_number(&line, "vcpus", quota->vcpus);
		text_add_char(&line, '}');
	}
	text_add_char(&line, ']');
	end(&line);
}

static void on_class(void *arg, const struct class_view *view)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "class");
	add(&line, "name", view->name);
	add(&line, "problem", view->problem);
	add_number(&line, "ready", view->ready);
	text_add(&line, ",\"subnets\":[");
	for (size_t i = 0; i < view->subnets_count; i++) {
		text_add(&line, i ? ",{" : "{");
		add(&line, "id", view->subnets[i].id);
		add(&line, "zone", view->subnets[i].zone);
		add_number(&line, "free", view->subnets[i].free_addresses);
		text_add_char(&line, '}');
	}
	text_add(&line, "],\"templates\":[");
	for (size_t i = 0; i < view->templates_count; i++) {
		const struct launch_template *template = &view->templates[i];

		text_add(&line, i ? ",{" : "{");
		add(&line, "name", template->name);
		add(&line, "image", template->image_id);
		add(&line, "architecture", architecture_text(template->architecture));
		add(&line, "capacity_type", capacity_type_text(template->capacity_type));
		add(&line, "pool", template->pool);
		add(&line, "reservation", template->reservation);
		add_number(&line, "variant", template->variant);
		text_add_char(&line, '}');
	}
	text_add(&line, "],\"reservations\":[");
	for (size_t i = 0; i < view->reservations_count; i++) {
		text_add(&line, i ? ",{" : "{");
		add(&line, "id", view->reservations[i].id);
		add(&line, "type", view->reservations[i].instance_type);
		add(&line, "zone", view->reservations[i].zone);
		add_number(&line, "available", view->reservations[i].available);
		add_number(&line, "kind", view->reservations[i].kind);
		text_add_char(&line, '}');
	}
	text_add_char(&line, ']');
	end(&line);
}

static void on_fleet(void *arg, const struct fleet_view *view)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "fleet");
	text_add(&line, ",\"instances\":[");
	for (size_t i = 0; i < view->count; i++) {
		const struct instance_view *instance = &view->instances[i];

		text_add(&line, i ? ",{" : "{");
		add(&line, "id", instance->id);
		add(&line, "state", instance_state_text(instance->state));
		add(&line, "type", instance->instance_type);
		add(&line, "zone", instance->zone);
		add(&line, "capacity_type", capacity_type_text(instance->capacity_type));
		add(&line, "decision", instance->decision);
		add(&line, "pool", instance->pool);
		add(&line, "policy", instance->policy);
		add(&line, "token", instance->token);
		add(&line, "address", instance->private_address);
		add(&line, "service", instance->service);
		add_number(&line, "sequence", (double)instance->sequence);
		add_number(&line, "epoch", (double)instance->epoch);
		add_number(&line, "count", instance->launch_count);
		add_number(&line, "owned", instance->owned);
		add_number(&line, "pause", instance->pause);
		add_number(&line, "launched", (double)(instance->launched_wall_ns / NS_PER_S));
		text_add_char(&line, '}');
	}
	text_add_char(&line, ']');
	end(&line);
}

static void on_launched(void *arg, const struct launch_result *result)
{
	static const char *const OUTCOMES[] = {"done", "refused", "unknown"};
	struct text line = {0};
	const char *comma = "";

	(void)arg;
	begin(&line, "launched");
	add(&line, "token", result->token);
	add(&line, "outcome", OUTCOMES[result->outcome]);
	add(&line, "request_id", result->request_id);
	add(&line, "fleet_id", result->fleet_id);
	add(&line, "code", result->error_code);
	add(&line, "text", result->error_text);
	add_number(&line, "throttled", result->throttled);
	add_number(&line, "no_capacity", result->no_capacity);
	add_number(&line, "started_ns", (double)result->started_ns);
	add_number(&line, "sent_ns", (double)result->sent_ns);
	add_number(&line, "done_ns", (double)result->done_ns);
	text_add(&line, ",\"instances\":[");
	vec_for_each (instance, &result->instances) {
		text_printf(&line, "%s{", comma);
		add(&line, "id", instance->id);
		add(&line, "type", instance->instance_type);
		add(&line, "zone", instance->zone);
		text_add_char(&line, '}');
		comma = ",";
	}
	text_add(&line, "],\"failures\":[");
	comma = "";
	vec_for_each (failure, &result->failures) {
		text_printf(&line, "%s{", comma);
		add(&line, "instance", failure->instance_id);
		add(&line, "type", failure->instance_type);
		add(&line, "zone", failure->zone);
		add(&line, "code", failure->code);
		add(&line, "message", failure->message);
		text_add_char(&line, '}');
		comma = ",";
	}
	text_add_char(&line, ']');
	end(&line);
}

static void on_terminated(void *arg, const struct terminate_result *result)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "terminated");
	add(&line, "decision", result->decision);
	add(&line, "error",
	    result->error == 0	       ? ""
	    : result->error == -EAGAIN ? "again"
				       : "refused");
	add(&line, "code", result->error_code);
	add(&line, "text", result->error_text);
	add(&line, "request_id", result->request_id);
	end(&line);
}

static void on_stopped(void *arg, const struct stop_result *result)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "stopped");
	add(&line, "id", result->id);
	add(&line, "error",
	    result->error == 0	       ? ""
	    : result->error == -EAGAIN ? "again"
				       : "refused");
	add(&line, "code", result->error_code);
	end(&line);
}

static void on_checked(void *arg)
{
	struct tool *tool = arg;
	struct text line = {0};
	const char *comma = "";

	begin(&line, "checked");
	text_add(&line, ",\"problems\":[");
	vec_for_each (problem, &tool->problems.list) {
		text_printf(&line, "%s{", comma);
		add(&line, "where", problem->where);
		add(&line, "text", problem->text);
		text_add_char(&line, '}');
		comma = ",";
	}
	text_add_char(&line, ']');
	end(&line);
	problems_free(&tool->problems);
}

static void on_refreshed(void *arg, struct catalog *catalog, const char *problem)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "refreshed");
	add(&line, "problem", problem ? problem : "");
	text_printf(&line, ",\"types\":%zu,\"offerings\":%zu", catalog ? catalog->types_count : 0,
		    catalog ? catalog->count : 0);
	end(&line);
	catalog_free(catalog);
}

static void on_whoami(void *arg, const char *id, const char *type, const char *zone)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "whoami");
	add(&line, "id", id);
	add(&line, "type", type);
	add(&line, "zone", zone);
	end(&line);
}

static void on_document(void *arg, const char *document, const char *pkcs7)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "document");
	add(&line, "document", document);
	add(&line, "pkcs7", pkcs7);
	end(&line);
}

static void print_status(struct tool *tool)
{
	struct cloud_status status;
	struct text line = {0};

	cloud_status(tool->cloud, &status);
	begin(&line, "status");
	add(&line, "region", status.region);
	add(&line, "credentials", status.credentials);
	add(&line, "problem", status.problem);
	add_number(&line, "ready", status.ready);
	add_number(&line, "calls", (double)status.calls);
	add_number(&line, "errors", (double)status.errors);
	add_number(&line, "throttled", (double)status.throttled);
	add_number(&line, "hedged", (double)status.hedged);
	add_number(&line, "clock_offset_s", status.clock_offset_s);
	end(&line);
}

static void print_rates(struct tool *tool)
{
	struct cloud_rate rates[32];
	size_t count = cloud_rates(tool->cloud, rates, sizeof(rates) / sizeof(rates[0]));
	struct text line = {0};

	begin(&line, "rates");
	for (size_t i = 0; i < count; i++) {
		text_printf(&line, ",\"%s%s\":{\"tokens\":%.3f,\"size\":%.0f,\"waits\":%llu",
			    rates[i].action, rates[i].per_instance ? "/instances" : "",
			    rates[i].tokens, rates[i].size, (unsigned long long)rates[i].waits);
		text_printf(&line, ",\"waited_ns\":%llu}", (unsigned long long)rates[i].waited_ns);
	}
	end(&line);
}

/* ---- the lease ---- */

static void on_acquired(void *arg, uint64_t epoch, const char *state)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "acquired");
	add_number(&line, "epoch", (double)epoch);
	add(&line, "state", state);
	add_number(&line, "mono_ns", (double)time_mono_ns());
	end(&line);
}

static void on_lost(void *arg, const char *why)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "lost");
	add(&line, "why", why);
	add_number(&line, "mono_ns", (double)time_mono_ns());
	end(&line);
}

static void on_state(void *arg, struct text *out)
{
	struct tool *tool = arg;

	text_add(out, tool->state);
	if (tool->fill)
		text_printf(out, " %*s", (int)tool->fill, "");
}

static void on_paused(void *arg, const char *why)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "paused");
	add_number(&line, "is", why != NULL);
	add(&line, "why", why ? why : "");
	end(&line);
}

static void on_pause_done(void *arg, int error, const char *text)
{
	struct text line = {0};

	(void)arg;
	begin(&line, "pause-done");
	add(&line, "error", error ? strerror(-error) : "");
	add(&line, "text", text);
	end(&line);
}

static bool may_act(void *arg)
{
	struct tool *tool = arg;

	return !tool->lease || lease_held(tool->lease);
}

static void print_lease(struct tool *tool)
{
	struct lease_status status = {0};
	struct text line = {0};

	if (tool->lease)
		lease_status(tool->lease, &status);
	begin(&line, "lease-status");
	add(&line, "holder", status.holder);
	add(&line, "problem", status.problem);
	add_number(&line, "held", status.held);
	add_number(&line, "epoch", (double)status.epoch);
	add_number(&line, "renewals", (double)status.renewals);
	add_number(&line, "failures", (double)status.failures);
	add_number(&line, "left_ns", (double)status.left_ns);
	end(&line);
}

static void drop_lease(struct tool *tool)
{
	lease_free(tool->lease);
	tool->lease = NULL;
	for (int i = 0; i < 3; i++) {
		free(tool->lease_words[i]);
		tool->lease_words[i] = NULL;
	}
}

/* ---- commands ---- */

static const char *word_of(const cJSON *object, const char *name)
{
	const char *word = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	return word ? word : "";
}

#define COPY(out, value) snprintf(out, sizeof(out), "%s", value)

static void launch(struct tool *tool, const cJSON *wanted)
{
	const cJSON *item, *count = cJSON_GetObjectItemCaseSensitive(wanted, "count");
	struct launch_order *order;

	if (tool->orders_count == sizeof(tool->orders) / sizeof(tool->orders[0]))
		exit(3);
	order = &tool->orders[tool->orders_count++];
	COPY(order->token, word_of(wanted, "token"));
	COPY(order->decision, word_of(wanted, "token"));
	order->capacity_type =
		strcmp(word_of(wanted, "capacity_type"), "reserved") == 0 ? CAPACITY_RESERVED
		: strcmp(word_of(wanted, "capacity_type"), "spot") == 0	  ? CAPACITY_SPOT
									  : CAPACITY_ON_DEMAND;
	order->dry_run = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(wanted, "dry_run"));
	order->count = cJSON_IsNumber(count) ? (uint32_t)count->valueint : 1;
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(wanted, "overrides")) {
		struct launch_override *override = vec_push(&order->overrides);

		COPY(override->instance_type, word_of(item, "type"));
		COPY(override->zone, word_of(item, "zone"));
		COPY(override->subnet_id, word_of(item, "subnet"));
		COPY(override->launch_template, word_of(item, "template"));
		override->priority = -1;
	}
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(wanted, "starts"))
		COPY(vec_push(&order->starts)->id, cJSON_GetStringValue(item));
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(wanted, "tags")) {
		struct key_value *tag = vec_push(&order->tags.list);

		tag->key = strdup(item->string);
		tag->value = strdup(cJSON_GetStringValue(item) ? item->valuestring : "");
	}
	cloud_launch(tool->cloud, order);
}

static void terminate(struct tool *tool, const cJSON *wanted)
{
	struct terminate_order order = {0};
	const cJSON *item;

	COPY(order.decision, word_of(wanted, "decision"));
	cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(wanted, "instances")) {
		struct launched_instance *instance = vec_push(&order.instances);

		COPY(instance->id, cJSON_GetStringValue(item) ? item->valuestring : "");
	}
	cloud_terminate(tool->cloud, &order);
	vec_free(&order.instances);
}

static void stop(struct tool *tool, const cJSON *wanted)
{
	struct stop_order order = {
		.hibernate = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(wanted, "hibernate"))};

	COPY(order.id, word_of(wanted, "id"));
	cloud_stop(tool->cloud, &order);
}

static void take_lease(struct tool *tool, const cJSON *wanted)
{
	static const char *const NAMES[] = {"table", "name", "holder"};
	const cJSON *ttl = cJSON_GetObjectItemCaseSensitive(wanted, "ttl_ms");
	struct lease_events events = {.arg = tool,
				      .acquired = on_acquired,
				      .lost = on_lost,
				      .state = on_state,
				      .paused = on_paused};
	struct lease_config config = {0};

	drop_lease(tool);
	for (int i = 0; i < 3; i++)
		tool->lease_words[i] = strdup(word_of(wanted, NAMES[i]));
	config.table = tool->lease_words[0];
	config.name = tool->lease_words[1];
	config.holder = tool->lease_words[2];
	config.ttl_ns = cJSON_IsNumber(ttl) ? (uint64_t)ttl->valuedouble * NS_PER_MS : 0;
	if (lease_new(tool->cloud, &config, &events, &tool->lease) < 0)
		fprintf(stderr, "cloud_tool: no such lease\n");
}

static void pause_core(struct tool *tool, const cJSON *wanted)
{
	struct lease_config config = {.table = word_of(wanted, "table"),
				      .name = word_of(wanted, "name")};
	const char *why = word_of(wanted, "why");

	lease_pause(tool->cloud, &config, *why ? why : NULL, on_pause_done, tool);
}

static void verify(const cJSON *wanted)
{
	char instance_id[32] = "", reason[128] = "";
	struct text line = {0};
	int r = cloud_identity_verify(word_of(wanted, "document"), word_of(wanted, "pkcs7"),
				      word_of(wanted, "certificates"), instance_id, reason);

	begin(&line, "verified");
	add(&line, "id", instance_id);
	add(&line, "reason", reason);
	add_number(&line, "error", -r);
	end(&line);
}

/* False: none of the lease's. */
static bool lease_command(struct tool *tool, const char *line, const cJSON *argument)
{
	if (str_starts(line, "lease ") && argument)
		take_lease(tool, argument);
	else if (str_starts(line, "lease-state ")) {
		COPY(tool->state, line + strlen("lease-state "));
		if (tool->lease)
			lease_renew_now(tool->lease);
	} else if (str_starts(line, "lease-fill "))
		tool->fill = strtoul(line + strlen("lease-fill "), NULL, 10);
	else if (str_equal(line, "lease-status"))
		print_lease(tool);
	else if (str_equal(line, "lease-free"))
		drop_lease(tool);
	else if (str_starts(line, "pause ") && argument)
		pause_core(tool, argument);
	else if (str_starts(line, "freeze "))
		usleep((useconds_t)atoi(line + strlen("freeze ")) * 1000);
	else
		return false;
	return true;
}

static void command(struct tool *tool, const char *line)
{
	const char *space = strchr(line, ' ');
	cJSON *argument = space ? cJSON_Parse(space) : NULL;

	if (str_equal(line, "start"))
		cloud_start(tool->cloud);
	else if (str_equal(line, "describe"))
		cloud_describe_now(tool->cloud);
	else if (str_equal(line, "status"))
		print_status(tool);
	else if (str_equal(line, "rates"))
		print_rates(tool);
	else if (str_equal(line, "whoami"))
		cloud_whoami(tool->cloud, on_whoami, tool);
	else if (str_equal(line, "document"))
		cloud_identity_document(tool->cloud, on_document, tool);
	else if (str_starts(line, "verify ") && argument)
		verify(argument);
	else if (str_equal(line, "check"))
		cloud_check(tool->cloud, &tool->problems, on_checked, tool);
	else if (str_equal(line, "refresh"))
		cloud_refresh_catalog(tool->cloud, on_refreshed, tool);
	else if (str_equal(line, "quit"))
		loop_quit(tool->loop, 0);
	else if (str_starts(line, "launch ") && argument)
		launch(tool, argument);
	else if (str_starts(line, "terminate ") && argument)
		terminate(tool, argument);
	else if (str_starts(line, "stop ") && argument)
		stop(tool, argument);
	else if (!lease_command(tool, line, argument))
		fprintf(stderr, "cloud_tool: no such command: %s\n", line);
	cJSON_Delete(argument);
}

static void on_input(void *arg, int fd, uint32_t events)
{
	struct tool *tool = arg;
	char bytes[65536];
	ssize_t got = read(fd, bytes, sizeof(bytes));
	char *newline;

	(void)events;
	if (got <= 0) {
		loop_quit(tool->loop, 0);
		return;
	}
	text_add_bytes(&tool->input, bytes, (size_t)got);
	while ((newline = memchr(tool->input.data, '\n', tool->input.length))) {
		size_t used = (size_t)(newline - tool->input.data) + 1;

		*newline = '\0';
		command(tool, tool->input.data);
		memmove(tool->input.data, tool->input.data + used, tool->input.length - used + 1);
		tool->input.length -= used;
	}
}

/* ---- start ---- */

static void read_document(struct tool *tool, const char *path)
{
	struct problems problems = {0};
	size_t length;
	char *text;

	if (file_read(path, 1 << 20, &text, &length) < 0 ||
	    documents_parse(&tool->documents, path, text, length, &problems) < 0) {
		problems_print(&problems, stderr);
		fprintf(stderr, "cloud_tool: cannot use %s\n", path);
		exit(2);
	}
	free(text);
	problems_free(&problems);
}

static void take_option(struct cloud_config *config, const char *name, const char *value)
{
	uint64_t *duration = NULL;

	if (str_equal(name, "--region"))
		config->region = value;
	else if (str_equal(name, "--cluster-version"))
		config->cluster_version = value;
	else if (str_equal(name, "--cluster-name"))
		config->cluster_name = value;
	else if (str_equal(name, "--cluster-endpoint"))
		config->cluster_endpoint = value;
	else if (str_equal(name, "--cluster-ca"))
		config->cluster_ca = value;
	else if (str_equal(name, "--cluster-cidr"))
		config->cluster_cidr = value;
	else if (str_equal(name, "--template-keep"))
		duration = &config->template_keep_ns;
	else if (str_equal(name, "--name"))
		config->name = value;
	else if (str_equal(name, "--cache"))
		config->cache_path = value;
	else if (str_equal(name, "--fleet-every"))
		duration = &config->fleet_every_ns;
	else if (str_equal(name, "--fleet-idle-every"))
		duration = &config->fleet_idle_every_ns;
	else if (str_equal(name, "--refresh-every"))
		duration = &config->refresh_every_ns;
	else
		exit(2);
	if (duration && parse_duration_ns(value, duration) < 0)
		exit(2);
}

static void tool_free(struct tool *tool)
{
	drop_lease(tool);
	cloud_free(tool->cloud);
	http_client_free(tool->http);
	loop_fd_remove(tool->loop, STDIN_FILENO);
	loop_free(tool->loop);
	documents_free(&tool->documents);
	text_free(&tool->input);
	for (size_t i = 0; i < tool->orders_count; i++)
		launch_order_free(&tool->orders[i]);
}

int main(int argc, char **argv)
{
	static struct tool tool;
	struct cloud_events events = {.arg = &tool,
				      .catalog = on_catalog,
				      .class_resolved = on_class,
				      .fleet = on_fleet,
				      .launched = on_launched,
				      .terminated = on_terminated,
				      .stopped = on_stopped,
				      .may_act = may_act};
	struct cloud_config config;
	int r;

	log_set_level(LOG_LEVEL_DEBUG);
	cloud_config_default(&config);
	for (int i = 1; i < argc; i++) {
		if (str_equal(argv[i], "--read-only")) {
			config.read_only = true;
		} else if (str_starts(argv[i], "--") && i + 1 < argc) {
			take_option(&config, argv[i], argv[i + 1]);
			i++;
		} else {
			read_document(&tool, argv[i]);
		}
	}
	if (loop_new(&tool.loop) < 0 || http_client_new(tool.loop, &tool.http) < 0 ||
	    cloud_new(tool.loop, tool.http, &config, &tool.documents, &events, &tool.cloud) < 0)
		return 2;
	r = loop_fd_add(tool.loop, STDIN_FILENO, EPOLLIN, on_input, &tool);
	if (r < 0) {
		fprintf(stderr, "cloud_tool: cannot wait for commands: %s\n", strerror(-r));
		return 2;
	}
	r = loop_run(tool.loop);
	tool_free(&tool);
	return r;
}
