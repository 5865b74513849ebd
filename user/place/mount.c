/* SPDX-License-Identifier: Apache-2.0 */
#include "place/private.h"

#define MOUNTINFO_LIMIT (16U << 20)

/* mountinfo writes space, tab, newline and backslash as \ooo (fs/proc_namespace.c). */
static char *unescape(const char *from, size_t length)
{
	char *out = malloc(length + 1);
	size_t n = 0;

	if (!out)
		return NULL;
	for (size_t i = 0; i < length; i++) {
		bool octal = from[i] == '\\' && i + 3 < length && from[i + 1] >= '0' &&
			     from[i + 1] <= '3' && from[i + 2] >= '0' && from[i + 2] <= '7' &&
			     from[i + 3] >= '0' && from[i + 3] <= '7';

		if (octal) {
			out[n++] = (char)((from[i + 1] - '0') * 64 + (from[i + 2] - '0') * 8 +
					  (from[i + 3] - '0'));
			i += 3;
		} else {
			out[n++] = from[i];
		}
	}
	out[n] = '\0';
	return out;
}

struct mount_line {
	const char *root, *point;
	size_t root_length, point_length;
	bool cgroup2;
};

/* "36 35 98:0 /root /point options fields - type source options", see proc_pid_mountinfo(5). */
static bool parse_line(const char *line, struct mount_line *out)
{
	const char *field[5];
	const char *at = line;
	const char *dash;

	for (size_t i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = at;
		at = strchr(at, ' ');
		if (!at)
			return false;
		at++;
	}
	out->root = field[3];
	out->root_length = (size_t)(field[4] - field[3] - 1);
	out->point = field[4];
	out->point_length = (size_t)(at - field[4] - 1);
	dash = strstr(at, " - ");
	out->cgroup2 = dash && str_starts(dash + 3, "cgroup2 ");
	return true;
}

int place_find_cgroup2(const char *mountinfo_path, char **out)
{
	_cleanup_free_ char *text = NULL;
	struct mount_line found = {0};
	char *save = NULL;
	int r;

	r = file_read(mountinfo_path, MOUNTINFO_LIMIT, &text, NULL);
	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct mount_line m;

		if (!parse_line(line, &m) || !m.cgroup2)
			continue;
		/* The first one, but rather one that shows the whole hierarchy than a part. */
		if (!found.point || (found.root_length != 1 && m.root_length == 1))
			found = m;
	}
	if (!found.point)
		return -ENOENT;
	*out = unescape(found.point, found.point_length);
	return *out ? 0 : -ENOMEM;
}
