/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command and says what it took, as the kernel counts it when it is waited for.
 *
 *	measure FILE COMMAND...	FILE: where the JSON goes
 *
 * A child begins with its parent's peak of memory, and this parent is small: a Python that starts
 * the command itself would see its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + 1e-6 * (double)time.tv_usec;
}

int main(int argc, char **argv)
{
	struct rusage used;
	int status;
	pid_t pid;
	FILE *out;

	if (argc < 3) {
		fprintf(stderr, "usage: measure FILE COMMAND...\n");
		return 2;
	}
	pid = fork();
	if (pid == 0) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) < 0) {
		perror("measure");
		return 1;
	}
	out = fopen(argv[1], "we");
	if (!out) {
		perror(argv[1]);
		return 1;
	}
	fprintf(out, "{\"cpu_s\":%.6f,\"mib\":%.2f}\n",
		seconds(used.ru_utime) + seconds(used.ru_stime), (double)used.ru_maxrss / 1024);
	if (fclose(out) != 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
