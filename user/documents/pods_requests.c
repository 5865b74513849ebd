/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pod asks for, as the scheduler adds it up (component-helpers, resource/helpers.go,
 * PodRequests): containers and sidecars together, or what one init container needs beside the
 * sidecars started before it, whichever is more; and the overhead of its runtime class. Amounts are
 * thousandths in whole numbers, so that sums are exact.
 */
#include <ctype.h>
#include <math.h>

#include "documents/pods_private.h"

#define CONTAINERS_MAX 1000
#define AMOUNT_MAX 4e15 /* so that two of them in thousandths are within 63 bits */
#define MILLI_MAX ((int64_t)4e18)

struct amount {
	const char *name; /* of the YAML tree */
	int64_t milli;
};
struct amounts {
	VEC(struct amount) list;
};

static int64_t *amount_of(struct amounts *amounts, const char *name)
{
	struct amount *added;

	vec_for_each (it, &amounts->list)
		if (strcmp(it->name, name) == 0)
			return &it->milli;
	added = vec_push(&amounts->list);
	added->name = name;
	return &added->milli;
}

static void add(struct amounts *to, const struct amounts *from)
{
	vec_for_each (it, &from->list)
		*amount_of(to, it->name) = MIN(*amount_of(to, it->name) + it->milli, MILLI_MAX);
}

static void take_larger(struct amounts *to, const struct amounts *from)
{
	vec_for_each (it, &from->list) {
		int64_t *milli = amount_of(to, it->name);

		*milli = MAX(*milli, it->milli);
	}
}

/* ---- one list of resources ---- */

/* Anything with a domain, and what kubelet knows by itself. */
static bool is_resource_name(const char *name)
{
	static const char *const NATIVE[] = {"cpu", "memory", "ephemeral-storage", "storage"};

	for (size_t i = 0; i < ARRAY_SIZE(NATIVE); i++)
		if (strcmp(name, NATIVE[i]) == 0)
			return true;
	return strchr(name, '/') || str_starts(name, "hugepages-") ||
	       str_starts(name, "attachable-volumes-");
}

static bool read_amount(const struct cursor *at, int64_t *milli)
{
	bool cpu = strcmp(at->name, "cpu") == 0;
	double value = 0;

	if (!read_quantity(at, &value))
		return false;
	if (value < 0) {
		cursor_expected(at, "a quantity from 0");
		return false;
	}
	value = MIN(value, AMOUNT_MAX); /* which nothing has */
	if (!cpu && strchr(at->name, '/') && value != floor(value)) {
		cursor_expected(at, "a whole number: %s cannot be shared", at->name);
		return false;
	}
	/* Rounded up, cpu to thousandths, all else to ones; what strtod() added does not count. */
	*milli = cpu ? (int64_t)ceil(value * 1000 - 1e-6) : (int64_t)ceil(value) * 1000;
	return true;
}

static void read_amounts(const struct cursor *at, struct amounts *out)
{
	if (!cursor_present(at))
		return;
	if (at->node->kind != YAML_MAPPING) {
		cursor_expected(at, "a mapping of resources to quantities");
		return;
	}
	yaml_for_each (child, at->node) {
		struct cursor item = cursor_field(at, child->key);
		int64_t milli = 0;

		if (!is_resource_name(child->key))
			cursor_refuse(&item, "found no resource of that name, expected cpu, "
					     "memory, ephemeral-storage or one with a domain");
		else if (!cursor_present(&item))
			cursor_expected(&item, "a quantity such as 10, 500m or 16Gi");
		else if (read_amount(&item, &milli))
			*amount_of(out, child->key) = milli;
	}
}

