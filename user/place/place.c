/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "place/private.h"

#define USAGE_EVERY_MS 100
/* Owners without a queue whose usage is read in one call: with more owners the turn comes round
 * more seldom, and one call stays cheap. Those with a queue are always read. */
#define QUIET_READS_MAX 16
#define BUSY_READS_MAX 512
/* A family of many processes is read more seldom, as each costs a file. */
#define MEMBERS_PER_INTERVAL 16
/* A process's CPU time comes in steps of 10 ms, from a file that is dear: without a queue and
 * without a request twice a second is enough. */
#define QUIET_FAMILY_INTERVALS 5
#define HOST_TEXT_SIZE 65536
/* /proc/stat adds up every interrupt of every CPU: it is read less often. */
#define HOST_EVERY_NS (250 * NS_PER_MS)

struct place {
	int proc_fd;
	uint64_t usage_every_ns;
	uint64_t tick_ns;
	struct groups groups;
	struct families families;
	VEC(struct placed) placed;
	VEC(struct owner) owners;
	size_t turn; /* listener at which the quiet ones go on */
	struct usage host;
};

static int open_cgroups(struct place *place, const char *proc_path, const char *cgroup_path)
{
	_cleanup_free_ char *mountinfo = NULL;
	_cleanup_free_ char *found = NULL;
	int r;

	if (!cgroup_path) {
		mountinfo = str_printf("%s/self/mountinfo", proc_path);
		if (!mountinfo)
			return -ENOMEM;
		r = place_find_cgroup2(mountinfo, &found);
		if (r < 0) {
			log_error("no cgroup2 mount in %s: %s; mount one (mount -t cgroup2 none "
				  "/sys/fs/cgroup) or name it",
				  mountinfo, strerror(-r));
			return r;
		}
		cgroup_path = found;
	}
	r = groups_init(&place->groups, cgroup_path, place->proc_fd);
	if (r < 0)
		log_error("cannot open the cgroup2 mount %s: %s", cgroup_path, strerror(-r));
	return r;
}

int place_new(const struct place_config *config, struct place **out)
{
	const char *proc_path = config && config->proc_path ? config->proc_path : "/proc";
	uint32_t every = config ? config->usage_every_ms : 0;
	struct place *place = calloc(1, sizeof(*place));
	int r;

	if (!place)
		return -ENOMEM;
	place->groups.root_fd = -1;
	place->usage_every_ns = (every ? every : USAGE_EVERY_MS) * NS_PER_MS;
	place->proc_fd = open(proc_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->proc_fd < 0) {
		r = -errno;
		log_error("cannot open %s: %s", proc_path, strerror(-r));
		place_free(place);
		return r;
	}
	families_init(&place->families, place->proc_fd);
	place->tick_ns = place->families.tick_ns;
	r = open_cgroups(place, proc_path, config ? config->cgroup_path : NULL);
	if (r < 0) {
		place_free(place);
		return r;
	}
	*out = place;
	return 0;
}

void place_free(struct place *place)
{
	if (!place)
		return;
	groups_free(&place->groups);
	families_free(&place->families);
	vec_free(&place->placed);
	vec_free(&place->owners);
	close_descriptor(&place->proc_fd);
	free(place);
}

/* ---- owners ---- */

/* A cgroup that is no unit and no container is called by the process; without one, by its last
 * directory. */
static void name_by_process(struct owner *owner)
{
	const char *last = strrchr(owner->cgroup_path, '/');

	if (owner->process[0])
		snprintf(owner->name, sizeof(owner->name), "%s", owner->process);
	else if (last && last[1])
		snprintf(owner->name, sizeof(owner->name), "%.79s", last + 1);
	else
		owner->kind = OWNER_UNKNOWN;
}

static void fill_owner(const struct group *group, const struct listener_sample *listener,
		       const struct family *family, struct owner *owner)
{
	*owner = group->owner;
	text_clean(owner->process, sizeof(owner->process), listener->comm, sizeof(listener->comm));
	snprintf(owner->socket_path, sizeof(owner->socket_path), "%s", listener->path ?: "");
	if (!owner->process[0] && family)
		memcpy(owner->process, family->comm, sizeof(owner->process));
	if (!group->root && !group->path)
		snprintf(owner->name, sizeof(owner->name), "%s", owner->process);
	else if (owner->kind == OWNER_PROCESS)
		name_by_process(owner);
}

/* ---- usage ---- */

/* A timer that fires a little early must not make every second reading fall out. */
static bool due(const struct place *place, const struct usage *usage, uint64_t now_ns,
		uint64_t times)
{
	uint64_t every = place->usage_every_ns * times;

	return !usage->time_ns || now_ns >= usage->time_ns + every - place->usage_every_ns / 8;
}

/* Whose usage counts for this listener: its cgroup's, or where that is the root or not known, its
 * process's. */
struct source {
	struct group *group;
	struct family *family;
};

static struct source source_of(struct place *place, const struct listener_sample *listener,
			       uint64_t now_ns)
{
	struct source source = {0};

	source.group = groups_get(&place->groups, listener->cgroup_id, listener->pid, now_ns);
	if (listener->pid && (source.group->root || !source.group->path || source.group->gone))
		source.family = families_get(&place->families, listener->pid, now_ns);
	return source;
}

