/* SPDX-License-Identifier: Apache-2.0 */
/* User data of any kind: TOML that is read is written so that it reads the same; a MIME archive
 * that is read is written so that it has as many parts. */
#include "cloud/private.h"
#include "cloud/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void toml_round(const char *text, size_t size)
{
	char problem[TOML_PROBLEM_SIZE];
	cJSON *tree = toml_read(text, size, problem), *again;
	_cleanup_text_ struct text written = {0};

	if (!tree != (*problem != '\0'))
		abort();
	if (!tree)
		return;
	toml_write(tree, &written);
	again = toml_read(written.data ? written.data : "", written.length, problem);
	if (!again || !cJSON_Compare(tree, again, true))
		abort();
	cJSON_Delete(tree);
	cJSON_Delete(again);
}

static void mime_round(const char *text)
{
	_cleanup_(mime_free)
	struct mime mime = {0}, again = {0};
	_cleanup_text_ struct text written = {0};
	char problem[USER_DATA_PROBLEM_SIZE] = "";

	if (mime_read(text, &mime, problem) < 0)
		return;
	mime_write(&mime, &written);
	if (mime.parts.count &&
	    (mime_read(written.data, &again, problem) < 0 || again.parts.count != mime.parts.count))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = strndup((const char *)data, size);
	struct kubelet kubelet = {0};
	struct cluster cluster = {"c", "https://e", "Y2E=", "10.0.0.0/16", NULL};
	struct user_data merged = {.given = text, .kubelet = &kubelet, .cluster = &cluster};
	char problem[USER_DATA_PROBLEM_SIZE];

	toml_round(text, strlen(text));
	mime_round(text);
	for (int family = AMI_AL2023; family <= AMI_WINDOWS2025; family++) {
		_cleanup_text_ struct text out = {0};

		merged.family = (enum ami_family)family;
		if ((user_data_make(&merged, &out, problem) < 0) != (*problem != '\0'))
			abort();
	}
	return 0;
}
