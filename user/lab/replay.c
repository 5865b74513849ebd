/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/lab_private.h"

#define LINE_BYTES_MAX (64U << 20)

static int replay_line(struct simulation *simulation, struct recorded *recorded, const char *line,
		       size_t length, char reason[160])
{
	int r = recorded_parse(line, length, recorded, reason);

	if (r < 0)
		return r;
	r = simulation_step(simulation, &recorded->sample, recorded->placed.at, &recorded->host);
	if (r == -EINVAL)
		snprintf(reason, 160, "found a time_ns that is not later than the line before");
	else if (r < 0)
		snprintf(reason, 160, "%s", strerror(-r));
	return r;
}

static int replay_file(struct simulation *simulation, FILE *file, const char *path)
{
	_cleanup_(recorded_free)
	struct recorded recorded = {0};
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	char reason[160];

	for (unsigned number = 1; (length = getline(&line, &capacity, file)) > 0; number++) {
		int r = -EFBIG;

		snprintf(reason, sizeof(reason), "a line of more than %u MiB",
			 LINE_BYTES_MAX >> 20);
		if ((size_t)length <= LINE_BYTES_MAX)
			r = replay_line(simulation, &recorded, line, (size_t)length, reason);
		if (r < 0) {
			log_error("%s:%u: %s", path, number, reason);
			return r;
		}
	}
	if (ferror(file)) {
		log_error("cannot read %s: %s", path, strerror(EIO));
		return -EIO;
	}
	return 0;
}

int lab_replay(const struct lab_config *config, const char *path, struct lab_result *result)
{
	_cleanup_(simulation_free)
	struct simulation simulation = {0};
	_cleanup_file_ FILE *file = fopen(path, "re");
	int r;

	if (!file) {
		r = -errno;
		log_error("cannot open the recording %s: %s", path, strerror(-r));
		return r;
	}
	r = simulation_new(config, result, &simulation);
	if (r == 0)
		r = replay_file(&simulation, file, path);
	if (r == 0 && !result->samples) {
		log_error("%s: found no samples, expected a recording of `forerun run --record`",
			  path);
		r = -ENODATA;
	}
	simulation_end(&simulation);
	return r;
}
