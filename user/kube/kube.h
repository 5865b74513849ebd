/* SPDX-License-Identifier: Apache-2.0 */
/* The Kubernetes API, as far as one host needs it: where it is, who we are, its version (which
 * chooses the EKS image). */
#ifndef FORERUN_KUBE_KUBE_H
#define FORERUN_KUBE_KUBE_H

#include "base/http.h"

struct kube;

struct kube_config {
	/* NULL: KUBERNETES_SERVICE_HOST and _PORT, /var/run/secrets/kubernetes.io/serviceaccount.
	 */
	const char *host, *port, *account_path;
};

/* -ENOENT: not in a cluster (no environment, no token). */
int kube_new(struct http_client *http, const struct kube_config *config, struct kube **out);
void kube_free(struct kube *kube);

/* GET of that path with the bearer token (read again when it is older than a minute, dropped on
 * 401). done gets the HTTP response. */
int kube_get(struct kube *kube, const char *path, http_done_fn done, void *arg);

/* The server's version as "1.34"; version is NULL when it could not be read, and error says why. */
int kube_server_version(struct kube *kube,
			void (*done)(void *arg, const char *version, const char *error), void *arg);

#endif