/* A resource with a limit and no request asks for its limit (API server, defaults.go). */
static void read_resources(const struct cursor *owner, struct amounts *out)
{
	static const struct field FIELDS[] = {{"requests"}, {"limits"}, {"claims"}};
	struct cursor resources = cursor_field(owner, "resources");
	struct cursor requests = cursor_field(&resources, "requests");
	struct cursor limits = cursor_field(&resources, "limits");
	struct amounts limited = {0};

	if (!read_mapping(&resources, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	read_amounts(&requests, out);
	read_amounts(&limits, &limited);
	vec_for_each (limit, &limited.list) {
		struct cursor given = cursor_field(&requests, limit->name);

		if (!cursor_present(&given)) {
			*amount_of(out, limit->name) = limit->milli;
		} else if (*amount_of(out, limit->name) > limit->milli) {
			cursor_expected(&given, "no more than its limit");
		}
	}
	vec_free(&limited.list);
}

/* ---- containers ---- */

static void read_port(const struct cursor *at, bool host_network, struct pod_template *pod)
{
	static const struct field FIELDS[] = {
		{"containerPort"}, {"hostPort"}, {"hostIP"}, {"protocol"}, {"name"}};
	static const char *const PROTOCOLS[] = {
		[PORT_TCP] = "TCP", [PORT_UDP] = "UDP", [PORT_SCTP] = "SCTP"};
	struct cursor port = cursor_field(at, "hostPort"), ip = cursor_field(at, "hostIP");
	struct cursor inner = cursor_field(at, "containerPort");
	struct cursor protocol = cursor_field(at, "protocol");
	struct host_port *out;
	size_t chosen = PORT_TCP;
	int64_t value = 0;

	if (!read_mapping(at, FIELDS, ARRAY_SIZE(FIELDS)))
		return;
	if (!cursor_present(&port) && host_network)
		port = inner;
	if (!read_integer(&port, 0, UINT16_MAX, &value) || !value)
		return;
	out = vec_push(&pod->host_ports);
	out->port = (uint16_t)value;
	read_enum(&protocol, PROTOCOLS, ARRAY_SIZE(PROTOCOLS), &chosen);
	out->protocol = (enum port_protocol)chosen;
	if (read_string_or_empty(&ip, &out->ip) &&
	    (!*out->ip || strcmp(out->ip, "0.0.0.0") == 0 || strcmp(out->ip, "::") == 0)) {
		free(out->ip);
		out->ip = NULL;
	}
}

static void read_ports(const struct cursor *container, bool host_network, struct pod_template *pod)
{
	struct cursor ports = cursor_field(container, "ports");

	if (!read_list(&ports, SIZE_MAX))
		return;
	for (size_t i = 0; i < ports.node->count; i++) {
		struct cursor item = cursor_item(&ports, i);

		read_port(&item, host_network, pod);
	}
}

static const struct field CONTAINER[] = {
	{"name"},
	{"image"},
	{"resources"},
	{"ports"},
	{"restartPolicy"},
	{"args"},
	{"command"},
	{"env"},
	{"envFrom"},
	{"imagePullPolicy"},
	{"lifecycle"},
	{"livenessProbe"},
	{"readinessProbe"},
	{"resizePolicy"},
	{"restartPolicyRules"},
	{"securityContext"},
	{"startupProbe"},
	{"stdin"},
	{"stdinOnce"},
	{"terminationMessagePath"},
	{"terminationMessagePolicy"},
	{"tty"},
	{"volumeDevices"},
	{"volumeMounts"},
	{"workingDir"},
};

struct pod_sums {
	struct amounts together; /* containers and sidecars */
	struct amounts sidecars; /* those so far */
	struct amounts init; /* the most that starting needs at any time */
};

static bool is_sidecar(const struct cursor *container)
{
	struct cursor at = cursor_field(container, "restartPolicy");

	return cursor_present(&at) && at.node->kind == YAML_SCALAR &&
	       strcmp(at.node->scalar, "Always") == 0;
}

static void take_container(const struct cursor *at, bool init, struct pod_sums *sums)
{
	struct amounts own = {0};

	read_resources(at, &own);
	if (!init) {
		add(&sums->together, &own);
	} else if (is_sidecar(at)) {
		add(&sums->together, &own);
		add(&sums->sidecars, &own);
		take_larger(&sums->init, &sums->sidecars);
	} else {
		add(&own, &sums->sidecars);
		take_larger(&sums->init, &own);
	}
	vec_free(&own.list);
}

static void read_containers(const struct cursor *spec, const char *field, bool host_network,
			    struct pod_template *pod, struct pod_sums *sums)
{
	struct cursor list = cursor_field(spec, field);
	bool init = strcmp(field, "initContainers") == 0;

	if (!read_list(&list, CONTAINERS_MAX))
		return;
	for (size_t i = 0; i < list.node->count; i++) {
		struct cursor item = cursor_item(&list, i);

		if (!cursor_present(&item)) {
			cursor_expected(&item, "a container");
			continue;
		}
		if (!read_mapping(&item, CONTAINER, ARRAY_SIZE(CONTAINER)))
			continue;
		take_container(&item, init, sums);
		/* Ports of init containers other than sidecars are gone when the pod runs. */
		if (!init || is_sidecar(&item))
			read_ports(&item, host_network, pod);
	}
}

/* ---- the pod ---- */

/* What spec.resources says stands for the sum of the containers, for the resources that it names
 * (KEP-2837). */
static void take_pod_level(const struct cursor *spec, struct amounts *sum)
{
	struct amounts own = {0};

	read_resources(spec, &own);
	vec_for_each (it, &own.list)
		*amount_of(sum, it->name) = it->milli;
	vec_free(&own.list);
}

/* Whole numbers stay exact where their thousandths would not. */
static double plain(int64_t milli)
{
	int64_t whole = milli / 1000;

	return milli % 1000 ? (double)milli / 1000 : (double)whole;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct resource_amount *)a)->name,
		      ((const struct resource_amount *)b)->name);
}

void read_pod_requests(const struct cursor *spec, struct pod_template *pod)
{
	struct cursor overhead = cursor_field(spec, "overhead");
	struct cursor network = cursor_field(spec, "hostNetwork");
	struct pod_sums sums = {0};
	struct amounts runtime = {0};
	bool host_network = false;

	read_bool(&network, &host_network);
	read_containers(spec, "containers", host_network, pod, &sums);
	read_containers(spec, "initContainers", host_network, pod, &sums);
	take_larger(&sums.together, &sums.init);
	take_pod_level(spec, &sums.together);
	read_amounts(&overhead, &runtime);
	add(&sums.together, &runtime);
	vec_for_each (it, &sums.together.list)
		if (it->milli)
			*vec_push(&pod->requests.list) = (struct resource_amount){
				.name = strdup(it->name), .amount = plain(it->milli)};
	if (pod->requests.list.count)
		qsort(pod->requests.list.at, pod->requests.list.count,
		      sizeof(*pod->requests.list.at), by_name);
	vec_free(&runtime.list);
	vec_free(&sums.together.list);
	vec_free(&sums.sidecars.list);
	vec_free(&sums.init.list);
}
