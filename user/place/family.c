/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server uses that has no cgroup of its own: the process that holds the listener and its
 * descendants of the same process group or the same name (the workers of nginx, gunicorn, php-fpm).
 * The counter only grows: a member that ends is in its parent's "children waited for" afterwards,
 * and what was counted of it before is taken off again.
 */
#include <unistd.h>

#include "place/private.h"

#define MEMBERS_MAX 256
#define SEARCH_EVERY_NS NS_PER_S
#define SWEEP_EVERY_NS (5 * NS_PER_S)
#define FORGET_AFTER_NS (30 * NS_PER_S)

int process_stat_parse(const char *text, struct process_stat *out)
{
	/* The name may hold anything, brackets and spaces too: it ends at the last ')'. */
	const char *open = strchr(text, '(');
	const char *close = strrchr(text, ')');
	long long group;
	uint64_t own[2], start;
	long long waited[2];

	if (!open || !close || close < open)
		return -EINVAL;
	if (sscanf(close + 1,
		   " %*c %*d %18lld %*d %*d %*d %*u %*u %*u %*u %*u %19lu %19lu %18lld %18lld "
		   "%*d %*d %*d %*d %19lu",
		   &group, &own[0], &own[1], &waited[0], &waited[1], &start) != 6)
		return -EINVAL;
	text_clean(out->comm, sizeof(out->comm), open + 1, (size_t)(close - open - 1));
	out->group = group;
	if (__builtin_add_overflow(own[0], own[1], &out->own))
		out->own = UINT64_MAX;
	out->waited = (uint64_t)MAX(waited[0], 0) + (uint64_t)MAX(waited[1], 0);
	out->start = start;
	return 0;
}

static int read_stat(const struct families *families, uint32_t pid, struct process_stat *out)
{
	char name[32], text[FILE_TEXT_SIZE];
	ssize_t n;

	snprintf(name, sizeof(name), "%u/stat", pid);
	n = text_read_at(families->proc_fd, name, text, sizeof(text));
	if (n < 0)
		return (int)n;
	return process_stat_parse(text, out);
}

void families_init(struct families *families, int proc_fd)
{
	long ticks = sysconf(_SC_CLK_TCK);

	families->proc_fd = proc_fd;
	families->tick_ns = NS_PER_S / (uint64_t)(ticks > 0 ? ticks : 100);
}

static void family_free(struct family *family)
{
	vec_free(&family->members);
	free(family);
}

void families_free(struct families *families)
{
	struct map_entry *entry;

	for (size_t at = 0; (entry = map_next(&families->by_pid, &at));)
		family_free(entry->value);
	map_free(&families->by_pid);
}

static bool is_member(const struct family *family, uint32_t pid)
{
	for (size_t i = 0; i < family->members.count; i++) {
		if (family->members.at[i].pid == pid)
			return true;
	}
	return false;
}

/* grown: the member was born since the last reading, so all that it used is new. */
static void add_member(struct family *family, uint32_t pid, const struct process_stat *stat,
		       bool grown)
{
	struct member *m = vec_push(&family->members);

	m->pid = pid;
	m->start = stat->start;
	m->own = grown ? 0 : stat->own;
	m->waited = grown ? 0 : stat->waited;
}

static void add_child(struct families *families, struct family *family, uint32_t pid)
{
	struct process_stat stat;
	bool first = family->searched_ns == 0;

	if (family->members.count >= MEMBERS_MAX || is_member(family, pid) ||
	    read_stat(families, pid, &stat) < 0)
		return;
	if (stat.group != family->group && strcmp(stat.comm, family->comm) != 0)
		return;
	add_member(family, pid, &stat, !first);
}

/* Children of the main threads only: servers fork from there, and the file is cheap. A kernel
 * without CONFIG_PROC_CHILDREN has none, and the process stands alone. */
static void search_children(struct families *families, struct family *family, uint64_t now_ns)
{
	for (size_t i = 0; i < family->members.count; i++) {
		uint32_t parent = family->members.at[i].pid;
		char name[64], text[FILE_TEXT_SIZE];
		char *save = NULL;

		snprintf(name, sizeof(name), "%u/task/%u/children", parent, parent);
		if (text_read_at(families->proc_fd, name, text, sizeof(text)) <= 0)
			continue;
		for (char *word = strtok_r(text, " \n", &save); word;
		     word = strtok_r(NULL, " \n", &save)) {
			uint64_t pid;

			if (parse_u64(word, &pid) == 0 && pid > 0 && pid <= INT32_MAX)
				add_child(families, family, (uint32_t)pid);
		}
	}
	family->searched_ns = MAX(now_ns, 1);
}

struct family *families_get(struct families *families, uint32_t pid, uint64_t now_ns)
{
	struct family *family = map_get(&families->by_pid, pid);
	struct process_stat stat;

	if (!family) {
		if (read_stat(families, pid, &stat) < 0)
			return NULL;
		family = calloc(1, sizeof(*family));
		if (!family)
			abort();
		family->pid = pid;
		family->group = stat.group;
		memcpy(family->comm, stat.comm, sizeof(family->comm));
		add_member(family, pid, &stat, false);
		map_put(&families->by_pid, pid, family);
	}
	family->seen_ns = now_ns;
	return family;
}

static uint64_t above(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

/* What the family used since the last reading, in ticks. Members that ended are removed. */
static uint64_t read_members(struct families *families, struct family *family)
{
	uint64_t own = 0, waited = 0, ended = 0;

	for (size_t i = 0; i < family->members.count;) {
		struct member *m = &family->members.at[i];
		struct process_stat stat;

		if (read_stat(families, m->pid, &stat) < 0 || stat.start != m->start) {
			ended += m->own + m->waited;
			vec_remove(&family->members, i);
			continue;
		}
		own += above(stat.own, m->own);
		waited += above(stat.waited, m->waited);
		m->own = stat.own;
		m->waited = stat.waited;
		i++;
	}
	return own + above(waited, ended);
}

int family_read_usage(struct families *families, struct family *family, uint64_t now_ns)
{
	struct usage *usage = &family->usage;
	uint64_t ticks;

	if (!family->searched_ns || now_ns >= family->searched_ns + SEARCH_EVERY_NS)
		search_children(families, family, now_ns);
	ticks = read_members(families, family);
	if (!family->members.count || family->members.at[0].pid != family->pid) {
		map_remove(&families->by_pid, family->pid);
		family_free(family);
		return -ESRCH;
	}
	usage->cpu_known = true;
	usage->cpu_ns += saturating_multiply(ticks, families->tick_ns);
	usage->time_ns = now_ns;
	return 0;
}

void families_sweep(struct families *families, uint64_t now_ns)
{
	VEC(struct family *) old = {0};
	struct map_entry *entry;

	if (now_ns < families->swept_ns + SWEEP_EVERY_NS)
		return;
	for (size_t at = 0; (entry = map_next(&families->by_pid, &at));) {
		struct family *family = entry->value;

		if (family->seen_ns + FORGET_AFTER_NS <= now_ns)
			*vec_push(&old) = family;
	}
	vec_for_each (family, &old) {
		map_remove(&families->by_pid, (*family)->pid);
		family_free(*family);
	}
	vec_free(&old);
	families->swept_ns = now_ns;
}
