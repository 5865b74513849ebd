/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns a cgroup, from its path alone. The forms come from systemd (src/basic/cgroup-util.c),
 * the kubelet (pkg/kubelet/cm), containerd, CRI-O, Docker and Podman:
 *
 *	/system.slice/nginx.service
 *	/user.slice/user-1000.slice/user@1000.service/app.slice/web.service
 *	/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<UID>.slice/cri-containerd-<ID>.scope
 *	/kubepods/besteffort/pod<UID>/<ID>
 *	/system.slice/containerd.service/kubepods-burstable-pod<UID>.slice:cri-containerd:<ID>
 *	/system.slice/docker-<ID>.scope, /docker/<ID>
 *	/machine.slice/libpod-<ID>.scope/container
 */
#include "place/private.h"

#define CONTAINER_ID_LENGTH 64
#define SHORT_ID_LENGTH 12 /* as docker ps shows it */
#define UID_LENGTH 36
#define UID_HEX_LENGTH 32 /* of static pods: a hash without dashes */

struct component {
	const char *at;
	size_t length;
	size_t end; /* offset in the path behind it */
};

/* What the components so far have said. */
struct reading_path {
	struct component unit, container, pod;
	char uid[UID_LENGTH + 1];
	char id[CONTAINER_ID_LENGTH + 1];
	bool in_user_manager; /* below user@UID.service, where a unit of the user may follow */
};

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool all_hex(const char *at, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!is_hex(at[i]))
			return false;
	}
	return true;
}

static bool has_suffix(const struct component *c, const char *suffix)
{
	size_t n = strlen(suffix);

	return c->length > n && memcmp(c->at + c->length - n, suffix, n) == 0;
}

static bool contains(const char *at, size_t length, const char *word)
{
	return memmem(at, length, word, strlen(word)) != NULL;
}

/* The 64 hex digits at the end, alone or behind a runtime's prefix. */
static bool container_id(const struct component *c, char id[CONTAINER_ID_LENGTH + 1])
{
	size_t length = c->length - (has_suffix(c, ".scope") ? strlen(".scope") : 0);
	size_t head;

	if (length < CONTAINER_ID_LENGTH)
		return false;
	head = length - CONTAINER_ID_LENGTH;
	if (!all_hex(c->at + head, CONTAINER_ID_LENGTH))
		return false;
	if (head && c->at[head - 1] != '-' && c->at[head - 1] != ':')
		return false;
	/* conmon is the watcher beside a container of Podman or CRI-O, not the container. */
	if (contains(c->at, head, "conmon"))
		return false;
	memcpy(id, c->at + head, CONTAINER_ID_LENGTH);
	id[CONTAINER_ID_LENGTH] = '\0';
	return true;
}

/* 8-4-4-4-12 with '-' or, in names of slices, '_'. */
static bool uid_text(const char *at, size_t length, char uid[UID_LENGTH + 1])
{
	if (length == UID_HEX_LENGTH && all_hex(at, length)) {
		memcpy(uid, at, length);
		uid[length] = '\0';
		return true;
	}
	if (length != UID_LENGTH)
		return false;
	for (size_t i = 0; i < length; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? at[i] != '-' && at[i] != '_' : !is_hex(at[i]))
			return false;
		uid[i] = dash ? '-' : at[i];
	}
	uid[length] = '\0';
	return true;
}

static bool pod_uid(const struct component *c, char uid[UID_LENGTH + 1])
{
	const char *colon = memmem(c->at, c->length, ".slice:", strlen(".slice:"));
	size_t length = c->length;

	if (colon)
		length = (size_t)(colon - c->at);
	else if (has_suffix(c, ".slice"))
		length -= strlen(".slice");
	for (size_t i = 0; i + 3 < length; i++) {
		if (memcmp(c->at + i, "pod", 3) == 0 && (i == 0 || c->at[i - 1] == '-') &&
		    uid_text(c->at + i + 3, length - i - 3, uid))
			return true;
	}
	return false;
}

