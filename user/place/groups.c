/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroup id -> path. The id is the inode number of the directory (kernfs: 64 bits, never used
 * again). Only ids that samples name are remembered, so the memory follows the listeners and not
 * the cgroups of the host. An unknown id is looked for first where a process of the listener says
 * it is (/proc/PID/cgroup, checked by inode), and then by walking the tree: a bounded number of
 * directories in one call, without opening those that have no directory below them, at most once a
 * second, and ever more seldom for an id that was not found.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place/private.h"

#define WALK_EVERY_NS NS_PER_S
#define WALK_STEP_DIRECTORIES 1024
#define WALK_PENDING_MAX 65536
#define TRIES_SHIFT_MAX 6 /* 64 s between searches for an id that is nowhere */
#define SWEEP_EVERY_NS (5 * NS_PER_S)
#define FORGET_AFTER_NS (30 * NS_PER_S)
#define DESCRIPTORS_MAX 384
#define PATH_LENGTH_MAX 4000

static const char *relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path ? path : ".";
}

static uint32_t descriptors_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	return (uint32_t)MIN(limit.rlim_cur / 4, (rlim_t)DESCRIPTORS_MAX);
}

int groups_init(struct groups *groups, const char *cgroup_path, int proc_fd)
{
	struct stat st;

	groups->proc_fd = proc_fd;
	groups->descriptors_max = descriptors_allowed();
	groups->root_fd = open(cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (groups->root_fd < 0)
		return -errno;
	if (fstat(groups->root_fd, &st) < 0)
		return -errno;
	groups->root_id = st.st_ino;
	return 0;
}

static void walk_end(struct walk *walk)
{
	vec_for_each (path, &walk->pending)
		free(*path);
	vec_clear(&walk->pending);
	if (walk->directory)
		closedir(walk->directory);
	walk->directory = NULL;
	free(TAKE(walk->path));
	walk->running = false;
}

static void group_free(struct groups *groups, struct group *group)
{
	group_close(groups, group);
	free(group->path);
	free(group->usage_path);
	free(group);
}

void groups_free(struct groups *groups)
{
	struct map_entry *entry;

	walk_end(&groups->walk);
	vec_free(&groups->walk.pending);
	for (size_t at = 0; (entry = map_next(&groups->by_id, &at));)
		group_free(groups, entry->value);
	map_free(&groups->by_id);
	close_descriptor(&groups->root_fd);
}

/* path: "/" first. Out of memory leaves the group unresolved. */
static void resolve(struct groups *groups, struct group *group, const char *path)
{
	size_t owner_length = owner_parse(path, &group->owner);
	size_t skipped = MIN(strspn(path, "/"), owner_length);

	group->owner.cgroup_id = group->id;
	group->path = strdup(path);
	group->usage_path = strndup(relative(path), owner_length - skipped);
	if (!group->path || !group->usage_path) {
		free(TAKE(group->path));
		free(TAKE(group->usage_path));
		return;
	}
	groups->unresolved--;
}

static bool is_group_at(struct groups *groups, uint64_t id, const char *path)
{
	struct stat st;

	return fstatat(groups->root_fd, relative(path), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode) && st.st_ino == id;
}

/* The "0::" line names the cgroup2 path, from the root of the reader's cgroup namespace: right only
 * if the inode there is the id. */
static bool resolve_by_process(struct groups *groups, struct group *group, uint32_t pid)
{
	char name[32], text[FILE_TEXT_SIZE];
	char *line, *end;

	snprintf(name, sizeof(name), "%u/cgroup", pid);
	if (text_read_at(groups->proc_fd, name, text, sizeof(text)) <= 0)
		return false;
	line = str_starts(text, "0::") ? text : strstr(text, "\n0::");
	if (!line)
		return false;
	line = strchr(line, ':') + 2;
	end = strchr(line, '\n');
	if (!end || *line != '/' || end - line > PATH_LENGTH_MAX)
		return false;
	*end = '\0';
	/* Outside of the reader's cgroup namespace. */
	if (strstr(line, "/.."))
		return false;
	if (!is_group_at(groups, group->id, line))
		return false;
	resolve(groups, group, line);
	return group->path != NULL;
}

static struct group *group_new(struct groups *groups, uint64_t id, uint64_t now_ns)
{
	struct group *group = calloc(1, sizeof(*group));

	if (!group)
		abort();
	group->id = id;
	group->cpu_fd = group->cpu_pressure_fd = group->memory_pressure_fd = -1;
	group->owner.cgroup_id = id;
	group->root = id <= 1 || id == groups->root_id;
	group->try_ns = now_ns;
	map_put(&groups->by_id, id + 1, group);
	if (group->root) {
		group->owner.kind = OWNER_PROCESS;
		snprintf(group->owner.cgroup_path, sizeof(group->owner.cgroup_path), "%s",
			 id ? "/" : "");
	} else {
		groups->unresolved++;
	}
	return group;
}

struct group *groups_get(struct groups *groups, uint64_t id, uint32_t pid, uint64_t now_ns)
{
	/* The map has no key that stands for "none", but ids are far from UINT64_MAX. */
	struct group *group = map_get(&groups->by_id, id + 1);

	if (!group)
		group = group_new(groups, id, now_ns);
	group->seen_ns = now_ns;
	if (!group->root && !group->path && now_ns >= group->try_ns && pid && !groups->walk.running)
		resolve_by_process(groups, group, pid);
	return group;
}

/* ---- the walk ---- */

static bool walk_due(struct groups *groups, uint64_t now_ns)
{
	struct map_entry *entry;

	if (!groups->unresolved || now_ns < groups->walk.started_ns + WALK_EVERY_NS)
		return false;
	for (size_t at = 0; (entry = map_next(&groups->by_id, &at));) {
		struct group *group = entry->value;

		if (!group->root && !group->path && now_ns >= group->try_ns)
			return true;
	}
	return false;
}

static char *join(const char *directory, const char *name)
{
	return strcmp(directory, ".") == 0 ? strdup(name) : str_printf("%s/%s", directory, name);
}

static void push_pending(struct walk *walk, const char *directory, const char *name)
{
	char *path;

	if (walk->pending.count >= WALK_PENDING_MAX ||
	    strlen(directory) + strlen(name) + 1 > PATH_LENGTH_MAX)
		return;
	path = join(directory, name);
	if (path)
		*vec_push(&walk->pending) = path;
}

static bool walk_open_next(struct groups *groups)
{
	struct walk *walk = &groups->walk;

	while (!walk->directory && walk->pending.count) {
		int fd;

		free(walk->path);
		walk->path = walk->pending.at[--walk->pending.count];
		fd = openat(groups->root_fd, walk->path,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		walk->directory = fdopendir(fd);
		if (!walk->directory)
			close(fd);
	}
	return walk->directory != NULL;
}

static void walk_found(struct groups *groups, const char *name, uint64_t id)
{
	struct group *group = map_get(&groups->by_id, id + 1);
	_cleanup_free_ char *below = NULL;
	_cleanup_free_ char *path = NULL;

	if (!group || group->root || group->path)
		return;
	below = join(groups->walk.path, name);
	path = below ? str_printf("/%s", below) : NULL;
	if (path)
		resolve(groups, group, path);
}

/* Looks at one entry of the directory being read; returns whether it was a directory. */
static bool walk_entry(struct groups *groups, const struct dirent *entry)
{
	struct walk *walk = &groups->walk;
	struct stat st;

	if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
		return false;
	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return false;
	if (fstatat(dirfd(walk->directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISDIR(st.st_mode))
		return false;
	walk_found(groups, entry->d_name, st.st_ino);
	/* Two links are its name and its own ".": no directory is below it. */
	if (st.st_nlink != 2)
		push_pending(walk, walk->path, entry->d_name);
	return true;
}

/* The ids that this walk did not find wait longer each time: a socket can outlive its cgroup. */
static void walk_finish(struct groups *groups, uint64_t now_ns)
{
	struct map_entry *entry;

	for (size_t at = 0; groups->unresolved && (entry = map_next(&groups->by_id, &at));) {
		struct group *group = entry->value;

		if (group->root || group->path || group->try_ns > groups->walk.started_ns)
			continue;
		group->try_ns = now_ns + (WALK_EVERY_NS << MIN(group->tries, TRIES_SHIFT_MAX));
		group->tries++;
	}
	walk_end(&groups->walk);
}

static void walk_step(struct groups *groups, uint64_t now_ns)
{
	struct walk *walk = &groups->walk;
	uint32_t looked = 0;

	while (groups->unresolved && looked < WALK_STEP_DIRECTORIES && walk_open_next(groups)) {
		const struct dirent *entry = readdir(walk->directory);

		if (entry) {
			looked += walk_entry(groups, entry);
			continue;
		}
		closedir(walk->directory);
		walk->directory = NULL;
		looked++;
	}
	if (!groups->unresolved || (!walk->directory && !walk->pending.count))
		walk_finish(groups, now_ns);
}

static void walk_start(struct groups *groups, uint64_t now_ns)
{
	char *root = strdup(".");

	if (!root)
		return;
	*vec_push(&groups->walk.pending) = root;
	groups->walk.running = true;
	groups->walk.started_ns = now_ns;
}

/* ---- what is not asked for any more ---- */

static void sweep(struct groups *groups, uint64_t now_ns)
{
	VEC(struct group *) old = {0};
	struct map_entry *entry;

	for (size_t at = 0; (entry = map_next(&groups->by_id, &at));) {
		struct group *group = entry->value;
		bool there = group->root || !group->path || group->gone ||
			     is_group_at(groups, group->id, group->path);

		if (!there) {
			group->gone = true;
			group_close(groups, group);
			group->usage = (struct usage){0};
		}
		if (group->seen_ns + FORGET_AFTER_NS <= now_ns ||
		    (group->gone && group->seen_ns < groups->swept_ns))
			*vec_push(&old) = group;
	}
	vec_for_each (group, &old) {
		map_remove(&groups->by_id, (*group)->id + 1);
		groups->unresolved -= !(*group)->root && !(*group)->path;
		group_free(groups, *group);
	}
	vec_free(&old);
	groups->swept_ns = now_ns;
}

void groups_step(struct groups *groups, uint64_t now_ns)
{
	if (now_ns >= groups->swept_ns + SWEEP_EVERY_NS)
		sweep(groups, now_ns);
	if (!groups->walk.running && walk_due(groups, now_ns))
		walk_start(groups, now_ns);
	if (groups->walk.running)
		walk_step(groups, now_ns);
}
