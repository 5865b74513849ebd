/* SPDX-License-Identifier: Apache-2.0 */
/* The client: libcurl's multi interface, whose sockets and timer are the loop's. */
#include "base/http_private.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"

#define CONNECTIONS_KEPT 16
#define STATE_ESTABLISHED 1 /* include/net/tcp_states.h */

static void deliver(struct http_client *client);

/* ---- the loop's side ---- */

/* Finished transfers leave libcurl at once and wait in a list for their callback: libcurl must not
 * be inside one of its own functions when that is called. */
static void collect(struct http_client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct http_transfer *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		transfer->result = message->data.result;
		transfer->done_ns = time_mono_ns();
		transfer->state = TRANSFER_FINISHED;
		curl_multi_remove_handle(client->multi, transfer->easy);
	}
}

static void on_socket(void *arg, int fd, uint32_t epoll_events)
{
	struct http_client *client = arg;
	int running, action = 0;

	action |= epoll_events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP) ? CURL_CSELECT_IN : 0;
	action |= epoll_events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
	action |= epoll_events & EPOLLERR ? CURL_CSELECT_ERR : 0;
	curl_multi_socket_action(client->multi, fd, action, &running);
	collect(client);
	deliver(client);
}

static void on_timer(void *arg, uint64_t now_ns)
{
	struct http_client *client = arg;
	int running;

	(void)now_ns;
	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(client);
	deliver(client);
}

static void on_finished(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	deliver(arg);
}

/* ---- libcurl's side ---- */

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *client = arg;
	struct http_transfer *transfer = NULL;
	uint32_t epoll_events = 0;
	int r;

	(void)socket_arg;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
	if (transfer)
		transfer->fd = what == CURL_POLL_REMOVE ? -1 : fd;
	if (what == CURL_POLL_REMOVE) {
		loop_fd_remove(client->loop, fd);
		return 0;
	}
	epoll_events |= what != CURL_POLL_OUT ? EPOLLIN : 0;
	epoll_events |= what != CURL_POLL_IN ? EPOLLOUT : 0;
	r = loop_fd_modify(client->loop, fd, epoll_events);
	if (r == -ENOENT)
		r = loop_fd_add(client->loop, fd, epoll_events, on_socket, client);
	if (r < 0)
		log_error("could not wait for an HTTP connection: %s", strerror(-r));
	return r < 0 ? -1 : 0;
}

static int timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_client *client = arg;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_stop(client->timer);
	else
		loop_timer_at(client->timer, time_mono_ns() + (uint64_t)timeout_ms * NS_PER_MS);
	return 0;
}

int http_socket_close(void *arg, curl_socket_t fd)
{
	struct http_client *client = arg;

	loop_fd_remove(client->loop, fd);
	return close(fd);
}

/* ---- life ---- */

static void global_init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_client_new(struct loop *loop, struct http_client **out)
{
	struct http_client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->loop = loop;
	r = loop_timer_new(loop, on_timer, client, &client->timer);
	if (r >= 0)
		r = loop_timer_new(loop, on_finished, client, &client->finished_timer);
	if (r < 0) {
		http_client_free(client);
		return r;
	}
	*out = client;
	return 0;
}

/* With the first request only: libcurl and its TLS library take 2 MiB, which a process that asks
 * nobody need not have. */
static int start_libcurl(struct http_client *client)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (client->multi)
		return 0;
	pthread_once(&once, global_init);
	client->multi = curl_multi_init();
	if (!client->multi)
		return -ENOMEM;
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
	return 0;
}

static void transfer_free(struct http_transfer *transfer)
{
	struct http_transfer **link = &transfer->client->transfers;

	while (*link && *link != transfer)
		link = &(*link)->next;
	if (*link)
		*link = transfer->next;
	if (transfer->state == TRANSFER_RUNNING)
		curl_multi_remove_handle(transfer->client->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	text_free(&transfer->body);
	free(transfer->peer);
	free(transfer);
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	if (client->delivering) { /* called from a callback: deliver() ends it */
		client->dying = true;
		return;
	}
	while (client->transfers)
		transfer_free(client->transfers);
	if (client->multi)
		curl_multi_cleanup(client->multi);
	loop_timer_free(client->timer);
	loop_timer_free(client->finished_timer);
	free(client);
}

static struct http_transfer *first_finished(struct http_client *client)
{
	struct http_transfer *first = NULL;

	for (struct http_transfer *at = client->transfers; at; at = at->next)
		if (at->state == TRANSFER_FINISHED && (!first || at->done_ns < first->done_ns))
			first = at;
	return first;
}

static void deliver(struct http_client *client)
{
	struct http_transfer *transfer;

	if (client->delivering)
		return;
	client->delivering = true;
	while (!client->dying && (transfer = first_finished(client))) {
		struct http_response response;

		transfer->state = TRANSFER_DELIVERED;
		http_transfer_result(transfer, &response);
		transfer->done(transfer->arg, &response);
		transfer_free(transfer);
	}
	client->delivering = false;
	if (client->dying)
		http_client_free(client);
}

void http_cancel(struct http_transfer *transfer)
{
	/* In its own callback it is over already. */
	if (transfer->state != TRANSFER_DELIVERED)
		transfer_free(transfer);
}

int http_flight(const struct http_transfer *transfer, struct http_flight *out)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (transfer->state != TRANSFER_RUNNING || transfer->fd < 0 ||
	    getsockopt(transfer->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
	    info.tcpi_state != STATE_ESTABLISHED)
		return -ENOTCONN;
	*out = (struct http_flight){info.tcpi_unacked, info.tcpi_bytes_acked,
				    info.tcpi_rtt * NS_PER_US};
	return 0;
}

static int start(struct http_client *client, struct http_transfer *transfer)
{
	int running;

	transfer->started_ns = time_mono_ns();
	if (curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK)
		return -ENOMEM;
	transfer->state = TRANSFER_RUNNING;
	/* On a warm connection this writes the request; waiting for the loop would cost a round. */
	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(client);
	if (first_finished(client))
		loop_timer_at(client->finished_timer, 0);
	return 0;
}

int http_send(struct http_client *client, const struct http_request *request, http_done_fn done,
	      void *arg, struct http_transfer **out)
{
	struct http_transfer *transfer;
	int r;

	r = http_request_check(request);
	if (r >= 0)
		r = start_libcurl(client);
	if (r < 0)
		return r;
	transfer = calloc(1, sizeof(*transfer));
	if (!transfer)
		return -ENOMEM;
	transfer->client = client;
	transfer->fd = -1;
	transfer->done = done;
	transfer->arg = arg;
	transfer->next = client->transfers;
	client->transfers = transfer;
	r = http_transfer_prepare(transfer, request);
	if (r >= 0)
		r = start(client, transfer);
	if (r < 0) {
		transfer_free(transfer);
		return r;
	}
	if (out)
		*out = transfer;
	return 0;
}
