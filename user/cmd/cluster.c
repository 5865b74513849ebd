/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster that nodes join, as the options name it. */
#include <arpa/inet.h>

#include "cloud/cloud.h"
#include "cmd/cmd.h"

#define CIDR_MAX 64

static void expect(const struct options *options, const char *name, const char *found, bool good,
		   const char *expected, struct problems *problems)
{
	if (found && !good)
		problem_add(problems, option_where(options, name), "found \"%.100s\", expected %s",
			    found, expected);
}

static bool is_address(const char *text)
{
	unsigned char address[16];

	return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static bool is_cidr(const char *text)
{
	const char *slash = strchr(text, '/');
	char address[CIDR_MAX];
	uint64_t bits;

	if (!slash || (size_t)(slash - text) >= sizeof(address) ||
	    parse_u64(slash + 1, &bits) < 0 || bits > (strchr(text, ':') ? 128 : 32))
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
	return is_address(address);
}

/* In user data it stands between quotes. */
static bool is_endpoint(const char *text)
{
	return str_starts(text, "https://") && !text[strcspn(text, "'\" \t\r\n")];
}

static bool is_base64(const char *text)
{
	static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789+/";
	size_t length = strspn(text, LETTERS);

	return length && strlen(text) % 4 == 0 && strlen(text) - length <= 2 &&
	       text[length + strspn(text + length, "=")] == '\0';
}

void cluster_check(const struct options *options, struct problems *problems)
{
	const char *name = options->cluster_name;
	bool rest = options->cluster_endpoint || options->cluster_ca || options->cluster_cidr ||
		    options->cluster_dns;

	if (!name && rest)
		problem_add(problems, "--cluster-name",
			    "missing beside --cluster-endpoint, --cluster-ca, --cluster-cidr or "
			    "--cluster-dns, expected the name of the cluster");
	if (!name)
		return;
	expect(options, "cluster-name", name, name_valid(name, 100),
	       "the name of an EKS cluster: letters, digits, - and _", problems);
	expect(options, "cluster-endpoint", options->cluster_endpoint,
	       options->cluster_endpoint && is_endpoint(options->cluster_endpoint),
	       "an https:// URL", problems);
	expect(options, "cluster-ca", options->cluster_ca,
	       options->cluster_ca && is_base64(options->cluster_ca), "base64", problems);
	expect(options, "cluster-cidr", options->cluster_cidr,
	       options->cluster_cidr && is_cidr(options->cluster_cidr),
	       "addresses such as 172.20.0.0/16", problems);
	expect(options, "cluster-dns", options->cluster_dns,
	       options->cluster_dns && is_address(options->cluster_dns),
	       "an address such as 172.20.0.10", problems);
	if (!options->cluster_endpoint || !options->cluster_ca)
		problem_add(problems, option_where(options, "cluster-name"),
			    "needs --cluster-endpoint and --cluster-ca: `aws eks describe-cluster "
			    "--name %.100s` shows endpoint and certificateAuthority.data",
			    name);
}

void cluster_from_options(const struct options *options, struct cloud_config *config)
{
	config->cluster_name = options->cluster_name;
	config->cluster_endpoint = options->cluster_endpoint;
	config->cluster_ca = options->cluster_ca;
	config->cluster_cidr = options->cluster_cidr;
	config->cluster_dns = options->cluster_dns;
}
