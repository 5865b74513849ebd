/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small certificate authority for agents and cores: ECDSA P-256, X.509 version 3 (RFC 5280), all
 * as PEM text in memory. An agent's certificate is good for clients only and a core's for servers
 * only, so that no agent can pose as a core.
 */
#ifndef FORERUN_BASE_PKI_H
#define FORERUN_BASE_PKI_H

#include "base/base.h"

#define PKI_REASON_SIZE 160

enum pki_use { PKI_AGENT, PKI_CORE };

struct pki_pair {
	char *certificate, *key; /* PEM; freed by pki_pair_free() */
};

struct pki;

void pki_pair_free(struct pki_pair *pair);
/* A new authority, signed by itself. */
int pki_authority(const char *name, unsigned days, struct pki_pair *out,
		  char reason[PKI_REASON_SIZE]);
/* Opens an authority for issuing. -EINVAL with a reason when text or key is no good, or when they
 * do not belong together. */
int pki_open(const char *certificate, const char *key, struct pki **out,
	     char reason[PKI_REASON_SIZE]);
void pki_close(struct pki *pki);
/* A key and a certificate for these names, at least one: a text that is an IP address becomes one,
 * any other a DNS name. It ends with the authority at the latest. */
int pki_issue(const struct pki *pki, enum pki_use use, const char *const *names, size_t count,
	      unsigned days, struct pki_pair *out, char reason[PKI_REASON_SIZE]);
/* The first name of that certificate, NULL when it has none or is none; freed by the caller. */
char *pki_name_of(const char *certificate);

#endif
