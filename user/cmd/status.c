/* SPDX-License-Identifier: Apache-2.0 */
/* `forerun status`: asks a running forerun over its own HTTP and prints what it says. */
#include <cjson/cJSON.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/http.h"
#include "cmd/cmd.h"
#include "cmd/status.h"

#define ANSWER_WITHIN_MS 10000
#define PAGE "/v1/status"

struct question {
	char *url;
	bool done, good;
	cJSON *answer;
	char *body;
};

static void question_free(struct question *question)
{
	free(question->url);
	free(question->body);
	cJSON_Delete(question->answer);
}

/* "http://127.0.0.1:9910" of ":9910"; NULL, and said why, when the address tells of no server. */
static char *url_of_listen(const char *listen)
{
	const char *colon = strrchr(listen, ':');

	if (str_equal(listen, "none") || !colon || str_equal(colon, ":0")) {
		fprintf(stderr,
			"forerun status: --listen is \"%s\", which is no address that can be "
			"asked: "
			"give --url http://HOST:PORT\n",
			listen);
		return NULL;
	}
	return str_printf("http://%.*s%s", colon == listen ? 9 : (int)(colon - listen),
			  colon == listen ? "127.0.0.1" : listen, colon);
}

/* --url where it was given; else where --listen, perhaps of the options file, says. */
static char *url_of(const struct options *options)
{
	_cleanup_free_ char *base = NULL;
	size_t length;

	if (!option_where(options, "url"))
		base = url_of_listen(options->listen);
	else
		base = str_printf("%s%s", strstr(options->url, "://") ? "" : "http://",
				  options->url);
	if (!base)
		return NULL;
	length = strlen(base);
	while (length && base[length - 1] == '/')
		length--;
	return str_printf("%.*s" PAGE "%s", (int)length, base, options->json ? "?all=1" : "");
}

static void say_silent(const struct question *question, const struct http_response *response)
{
	int host = (int)(strstr(question->url, PAGE) - question->url);

	fprintf(stderr,
		"forerun status: nothing answers at %.*s: %s\n"
		"Is forerun running there, with --listen? systemctl status forerun\n"
		"If it listens elsewhere: forerun status --url http://HOST:PORT\n",
		host, question->url, response->error_text);
}

static void on_answer(void *arg, const struct http_response *response)
{
	struct question *question = arg;

	question->done = true;
	if (response->error) {
		say_silent(question, response);
		return;
	}
	if (response->status == 200)
		question->answer = cJSON_ParseWithLength(response->body, response->body_length);
	if (!cJSON_IsObject(question->answer) ||
	    !cJSON_GetObjectItemCaseSensitive(question->answer, "role")) {
		fprintf(stderr,
			"forerun status: what answers at %s is no forerun that tells its status "
			"(HTTP %d): is it another service, or an older version?\n",
			question->url, response->status);
		return;
	}
	question->body = strdup(response->body);
	question->good = question->body != NULL;
}

static int ask(struct question *question)
{
	struct http_request request = {.method = "GET",
				       .url = question->url,
				       .timeout_ms = ANSWER_WITHIN_MS,
				       .no_proxy = true};
	struct http_client *client = NULL;
	struct loop *loop = NULL;
	int r = loop_new(&loop);

	if (r == 0)
		r = http_client_new(loop, &client);
	if (r == 0)
		r = http_send(client, &request, on_answer, question, NULL);
	while (r == 0 && !question->done)
		loop_round(loop, -1);
	http_client_free(client);
	loop_free(loop);
	if (r < 0)
		fprintf(stderr, "forerun status: cannot ask %s: %s\n", question->url, strerror(-r));
	return r;
}

static unsigned output_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col;
	return STATUS_WIDTH;
}

int command_status(struct options *options)
{
	_cleanup_(question_free)
	struct question question = {.url = url_of(options)};
	_cleanup_text_ struct text text = {0};

	if (!question.url)
		return EXIT_USAGE;
	if (ask(&question) < 0 || !question.good)
		return EXIT_FAILED;
	if (options->json) {
		fputs(question.body, stdout);
		return EXIT_DONE;
	}
	status_print(question.answer, output_width(), &text);
	fwrite(text.data, 1, text.length, stdout);
	return EXIT_DONE;
}
