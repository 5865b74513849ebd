/* SPDX-License-Identifier: Apache-2.0 */
/* Paginated describes. An empty page may have a token: the end is where there is none. */
#include "cloud/private.h"

#define PAGES_MAX 1000
#define TOKEN_BYTES_MAX 4096

struct describe {
	struct cloud *cloud;
	enum service service;
	char *query;
	unsigned flags;
	xml_fn on_element;
	call_fn done;
	void *arg;
	char token[TOKEN_BYTES_MAX];
	unsigned pages;
};

void form_add(struct text *form, const char *value, const char *key_format, ...)
{
	char key[160];
	va_list args;

	va_start(args, key_format);
	vsnprintf(key, sizeof(key), key_format, args);
	va_end(args);
	if (form->length)
		text_add_char(form, '&');
	text_add(form, key);
	text_add_char(form, '=');
	text_add_form(form, value);
}

void form_begin(struct text *form, const char *action)
{
	form_add(form, action, "Action");
	form_add(form, "2016-11-15", "Version");
}

static void describe_free(void *arg)
{
	struct describe *describe = arg;

	free(describe->query);
	free(describe);
}

static void on_element(void *arg, const char *path, const char *text)
{
	struct describe *describe = arg;
	bool marker = describe->service == SERVICE_IAM && str_ends(path, "Result/Marker");

	if (strcmp(path, "nextToken") == 0 || marker)
		snprintf(describe->token, sizeof(describe->token), "%s", text);
	else
		describe->on_element(describe->arg, path, text);
}

static void ask_page(struct describe *describe);

static void on_page(void *arg, const struct answer *answer)
{
	struct describe *describe = arg;
	char root[XML_NAME_SIZE];

	describe->token[0] = '\0';
	if (!answer->error) /* known to be well-formed: CALL_XML */
		xml_read(answer->body, answer->length, on_element, describe, root);
	if (!answer->error && describe->token[0] && ++describe->pages < PAGES_MAX) {
		ask_page(describe);
		return;
	}
	describe->done(describe->arg, answer);
	describe_free(describe);
}

static void ask_page(struct describe *describe)
{
	_cleanup_text_ struct text body = {0};

	text_add(&body, describe->query);
	if (describe->token[0])
		form_add(&body, describe->token,
			 describe->service == SERVICE_IAM ? "Marker" : "NextToken");
	call_send(describe->cloud, &(struct call_request){
					   .service = describe->service,
					   .body = body.data,
					   .flags = describe->flags | CALL_XML,
					   .done = on_page,
					   .drop = describe_free,
					   .arg = describe,
				   });
}

void describe_send(struct cloud *cloud, const struct describe_request *request)
{
	struct describe *describe = calloc(1, sizeof(*describe));

	if (!describe)
		abort();
	*describe = (struct describe){
		.cloud = cloud,
		.service = request->service,
		.query = strdup(request->query),
		.flags = request->flags,
		.on_element = request->on_element,
		.done = request->done,
		.arg = request->arg,
	};
	if (!describe->query)
		abort();
	ask_page(describe);
}