/* Returns whether something was read. */
static bool refresh(struct place *place, struct source source, bool busy, uint64_t now_ns)
{
	if (source.family) {
		struct family *family = source.family;
		uint64_t times = (busy ? 1 : QUIET_FAMILY_INTERVALS) +
				 family->members.count / MEMBERS_PER_INTERVAL;

		if (!due(place, &family->usage, now_ns, times))
			return false;
		family_read_usage(&place->families, family, now_ns);
		return true;
	}
	if (source.group->root || !source.group->path || source.group->gone ||
	    !due(place, &source.group->usage, now_ns, 1))
		return false;
	group_read_usage(&place->groups, source.group, now_ns);
	return true;
}

static bool is_busy(const struct listener_sample *listener)
{
	return listener->queue_depth || listener->queue_peak || listener->in_flight;
}

static void refresh_all(struct place *place, const struct sample *sample)
{
	uint32_t reads = 0;

	for (size_t i = 0; i < sample->count && reads < BUSY_READS_MAX; i++) {
		const struct listener_sample *l = &sample->listeners[i];

		if (is_busy(l))
			reads += refresh(place, source_of(place, l, sample->time_ns), true,
					 sample->time_ns);
	}
	reads = 0;
	for (size_t i = 0; i < sample->count && reads < QUIET_READS_MAX; i++) {
		size_t at = (place->turn + i) % sample->count;
		const struct listener_sample *l = &sample->listeners[at];

		if (is_busy(l))
			continue;
		reads += refresh(place, source_of(place, l, sample->time_ns), false,
				 sample->time_ns);
		if (reads >= QUIET_READS_MAX)
			place->turn = at + 1;
	}
}

static void fill(struct place *place, const struct sample *sample)
{
	vec_clear(&place->placed);
	vec_clear(&place->owners);
	for (size_t i = 0; i < sample->count; i++)
		vec_push(&place->owners);
	for (size_t i = 0; i < sample->count; i++) {
		const struct listener_sample *l = &sample->listeners[i];
		struct source source = source_of(place, l, sample->time_ns);
		struct placed *placed = vec_push(&place->placed);

		fill_owner(source.group, l, source.family, &place->owners.at[i]);
		placed->owner = &place->owners.at[i];
		placed->usage = source.family ? source.family->usage : source.group->usage;
	}
}

int place_sample(struct place *place, const struct sample *sample, const struct placed **out)
{
	for (size_t i = 0; i < sample->count; i++)
		groups_get(&place->groups, sample->listeners[i].cgroup_id, sample->listeners[i].pid,
			   sample->time_ns);
	groups_step(&place->groups, sample->time_ns);
	families_sweep(&place->families, sample->time_ns);
	refresh_all(place, sample);
	fill(place, sample);
	*out = place->placed.at;
	return 0;
}

/* ---- the host ---- */

/* user nice system idle iowait irq softirq steal; guest time is in user already. */
static bool host_cpu(const struct place *place, const char *text, struct usage *usage)
{
	uint64_t v[8], ticks = 0;

	if (sscanf(text, "cpu %19lu %19lu %19lu %19lu %19lu %19lu %19lu %19lu", &v[0], &v[1], &v[2],
		   &v[3], &v[4], &v[5], &v[6], &v[7]) != 8)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		if (i != 3 && i != 4 && __builtin_add_overflow(ticks, v[i], &ticks))
			return false;
	}
	usage->cpu_ns = saturating_multiply(ticks, place->tick_ns);
	return true;
}

static double count_cpus(const char *text)
{
	double count = 0;

	for (const char *line = text; (line = strstr(line, "\ncpu")); line++)
		count += line[4] >= '0' && line[4] <= '9';
	return count;
}

static void host_pressure(struct place *place, struct usage *usage)
{
	char text[FILE_TEXT_SIZE];
	uint64_t unused;

	usage->psi_known =
		text_read_at(place->proc_fd, "pressure/cpu", text, sizeof(text)) > 0 &&
		pressure_parse(text, &usage->psi_cpu_some_ns, &unused) &&
		text_read_at(place->proc_fd, "pressure/memory", text, sizeof(text)) > 0 &&
		pressure_parse(text, &usage->psi_memory_some_ns, &usage->psi_memory_full_ns);
}

int place_host(struct place *place, uint64_t now_ns, struct usage *out)
{
	struct usage *host = &place->host;
	_cleanup_free_ char *text = NULL;
	ssize_t n;

	if (host->time_ns && now_ns < host->time_ns + MAX(place->usage_every_ns, HOST_EVERY_NS)) {
		*out = *host;
		return 0;
	}
	text = malloc(HOST_TEXT_SIZE);
	if (!text)
		return -ENOMEM;
	n = text_read_at(place->proc_fd, "stat", text, HOST_TEXT_SIZE);
	if (n < 0)
		return (int)n;
	memset(host, 0, sizeof(*host));
	host->cpu_known = host_cpu(place, text, host);
	host->cpu_limit_cores = count_cpus(text);
	host->cpu_limit_known = host->cpu_limit_cores > 0;
	host_pressure(place, host);
	host->time_ns = host->psi_time_ns = now_ns;
	*out = *host;
	return 0;
}
