/* SPDX-License-Identifier: Apache-2.0 */
/* What standard input says to a swarm: one command a line, each answered by one JSON line. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "lab/swarm_private.h"

#define WORDS 6
#define LINE_MOST 4096
#define DEPTH_MOST (1U << 20)

struct words {
	char *at[WORDS];
	size_t count;
};

static int refuse(const char *expected)
{
	_cleanup_text_ struct text line = {0};

	text_add(&line, "{\"type\":\"refused\",\"expected\":");
	text_add_json(&line, expected);
	printf("%s}\n", line.data);
	fflush(stdout);
	return -EINVAL;
}

/* The one that is named, or all. */
static bool is_meant(const struct simulated *agent, const char *host)
{
	return !host || str_equal(agent->host, host);
}

static int set_depth(struct swarm *swarm, const struct words *words)
{
	const char *host = words->count > 2 ? words->at[2] : NULL;
	uint64_t depth;

	if (words->count < 2 || parse_u64(words->at[1], &depth) < 0 || depth > DEPTH_MOST ||
	    (host && !simulated_find(swarm, host)))
		return refuse("depth N [HOST]");
	if (!host)
		swarm->depth = (uint32_t)depth;
	vec_for_each (agent, &swarm->agents)
		if (is_meant(*agent, host))
			(*agent)->depth = (uint32_t)depth;
	return 0;
}

static int send_edges(struct swarm *swarm, const struct words *words)
{
	const char *host = words->count > 1 ? words->at[1] : NULL;

	if (host && !simulated_find(swarm, host))
		return refuse("edge [HOST]");
	vec_for_each (agent, &swarm->agents)
		if (is_meant(*agent, host))
			simulated_send(*agent, FRAME_EDGE);
	return 0;
}

/* The first ones of the list, so that a larger share holds those of a smaller one. */
static int silence_share(struct swarm *swarm, const char *share)
{
	_cleanup_free_ char *number = strndup(share, strlen(share) - 1);
	double percent;
	size_t count;

	if (!number || parse_double(number, &percent) < 0 || !(percent >= 0 && percent <= 100))
		return refuse("silence N% | silence HOST");
	count = (size_t)(percent / 100 * (double)swarm->agents.count + 0.5);
	for (size_t i = 0; i < swarm->agents.count; i++)
		swarm->agents.at[i]->silent = i < count;
	return 0;
}

static int silence(struct swarm *swarm, const struct words *words)
{
	struct simulated *agent;

	if (words->count == 2 && str_ends(words->at[1], "%"))
		return silence_share(swarm, words->at[1]);
	agent = words->count == 2 ? simulated_find(swarm, words->at[1]) : NULL;
	if (!agent)
		return refuse("silence N% | silence HOST");
	agent->silent = true;
	return 0;
}

static const char *unless_dash(const char *word)
{
	return str_equal(word, "-") ? "" : word;
}

static int add_host(struct swarm *swarm, const struct words *words)
{
	if (words->count != 5 || strlen(words->at[2]) >= WIRE_HOST_SIZE ||
	    strlen(words->at[3]) >= SWARM_INSTANCE_SIZE || simulated_find(swarm, words->at[2]))
		return refuse("host add NAME INSTANCE SERVICE, with a name that is not there yet");
	return simulated_new(swarm, words->at[2], unless_dash(words->at[3]),
			     unless_dash(words->at[4]));
}

static int remove_host(struct swarm *swarm, const struct words *words)
{
	for (size_t i = 0; words->count == 3 && i < swarm->agents.count; i++)
		if (str_equal(swarm->agents.at[i]->host, words->at[2])) {
			simulated_free(swarm->agents.at[i]);
			vec_remove(&swarm->agents, i);
			return 0;
		}
	return refuse("host remove NAME, of an agent that is there");
}

static int quit(struct swarm *swarm, const struct words *words)
{
	(void)words;
	loop_quit(swarm->loop, 0);
	return 0;
}

static int run_command(struct swarm *swarm, const struct words *words)
{
	static const struct {
		const char *first, *second;
		int (*run)(struct swarm *swarm, const struct words *words);
	} commands[] = {
		{"depth", NULL, set_depth},	 {"edge", NULL, send_edges},
		{"silence", NULL, silence},	 {"host", "add", add_host},
		{"host", "remove", remove_host}, {"quit", NULL, quit},
	};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (str_equal(words->at[0], commands[i].first) &&
		    (!commands[i].second ||
		     (words->count > 1 && str_equal(words->at[1], commands[i].second))))
			return commands[i].run(swarm, words);
	return refuse("depth, edge, silence, host add, host remove or quit");
}

static void run_line(struct swarm *swarm, char *line)
{
	_cleanup_free_ char *whole = strdup(line);
	_cleanup_text_ struct text answer = {0};
	struct words words = {0};
	char *rest = NULL;

	for (char *word = strtok_r(line, " \t\r", &rest); word && words.count < WORDS;
	     word = strtok_r(NULL, " \t\r", &rest))
		words.at[words.count++] = word;
	if (!words.count || run_command(swarm, &words) < 0)
		return;
	text_printf(&answer, "{\"type\":\"done\",\"agents\":%zu,\"command\":", swarm->agents.count);
	text_add_json(&answer, whole ? whole : "");
	printf("%s}\n", answer.data);
	fflush(stdout);
}

static void take_lines(struct swarm *swarm)
{
	char *line = swarm->pending.data, *end;

	while (line && (end = strchr(line, '\n'))) {
		*end = '\0';
		run_line(swarm, line);
		line = end + 1;
	}
	if (line && line != swarm->pending.data) {
		_cleanup_free_ char *left = strdup(line);

		text_clear(&swarm->pending);
		text_add(&swarm->pending, left ? left : "");
	}
}

static void on_input(void *arg, int fd, uint32_t events)
{
	struct swarm *swarm = arg;
	char buffer[LINE_MOST];
	ssize_t n = read(fd, buffer, sizeof(buffer));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || swarm->pending.length > LINE_MOST) {
		loop_fd_remove(swarm->loop, fd);
		return;
	}
	text_add_bytes(&swarm->pending, buffer, (size_t)n);
	take_lines(swarm);
}

void swarm_read_input(struct swarm *swarm)
{
	/* A file or /dev/null cannot be waited for: then nothing is said. */
	loop_fd_add(swarm->loop, STDIN_FILENO, EPOLLIN, on_input, swarm);
}
