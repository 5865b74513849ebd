/* SPDX-License-Identifier: Apache-2.0 */
/* The server: libmicrohttpd without a thread of its own; its epoll descriptor stands in the
 * loop's. */
#include "base/http.h"

#include <microhttpd.h>
#include <sys/epoll.h>

#include "base/http_private.h"
#include "base/listen.h"
#include "base/log.h"

#define BACKLOG 128
#define CONNECTIONS_MAX 64U
#define CONNECTIONS_PER_ADDRESS_MAX 32U /* so that one client alone cannot shut out the others */
#define IDLE_SECONDS_MAX 30U
#define CONNECTION_BYTES ((size_t)32 << 10) /* bounds a request's line and headers */

struct http_server {
	struct loop *loop;
	struct MHD_Daemon *daemon;
	struct loop_timer *timer;
	int epoll_fd;
	unsigned connections; /* after the last run */
	uint16_t port;
	http_handler_fn handler;
	void *arg;
};

static unsigned connections(const struct http_server *server)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

static void run(struct http_server *server)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	MHD_run(server->daemon);
	/* At the limit the daemon stops accepting, and it starts again only at the beginning of a
	 * run: nothing would wake it for those who wait. */
	if (server->connections >= CONNECTIONS_MAX && connections(server) < CONNECTIONS_MAX)
		MHD_run(server->daemon);
	server->connections = connections(server);
	if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES)
		loop_timer_at(server->timer, time_mono_ns() + (uint64_t)timeout_ms * NS_PER_MS);
	else
		loop_timer_stop(server->timer);
}

static void on_ready(void *arg, int fd, uint32_t epoll_events)
{
	(void)fd;
	(void)epoll_events;
	run(arg);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	run(arg);
}

static enum MHD_Result queue(struct MHD_Connection *connection, struct http_reply *reply)
{
	struct MHD_Response *response;
	enum MHD_Result done;

	response = MHD_create_response_from_buffer(
		reply->body ? reply->body_length : 0, reply->body ? reply->body : (void *)"",
		reply->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (!response) {
		free(reply->body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				reply->content_type ? reply->content_type
						    : "text/plain; charset=utf-8");
	if (reply->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	done = MHD_queue_response(connection, (unsigned)reply->status, response);
	MHD_destroy_response(response);
	return done;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload_data,
				  size_t *upload_data_size, void **request_arg)
{
	static const char begun;
	struct http_server *server = arg;
	struct http_query query = {.method = method, .path = url, .connection = connection};
	struct http_reply reply = {.status = MHD_HTTP_OK};

	(void)version;
	(void)upload_data;
	if (!str_equal(method, "GET") && !str_equal(method, "HEAD")) {
		reply.status = MHD_HTTP_METHOD_NOT_ALLOWED;
		return queue(connection, &reply);
	}
	/* The first call comes before the body, and an answer there would close the connection. */
	if (!*request_arg) {
		*request_arg = (void *)&begun;
		return MHD_YES;
	}
	if (*upload_data_size) { /* a GET with a body: it has no meaning */
		*upload_data_size = 0;
		return MHD_YES;
	}
	server->handler(server->arg, &query, &reply);
	return queue(connection, &reply);
}

static void on_daemon_message(void *arg, const char *format, va_list args)
	__attribute__((__format__(__printf__, 2, 0)));
static void on_daemon_message(void *arg, const char *format, va_list args)
{
	_cleanup_free_ char *line = NULL;

	(void)arg;
	if (vasprintf(&line, format, args) < 0) {
		line = NULL;
		return;
	}
	log_debug("HTTP server: %s", line);
}

static int start_daemon(struct http_server *server, int listen_fd)
{
	const union MHD_DaemonInfo *info;

	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, server,
		MHD_OPTION_EXTERNAL_LOGGER, on_daemon_message, NULL, MHD_OPTION_LISTEN_SOCKET,
		listen_fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, CONNECTIONS_PER_ADDRESS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		CONNECTION_BYTES, MHD_OPTION_END);
	if (!server->daemon)
		return -EIO;
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EIO;
	server->epoll_fd = info->epoll_fd;
	return loop_fd_add(server->loop, server->epoll_fd, EPOLLIN, on_ready, server);
}

int http_server_new(struct loop *loop, const char *address, http_handler_fn handler, void *arg,
		    struct http_server **out)
{
	struct http_server *server;
	uint16_t port;
	int fd, r;

	fd = listen_at(address, BACKLOG, &port);
	if (fd < 0)
		return fd;
	server = calloc(1, sizeof(*server));
	if (!server) {
		close_descriptor(&fd);
		return -ENOMEM;
	}
	*server = (struct http_server){
		.loop = loop, .epoll_fd = -1, .port = port, .handler = handler, .arg = arg};
	r = loop_timer_new(loop, on_timer, server, &server->timer);
	if (r >= 0)
		r = start_daemon(server, fd);
	if (r < 0) {
		if (!server->daemon) /* a daemon closes it with itself */
			close_descriptor(&fd);
		http_server_free(server);
		return r;
	}
	*out = server;
	return 0;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	if (server->epoll_fd >= 0)
		loop_fd_remove(server->loop, server->epoll_fd);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	loop_timer_free(server->timer);
	free(server);
}

uint16_t http_server_port(const struct http_server *server)
{
	return server->port;
}

const char *http_query_argument(const struct http_query *query, const char *name)
{
	return MHD_lookup_connection_value(query->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_query_header(const struct http_query *query, const char *name)
{
	return MHD_lookup_connection_value(query->connection, MHD_HEADER_KIND, name);
}
