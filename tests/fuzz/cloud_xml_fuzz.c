/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of EC2, STS and error bodies. The first byte chooses the reader. */
#include "cloud/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_fleet(const char *body, size_t length)
{
	struct launch_result result = {0};
	int r = fleet_response(body, length, &result);

	if (r < 0 && (result.instances.count || result.failures.count))
		abort();
	if (r == 0 && !*result.fleet_id)
		abort();
	vec_for_each (instance, &result.instances)
		if (!str_starts(instance->id, "i-"))
			abort();
	launch_result_free(&result);
}

static void on_type(void *arg, const char *path, const char *text)
{
	static const char item[] = "instanceTypeSet/item";
	struct type_reader *reader = arg;
	struct instance_type type;

	if (!str_starts(path, item))
		return;
	path += sizeof(item) - 1;
	if (*path)
		type_element(reader, path, text);
	else if (type_end(reader, &type) && (!*type.name || !type.vcpus))
		abort();
}

static void read_types(const char *body, size_t length)
{
	struct type_reader reader = {0};
	char root[XML_NAME_SIZE];

	xml_read(body, length, on_type, &reader, root);
}

static void read_group(const char *body, size_t length)
{
	struct group_view view = {0};

	if (group_read(body, length, &view) == 0 && view.members.count > length / 9)
		abort(); /* "</member>" */
	vec_free(&view.members);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct answer answer = {0};
	struct credentials credentials;
	char *body;

	if (!size)
		return 0;
	body = strndup((const char *)data + 1, size - 1);
	switch (data[0] % 8) {
	case 0:
		read_fleet(body, strlen(body));
		break;
	case 1:
		error_read(body, strlen(body), &answer);
		if (strpbrk(answer.code, "\n\r\x1b") || strpbrk(answer.message, "\n\r\x1b"))
			abort();
		break;
	case 2:
		read_types(body, strlen(body));
		break;
	case 4:
		read_group(body, strlen(body));
		break;
	default:
		if (credentials_parse_sts(body, strlen(body), &credentials) == 0)
			credentials_free(&credentials);
	}
	free(body);
	return 0;
}
