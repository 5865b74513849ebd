/* SPDX-License-Identifier: Apache-2.0 */
/* Against a real HTTPS server (kube_api_server.py) that checks the token of every request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libgen.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "kube/kube.h"

struct world {
	char directory[64];
	const char *host;
	char port[16];
	pid_t server;
	int server_stdin;
	struct loop *loop;
	struct http_client *http;
	struct kube *kube;
	struct text log;

	int answers, status, error;
	char *body, *text, *version;
	bool free_kube;
};

static void keep_log(void *arg, enum log_level level, const char *line)
{
	(void)level;
	text_add(arg, line);
}

static void put(const struct world *world, const char *name, const char *content)
{
	_cleanup_free_ char *path = str_printf("%s/%s", world->directory, name);

	assert_int_equal(file_write_atomic(path, content, strlen(content), 0600), 0);
}

static void take_away(const struct world *world, const char *name)
{
	_cleanup_free_ char *path = str_printf("%s/%s", world->directory, name);

	unlink(path);
}

static void run_server(const struct world *world, const int in[2], const int out[2])
{
	char here[] = __FILE__;
	char *script = str_printf("%s/kube_api_server.py", dirname(here));

	dup2(in[0], 0);
	dup2(out[1], 1);
	close(in[1]);
	close(out[0]);
	execlp("python3", "python3", script, world->directory, world->host, NULL);
	_exit(127);
}

static void start_server(struct world *world)
{
	int in[2], out[2];
	FILE *said;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	world->server = fork();
	if (world->server == 0)
		run_server(world, in, out);
	close(in[0]);
	close(out[1]);
	world->server_stdin = in[1];
	said = fdopen(out[0], "r");
	assert_non_null(fgets(world->port, sizeof(world->port), said));
	world->port[strcspn(world->port, "\n")] = '\0';
	fclose(said);
}

static int setup_at(void **state, const char *host)
{
	struct world *world = calloc(1, sizeof(*world));

	*state = world;
	world->host = host;
	strcpy(world->directory, "/tmp/forerun-test-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	put(world, "token", "first-token\n");
	put(world, "accepted", "first-token");
	put(world, "version", "[200, {\"major\": \"1\", \"minor\": \"34+\"}]");
	text_add(&world->log, "");
	log_set_sink(keep_log, &world->log);
	start_server(world);
	assert_int_equal(loop_new(&world->loop), 0);
	assert_int_equal(http_client_new(world->loop, &world->http), 0);
	return 0;
}

static int setup(void **state)
{
	return setup_at(state, "127.0.0.1");
}

static int setup_ipv6(void **state)
{
	return setup_at(state, "::1");
}

static int teardown(void **state)
{
	static const char *const files[] = {"token",  "accepted",  "version",
					    "ca.crt", "other.crt", "key.pem"};
	struct world *world = *state;

	kube_free(world->kube);
	http_client_free(world->http);
	loop_free(world->loop);
	close(world->server_stdin);
	waitpid(world->server, NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		take_away(world, files[i]);
	assert_int_equal(rmdir(world->directory), 0);
	log_set_sink(NULL, NULL);
	text_free(&world->log);
	free(world->body);
	free(world->text);
	free(world->version);
	free(world);
	return 0;
}

static void open_kube(struct world *world, uint32_t token_age_ms_max)
{
	struct kube_config config = {.host = world->host,
				     .port = world->port,
				     .account_path = world->directory,
				     .token_age_ms_max = token_age_ms_max};

	assert_int_equal(kube_new(world->http, &config, &world->kube), 0);
}

static void wait_answers(struct world *world, int answers)
{
	for (int i = 0; i < 1000 && world->answers < answers; i++)
		assert_int_equal(loop_round(world->loop, 20), 0);
	assert_int_equal(world->answers, answers);
}

static void on_response(void *arg, const struct http_response *response)
{
	struct world *world = arg;

	free(world->body);
	free(world->text);
	world->answers++;
	/* Through TLS, too, it is known when the request was out. */
	assert_int_equal(response->request_sent, response->status != 0);
	assert_int_equal(response->sent_ns != 0, response->request_sent);
	world->status = response->status;
	world->error = response->error;
	world->body = strdup(response->body);
	world->text = strdup(response->error_text);
	if (world->free_kube) {
		kube_free(world->kube);
		world->kube = NULL;
	}
}

