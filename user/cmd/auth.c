/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of agents and cores, as the options say. What is in the files is checked where they are
 * read. */
#include "cmd/run.h"

static const char *where_of(const struct options *options, const char *name, const char *flag)
{
	const char *where = option_where(options, name);

	return where ? where : flag;
}

static void check_certificates(const struct options *options, struct problems *problems)
{
	const struct {
		const char *flag, *value;
	} all[] = {
		{"--ca", options->ca}, {"--cert", options->certificate}, {"--key", options->key}};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!all[i].value)
			problem_add(problems, all[i].flag,
				    "found nothing, expected --ca, --cert and --key together");
}

void auth_from_options(const struct options *options, struct wire_auth *auth,
		       struct problems *problems)
{
	const char *own = options->ca		 ? where_of(options, "ca", "--ca")
			  : options->certificate ? where_of(options, "cert", "--cert")
			  : options->key	 ? where_of(options, "key", "--key")
						 : NULL;

	if (own && options->shared_key)
		problem_add(problems, where_of(options, "shared-key", "--shared-key"),
			    "found together with %s, expected either a shared key or certificates",
			    own);
	else if (own)
		check_certificates(options, problems);
	else if (!options->shared_key)
		problem_add(problems, "--shared-key",
			    "found neither it nor --ca, --cert and --key, expected one of these "
			    "ways to be known: forerun core init makes the files");
	*auth = (struct wire_auth){options->ca, options->certificate, options->key,
				   options->shared_key};
}
