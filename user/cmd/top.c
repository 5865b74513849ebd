/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun top`: asks a running forerun for its signals and shows them with ncurses. What is shown
 * and what keys do is export's; here are the terminal, the clock and the connection. */
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <curses.h>

#include "base/http.h"
#include "cmd/cmd.h"
#include "cmd/output.h"
#include "export/export.h"

struct top_command {
	struct options *options;
	struct loop *loop;
	struct http_client *http;
	struct http_transfer *transfer; /* under way */
	struct loop_timer *timer;
	struct top *top;
	SCREEN *screen;
	char *url;
};

static void put(void *arg, unsigned row, enum top_style style, const char *text)
{
	static const attr_t attributes[] = {
		[TOP_PLAIN] = A_NORMAL, [TOP_HEAD] = A_REVERSE, [TOP_SELECTED] = A_REVERSE,
		[TOP_WARNING] = A_BOLD, [TOP_TITLE] = A_BOLD,
	};

	(void)arg;
	attrset(attributes[style]);
	mvaddstr((int)row, 0, text);
	attrset(A_NORMAL);
}

static void draw(struct top_command *command)
{
	erase();
	top_draw(command->top, (unsigned)COLS, (unsigned)LINES, put, NULL);
	refresh();
}

/* ---- the connection ---- */

static void take_answer(struct top_command *command, const struct http_response *response)
{
	char text[160], reason[128];

	if (response->error)
		snprintf(text, sizeof(text), "%s (is forerun running?)", response->error_text);
	else if (response->status == 404)
		snprintf(
			text, sizeof(text),
			"it has no listeners of its own (a core): ask an agent, or forerun status");
	else if (response->status != 200)
		snprintf(text, sizeof(text), "HTTP status %d", response->status);
	else if (top_feed(command->top, response->body, reason) < 0)
		snprintf(text, sizeof(text), "%s", reason);
	else
		return;
	top_problem(command->top, text);
}

static void on_answer(void *arg, const struct http_response *response)
{
	struct top_command *command = arg;

	command->transfer = NULL;
	take_answer(command, response);
	draw(command);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct top_command *command = arg;
	struct http_request request = {
		.method = "GET", .url = command->url, .timeout_ms = 5000, .no_proxy = true};

	loop_timer_at(command->timer, now_ns + command->options->refresh_ns);
	if (command->transfer)
		return;
	if (http_send(command->http, &request, on_answer, command, &command->transfer) < 0) {
		top_problem(command->top, "this is no URL such as http://127.0.0.1:9910");
		draw(command);
	}
}

/* ---- the terminal ---- */

static int key_of(int key)
{
	switch (key) {
	case KEY_UP:
		return TOP_KEY_UP;
	case KEY_DOWN:
		return TOP_KEY_DOWN;
	case KEY_LEFT:
		return TOP_KEY_LEFT;
	case KEY_RIGHT:
		return TOP_KEY_RIGHT;
	case KEY_PPAGE:
		return TOP_KEY_PAGE_UP;
	case KEY_NPAGE:
		return TOP_KEY_PAGE_DOWN;
	case KEY_HOME:
		return TOP_KEY_HOME;
	case KEY_END:
		return TOP_KEY_END;
	case KEY_BACKSPACE:
	case 0x7f:
	case '\b':
		return TOP_KEY_BACKSPACE;
	case KEY_ENTER:
	case '\n':
	case '\r':
		return TOP_KEY_ENTER;
	case 0x1b:
		return TOP_KEY_ESCAPE;
	default:
		return key;
	}
}

static void on_keys(void *arg, int fd, uint32_t events)
{
	struct top_command *command = arg;
	int key;

	(void)fd;
	if (events & (EPOLLHUP | EPOLLERR)) { /* the terminal is gone */
		loop_quit(command->loop, EXIT_DONE);
		return;
	}
	while ((key = getch()) != ERR)
		if (!top_press(command->top, key_of(key))) {
			loop_quit(command->loop, EXIT_DONE);
			return;
		}
	draw(command);
}

static void on_signal(void *arg, int signo)
{
	struct top_command *command = arg;
	unsigned width, height;

	if (signo != SIGWINCH) {
		loop_quit(command->loop, EXIT_DONE);
		return;
	}
	terminal_size(&width, &height);
	resizeterm((int)height, (int)width);
	draw(command);
}

static int open_terminal(struct top_command *command)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fprintf(stderr,
			"forerun top: needs a terminal; %s/v1/signals has the same as "
			"JSON\n",
			command->options->url);
		return -ENOTTY;
	}
	setlocale(LC_ALL, "");
	set_escdelay(25);
	command->screen = newterm(NULL, stdout, stdin);
	if (!command->screen) {
		fprintf(stderr, "forerun top: the terminal \"%s\" (TERM) is not known here\n",
			getenv("TERM") ?: "");
		return -ENOTTY;
	}
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	return 0;
}

static int start(struct top_command *command)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
	int r = loop_new(&command->loop);

	if (r == 0)
		r = http_client_new(command->loop, &command->http);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(signals); i++)
		r = loop_signal(command->loop, signals[i], on_signal, command);
	if (r == 0)
		r = loop_timer_new(command->loop, on_timer, command, &command->timer);
	if (r == 0)
		r = loop_fd_add(command->loop, STDIN_FILENO, EPOLLIN, on_keys, command);
	if (r == 0)
		loop_timer_at(command->timer, 0);
	return r;
}

static void stop(struct top_command *command)
{
	if (command->screen) {
		endwin();
		delscreen(command->screen);
	}
	loop_timer_free(command->timer);
	http_client_free(command->http);
	loop_free(command->loop);
	top_free(command->top);
	free(command->url);
}

int command_top(struct options *options)
{
	struct top_command command = {.options = options};
	int r = open_terminal(&command);

	if (r < 0)
		return EXIT_USAGE;
	command.url = str_printf("%s/v1/signals?buckets=1", options->url);
	command.top = top_new(options->url, str_equal(nl_langinfo(CODESET), "UTF-8"));
	r = start(&command);
	if (r == 0)
		r = loop_run(command.loop);
	stop(&command);
	if (r < 0)
		fprintf(stderr, "forerun top: %s\n", strerror(-r));
	return r < 0 ? EXIT_FAILED : r;
}