static void on_version(void *arg, const char *version, const char *error)
{
	struct world *world = arg;

	free(world->version);
	free(world->text);
	world->answers++;
	assert_int_equal(version != NULL, error == NULL);
	world->version = version ? strdup(version) : NULL;
	world->text = strdup(error ? error : "");
}

static void get(struct world *world, const char *path)
{
	int before = world->answers;

	assert_int_equal(kube_get(world->kube, path, on_response, world), 0);
	wait_answers(world, before + 1);
}

static void ask_version(struct world *world)
{
	int before = world->answers;

	assert_int_equal(kube_server_version(world->kube, on_version, world), 0);
	wait_answers(world, before + 1);
}

static void a_get_carries_the_token_over_trusted_tls(void **state)
{
	struct world *world = *state;
	_cleanup_free_ char *host = NULL;

	open_kube(world, 0);
	get(world, "/api/v1/nodes?limit=500");
	assert_string_equal(world->text, "");
	assert_int_equal(world->status, 200);
	assert_non_null(strstr(world->body, "\"path\": \"/api/v1/nodes?limit=500\""));
	assert_non_null(strstr(world->body, "\"token\": \"first-token\""));
	host = str_printf(strchr(world->host, ':') ? "\"host\": \"[%s]:%s\""
						   : "\"host\": \"%s:%s\"",
			  world->host, world->port);
	assert_non_null(strstr(world->body, host));
	assert_int_equal(kube_get(world->kube, "api", on_response, world), -EINVAL);
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
	struct world *world = *state;

	_cleanup_free_ char *ours = str_printf("%s/ca.crt", world->directory);
	_cleanup_free_ char *other = str_printf("%s/other.crt", world->directory);

	assert_int_equal(rename(other, ours), 0);
	open_kube(world, 0);
	get(world, "/version");
	assert_int_equal(world->error, -EKEYREJECTED);
	assert_non_null(strstr(world->text, "is not trusted"));
	assert_int_equal(world->status, 0);
}

static void a_rotated_token_is_used_when_the_old_one_is_old(void **state)
{
	struct world *world = *state;

	open_kube(world, 1);
	get(world, "/a");
	assert_int_equal(world->status, 200);
	put(world, "accepted", "second-token");
	put(world, "token", "second-token");
	usleep(2000);
	get(world, "/b");
	assert_int_equal(world->status, 200);
	assert_non_null(strstr(world->body, "second-token"));
	/* The file is gone for a moment: the token that is known goes on. */
	take_away(world, "token");
	usleep(2000);
	get(world, "/c");
	assert_int_equal(world->status, 200);
	assert_non_null(strstr(world->log.data, "the old one is used"));
}

static void a_token_is_kept_until_it_is_refused(void **state)
{
	struct world *world = *state;

	open_kube(world, 0);
	put(world, "token", "second-token");
	get(world, "/a");
	assert_int_equal(world->status, 200);
	put(world, "accepted", "second-token");
	get(world, "/b");
	assert_int_equal(world->status, 401);
	get(world, "/c");
	assert_int_equal(world->status, 200);
	/* Refused, and no other to be had. */
	put(world, "accepted", "third-token");
	take_away(world, "token");
	get(world, "/d");
	assert_int_equal(world->status, 401);
	assert_int_equal(kube_get(world->kube, "/e", on_response, world), -ENOENT);
}

