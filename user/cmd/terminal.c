/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/output.h"

#define ENTER "\033[?1049h\033[?25l\033[H\033[2J"
#define LEAVE "\033[?25h\033[?1049l"

/* Static because a signal handler gets no argument, and after a crash it is all that is left to put
 * the terminal back. */
static struct {
	volatile sig_atomic_t entered, keys;
	struct termios before;
} terminal;

static void restore(void)
{
	ssize_t ignored;

	if (!terminal.entered)
		return;
	terminal.entered = 0;
	ignored = write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1);
	(void)ignored;
	if (terminal.keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
	terminal.keys = 0;
}

/* SA_RESETHAND: raised again it kills, and leaves the core dump that it should. */
static void on_crash(int signo)
{
	restore();
	raise(signo);
}

static void catch_crashes(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
	struct sigaction action = {.sa_handler = on_crash,
				   .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}

/* Keys are neither shown nor held back until Enter; Ctrl-C stays a signal. */
static void quiet_keys(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
	    tcgetattr(STDIN_FILENO, &terminal.before) < 0)
		return;
	raw = terminal.before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0)
		terminal.keys = 1;
}

int terminal_enter(void)
{
	if (!isatty(STDOUT_FILENO))
		return -ENOTTY;
	if (terminal.entered)
		return 0;
	catch_crashes();
	quiet_keys();
	terminal.entered = 1;
	if (write(STDOUT_FILENO, ENTER, sizeof(ENTER) - 1) < 0)
		return -errno;
	return 0;
}

void terminal_leave(void)
{
	restore();
}

void terminal_size(unsigned *width, unsigned *height)
{
	struct winsize size;

	*width = 80;
	*height = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		*width = size.ws_col;
		*height = size.ws_row;
	}
}
