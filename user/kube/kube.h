/* SPDX-License-Identifier: Apache-2.0 */
/* The Kubernetes API, as far as one host needs it: where it is, who we are, its version (which
 * chooses the EKS image). */
#ifndef FORERUN_KUBE_KUBE_H
#define FORERUN_KUBE_KUBE_H

#include "base/http.h"

struct kube;

struct kube_config {
	/* NULL: KUBERNETES_SERVICE_HOST, _PORT, /var/run/secrets/kubernetes.io/serviceaccount */
	const char *host, *port, *account_path;
	uint32_t token_age_ms_max; /* the token is read again when it is older; 0: 60,000 */
};

/* -ENOENT: not in a cluster (no environment, no token). config may be NULL. */
int kube_new(struct http_client *http, const struct kube_config *config, struct kube **out);
/* Ends what is under way, without calling back. Before http_client_free(). */
void kube_free(struct kube *kube);

/* GET of that path with the bearer token (read again when it is older than a minute, dropped on
 * 401; while the file cannot be read the old one is used). done gets the HTTP response. */
int kube_get(struct kube *kube, const char *path, http_done_fn done, void *arg);

/* The server's version as "1.34"; version is NULL when it could not be read, and error says why. */
typedef void (*kube_version_fn)(void *arg, const char *version, const char *error);
int kube_server_version(struct kube *kube, kube_version_fn done, void *arg);

#endif