static void the_version_is_major_and_minor_without_a_plus(void **state)
{
	static const struct {
		const char *answer, *version, *says;
	} cases[] = {
		{"[200, {\"major\": \"1\", \"minor\": \"34+\"}]", "1.34", ""},
		{"[200, {\"major\": \"1\", \"minor\": \"31\"}]", "1.31", ""},
		{"[200, {\"major\": \"1\"}]", NULL, "has no \"major\" and \"minor\""},
		{"[200, {\"major\": \"1\", \"minor\": \"x\"}]", NULL, "has no \"major\""},
		{"[200, {\"major\": \"1/\", \"minor\": \"3\"}]", NULL, "has no \"major\""},
		{"[200, {\"major\": 1, \"minor\": 3}]", NULL, "has no \"major\""},
		{"[200, {\"major\": \"11111\", \"minor\": \"3\"}]", NULL, "has no \"major\""},
		{"[200, [1]]", NULL, "has no \"major\""},
		{"[200, \"<html>\"]", NULL, "has no \"major\""},
		{"[200, \"\"]", NULL, "has no \"major\""},
		{"[403, {\"message\": \"forbidden: no\"}]", NULL, "answered 403: forbidden: no"},
		{"[503, \"<html>\"]", NULL, "the API server answered 503"},
	};
	struct world *world = *state;

	open_kube(world, 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(world, "version", cases[i].answer);
		ask_version(world);
		if (cases[i].version)
			assert_string_equal(world->version, cases[i].version);
		else
			assert_null(world->version);
		assert_non_null(strstr(world->text, cases[i].says));
	}
}

static void outside_of_a_cluster_there_is_none(void **state)
{
	struct world *world = *state;
	struct kube_config nowhere = {.host = "127.0.0.1",
				      .port = "1",
				      .account_path = "/nonexistent"},
			   closed = {.host = "127.0.0.1",
				     .port = "1",
				     .account_path = world->directory};

	unsetenv("KUBERNETES_SERVICE_HOST");
	assert_int_equal(kube_new(world->http, NULL, &world->kube), -ENOENT);
	assert_int_equal(kube_new(world->http, &nowhere, &world->kube), -ENOENT);
	put(world, "token", "two\nlines");
	assert_int_equal(kube_new(world->http, &closed, &world->kube), -EINVAL);
	put(world, "token", " \n");
	assert_int_equal(kube_new(world->http, &closed, &world->kube), -EINVAL);
	put(world, "token", "t");
	setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "1", 1);
	closed.host = closed.port = NULL;
	assert_int_equal(kube_new(world->http, &closed, &world->kube), 0);
	ask_version(world);
	assert_string_equal(world->text, "could not read the Kubernetes version: could not connect "
					 "to 127.0.0.1:1: connection refused");
}

static void it_can_be_freed_at_any_time(void **state)
{
	struct world *world = *state;

	open_kube(world, 0);
	assert_int_equal(kube_get(world->kube, "/a", on_response, world), 0);
	assert_int_equal(kube_server_version(world->kube, on_version, world), 0);
	kube_free(TAKE(world->kube));
	for (int i = 0; i < 20; i++)
		loop_round(world->loop, 5);
	assert_int_equal(world->answers, 0);
	open_kube(world, 0);
	world->free_kube = true;
	get(world, "/b");
	assert_null(world->kube);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_get_carries_the_token_over_trusted_tls),
		{"a_get_carries_the_token_over_trusted_tls_ipv6",
		 a_get_carries_the_token_over_trusted_tls, setup_ipv6, teardown, NULL},
		TEST(a_certificate_of_another_authority_is_refused),
		TEST(a_rotated_token_is_used_when_the_old_one_is_old),
		TEST(a_token_is_kept_until_it_is_refused),
		TEST(the_version_is_major_and_minor_without_a_plus),
		TEST(outside_of_a_cluster_there_is_none),
		TEST(it_can_be_freed_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
