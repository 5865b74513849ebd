/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses with getaddrinfo(), which knows /etc/hosts, nsswitch.conf and search domains
 * but blocks for seconds when a name server is silent. Edges must not wait for that, so each lookup
 * has a thread for as long as it takes; what is shared with it is in struct question alone.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wire/dial_private.h"

/* Belongs to the thread and to the lookup, whoever lives longer. */
struct question {
	atomic_int holders;
	char *host;
	char service[8];
	int fd; /* eventfd: answered */
	int error; /* of getaddrinfo() */
	struct addrinfo *answer;
};

struct lookup {
	struct loop *loop;
	struct question *question;
	lookup_fn done;
	void *arg;
};

static void let_go(struct question *question)
{
	if (atomic_fetch_sub(&question->holders, 1) != 1)
		return;
	if (question->answer)
		freeaddrinfo(question->answer);
	close_descriptor(&question->fd);
	free(question->host);
	free(question);
}

static int ask(const char *host, const char *service, int flags, struct addrinfo **answer)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};

	*answer = NULL;
	return getaddrinfo(host, service, &hints, answer);
}

static void *answer_question(void *arg)
{
	struct question *question = arg;
	uint64_t one = 1;

	question->error = ask(question->host, question->service, AI_ADDRCONFIG, &question->answer);
	if (write(question->fd, &one, sizeof(one)) < 0)
		question->error = EAI_SYSTEM; /* cannot be: an eventfd takes a one */
	let_go(question);
	return NULL;
}

struct addrinfo *lookup_numeric(const char *host, uint16_t port)
{
	struct addrinfo *answer;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	return ask(host, service, AI_NUMERICHOST, &answer) == 0 ? answer : NULL;
}

static void on_answer(void *arg, int fd, uint32_t epoll_events)
{
	struct lookup *lookup = arg;
	struct question *question = lookup->question;
	uint64_t count;

	(void)epoll_events;
	/* The read also orders what the thread wrote before what is read below. */
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	loop_fd_remove(lookup->loop, fd);
	if (question->error)
		lookup->done(lookup->arg, NULL, gai_strerror(question->error));
	else
		lookup->done(lookup->arg, TAKE(question->answer), NULL);
}

/* Signals are the loop's: none may be delivered to the thread. */
static int start(struct question *question)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attributes);
	if (r)
		return -r;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add(&question->holders, 1);
	r = pthread_create(&thread, &attributes, answer_question, question);
	if (r)
		atomic_fetch_sub(&question->holders, 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -r;
}

static struct question *question_new(const char *host, uint16_t port)
{
	struct question *question = calloc(1, sizeof(*question));

	if (!question)
		return NULL;
	atomic_init(&question->holders, 1);
	snprintf(question->service, sizeof(question->service), "%u", port);
	question->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	question->host = strdup(host);
	if (question->fd >= 0 && question->host)
		return question;
	let_go(question);
	return NULL;
}

int lookup_new(struct loop *loop, const char *host, uint16_t port, lookup_fn done, void *arg,
	       struct lookup **out)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	int r;

	if (!lookup)
		return -ENOMEM;
	*lookup = (struct lookup){
		.loop = loop,
		.question = question_new(host, port),
		.done = done,
		.arg = arg,
	};
	if (!lookup->question) {
		free(lookup);
		return -ENOMEM;
	}
	r = loop_fd_add(loop, lookup->question->fd, EPOLLIN, on_answer, lookup);
	if (r >= 0)
		r = start(lookup->question);
	if (r < 0) {
		lookup_free(lookup);
		return r;
	}
	*out = lookup;
	return 0;
}

void lookup_free(struct lookup *lookup)
{
	if (!lookup)
		return;
	loop_fd_remove(lookup->loop, lookup->question->fd);
	let_go(lookup->question);
	free(lookup);
}