static bool is_unit(const struct component *c)
{
	static const char *const types[] = {".service", ".scope", ".socket", ".mount", ".swap"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (has_suffix(c, types[i]))
			return true;
	}
	return false;
}

/* systemd: the first component that is no slice is the unit; below a user's manager there is
 * another one. */
static void read_unit(struct reading_path *r, const struct component *c)
{
	bool manager = !r->unit.length && c->length > 5 && memcmp(c->at, "user@", 5) == 0;

	if (!is_unit(c) || (r->unit.length && !r->in_user_manager))
		return;
	r->unit = *c;
	r->in_user_manager = manager;
}

static void read_component(struct reading_path *r, const struct component *c)
{
	char uid[UID_LENGTH + 1] = "";
	bool pod = pod_uid(c, uid);

	if (pod) {
		/* A node in a container (kind): what came before is the node's container. */
		r->pod = *c;
		memcpy(r->uid, uid, sizeof(r->uid));
		r->container = (struct component){0};
		r->id[0] = '\0';
	}
	if (container_id(c, r->id)) {
		r->container = *c;
		return;
	}
	if (!pod && !r->container.length && !r->pod.length)
		read_unit(r, c);
}

static void read_path(struct reading_path *r, const char *path)
{
	const char *at = path;

	while (*at) {
		size_t length = strcspn(at, "/");
		struct component c = {at, length, (size_t)(at - path) + length};

		if (length)
			read_component(r, &c);
		at += length + (at[length] == '/');
	}
}

/* systemd puts '_' before names that would clash with the kernel's files. */
static void unit_name(char *out, size_t size, const struct component *c)
{
	size_t skip = c->length > 1 && c->at[0] == '_';

	text_clean(out, size, c->at + skip, c->length - skip);
}

static void copy_path(char *out, size_t size, const char *path)
{
	size_t length = strlen(path);

	if (length < size) {
		text_clean(out, size, path, length);
		return;
	}
	snprintf(out, size, "...");
	text_clean(out + 3, size - 3, path + length - (size - 4), size - 4);
}

/* "/user.slice" and the like: a unit too, where nothing below it says more. */
static bool slice_name(struct reading_path *r, const char *path)
{
	const char *last = strrchr(path, '/');
	struct component c = {0};

	if (!last)
		return false;
	c.at = last + 1;
	c.length = strlen(c.at);
	c.end = strlen(path);
	if (!has_suffix(&c, ".slice"))
		return false;
	r->unit = c;
	return true;
}

size_t owner_parse(const char *path, struct owner *out)
{
	struct reading_path r = {0};

	memset(out, 0, sizeof(*out));
	copy_path(out->cgroup_path, sizeof(out->cgroup_path), path);
	read_path(&r, path);
	if (!r.unit.length && !r.container.length && !r.pod.length)
		slice_name(&r, path);
	if (r.unit.length)
		unit_name(out->unit, sizeof(out->unit), &r.unit);
	memcpy(out->container_id, r.id, sizeof(r.id));
	if (r.pod.length) {
		out->kind = OWNER_POD;
		memcpy(out->pod_uid, r.uid, sizeof(r.uid));
		memcpy(out->name, r.uid, sizeof(r.uid));
		return r.container.length ? r.container.end : r.pod.end;
	}
	if (r.container.length) {
		out->kind = OWNER_CONTAINER;
		text_clean(out->name, sizeof(out->name), r.id, SHORT_ID_LENGTH);
		return r.container.end;
	}
	if (r.unit.length) {
		out->kind = OWNER_UNIT;
		memcpy(out->name, out->unit, sizeof(out->name));
		return r.unit.end;
	}
	out->kind = OWNER_PROCESS;
	return strlen(path);
}

void owner_from_cgroup_path(const char *path, struct owner *out)
{
	owner_parse(path, out);
}

const char *owner_kind_text(enum owner_kind kind)
{
	switch (kind) {
	case OWNER_PROCESS:
		return "process";
	case OWNER_UNIT:
		return "unit";
	case OWNER_CONTAINER:
		return "container";
	case OWNER_POD:
		return "pod";
	case OWNER_UNKNOWN:
		break;
	}
	return "unknown";
}
