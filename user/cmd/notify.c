/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol of sd_notify(3): one datagram to the socket that $NOTIFY_SOCKET names. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/output.h"

void notify_send(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	size_t length;

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
		return;
	length = strlen(path);
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
			     (struct sockaddr *)&address,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		log_debug("cannot tell systemd \"%s\" at %s: %s", state, path, strerror(errno));
}

uint64_t notify_watchdog_ns(void)
{
	const char *text = getenv("WATCHDOG_USEC"), *pid_text = getenv("WATCHDOG_PID");
	uint64_t us, pid;

	if (!text || parse_u64(text, &us) < 0 || us == 0)
		return 0;
	if (pid_text && (parse_u64(pid_text, &pid) < 0 || pid != (uint64_t)getpid()))
		return 0;
	return us * NS_PER_US / 2;
}
