/* SPDX-License-Identifier: Apache-2.0 */
/* Where AF_UNIX listeners are bound. */
#include "probe/private.h"

/* The name ends with its length, one in the file system with its NUL. */
void path_text(const struct forerun_path *path, char *out, size_t size)
{
	size_t length = MIN((size_t)path->length, MIN(sizeof(path->bytes), size - 1));
	bool abstract = length && !path->bytes[0];
	size_t at = 0;

	if (abstract)
		out[at++] = '@';
	for (; at < length && (abstract || path->bytes[at]); at++) {
		char c = path->bytes[at];

		out[at] = c < ' ' || c > '~' ? '?' : c;
	}
	out[at] = '\0';
}

void path_read(struct probe *probe, uint32_t slot, struct tracked *tracked)
{
	struct forerun_path path;

	if (tracked->path_known ||
	    bpf_map_lookup_elem(bpf_map__fd(probe->skel->maps.paths), &slot, &path))
		return;
	path_text(&path, tracked->path, sizeof(tracked->path));
	tracked->path_known = true;
}
