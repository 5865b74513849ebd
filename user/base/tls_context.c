/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates of one side, read and checked before anything uses them. */
#include "base/tls_private.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "base/log.h"

#define KEY_FILE_BYTES 4096
#define CHAIN_BYTES_MAX (32 << 10) /* of certificates that the other side shows */
/* AES-128-GCM is the quickest where the processor knows AES, ChaCha20 elsewhere. A shared key is
 * bound to SHA-256, so both sides need a suite with it. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256"

static _printf_(3, 4) int say(char reason[TLS_REASON_SIZE], int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, TLS_REASON_SIZE, format, args);
	va_end(args);
	return error;
}

static int say_library(char reason[TLS_REASON_SIZE], const char *what, const char *file)
{
	return say(reason, -EINVAL, "%s %s: %s", what, file, tls_library_error());
}

static int check_readable(const char *what, const char *file, char reason[TLS_REASON_SIZE])
{
	_cleanup_file_ FILE *open = fopen(file, "re");

	if (!open) {
		int error = errno;

		return say(reason, -error, "cannot read the %s %s: %s", what, file,
			   strerror(error));
	}
	return 0;
}

/* ---- certificates ---- */

/* The other side would refuse it, and only say so in its own log. */
static int check_dates(SSL_CTX *ssl, const char *file, char reason[TLS_REASON_SIZE])
{
	const X509 *certificate = SSL_CTX_get0_certificate(ssl);

	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		return say(reason, -EINVAL, "the certificate %s has expired", file);
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		return say(reason, -EINVAL, "the certificate %s is not valid yet", file);
	return 0;
}

static int use_certificates(SSL_CTX *ssl, const struct tls_config *config,
			    char reason[TLS_REASON_SIZE])
{
	int r;

	r = check_readable("CA's certificate", config->ca_file, reason);
	if (r >= 0)
		r = check_readable("certificate", config->certificate_file, reason);
	if (r >= 0)
		r = check_readable("key", config->key_file, reason);
	if (r < 0)
		return r;
	if (SSL_CTX_load_verify_file(ssl, config->ca_file) != 1)
		return say_library(reason, "no CA's certificate in", config->ca_file);
	if (SSL_CTX_use_certificate_chain_file(ssl, config->certificate_file) != 1)
		return say_library(reason, "no certificate in", config->certificate_file);
	if (SSL_CTX_use_PrivateKey_file(ssl, config->key_file, SSL_FILETYPE_PEM) != 1)
		return say_library(reason, "no key for the certificate in", config->key_file);
	if (SSL_CTX_check_private_key(ssl) != 1)
		return say_library(reason, "not the certificate's key:", config->key_file);
	return check_dates(ssl, config->certificate_file, reason);
}

/* ---- a shared key ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_hex(const char *text, uint8_t key[TLS_KEY_BYTES])
{
	for (size_t i = 0; i < TLS_KEY_BYTES; i++) {
		int high = hex_digit(text[2 * i]);
		int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return -EINVAL;
		key[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int use_shared_key(struct tls_context *context, const char *file,
			  char reason[TLS_REASON_SIZE])
{
	_cleanup_free_ char *text = NULL;
	struct stat about;
	size_t length;
	int r;

	r = file_read(file, KEY_FILE_BYTES, &text, &length);
	if (r < 0)
		return say(reason, r, "cannot read the shared key %s: %s", file, strerror(-r));
	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	r = length == (size_t)2 * TLS_KEY_BYTES ? read_hex(text, context->key) : -EINVAL;
	OPENSSL_cleanse(text, strlen(text));
	if (r < 0)
		return say(reason, r, "%s: one line of %d hex digits is expected", file,
			   2 * TLS_KEY_BYTES);
	if (stat(file, &about) == 0 && about.st_mode & 0007)
		log_warning("everybody on this host can read the shared key %s: chmod 600", file);
	if (context->server)
		SSL_CTX_set_psk_find_session_callback(context->ssl, tls_shared_key_find);
	else
		SSL_CTX_set_psk_use_session_callback(context->ssl, tls_shared_key_use);
	return 0;
}

/* ---- settings ---- */

/* Connections live for days, so nothing is kept to resume them; what is idle holds no buffers. */
static int set_up(SSL_CTX *ssl, bool server, bool shared)
{
	int verify = SSL_VERIFY_PEER | (server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);

	/* A server under a shared key has no certificate and asks for none. */
	if (server && shared)
		verify = SSL_VERIFY_NONE;
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
					 SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_max_cert_list(ssl, CHAIN_BYTES_MAX);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_info_callback(ssl, tls_note_alert);
	SSL_CTX_set_verify(ssl, verify, NULL);
	if (SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ssl, SUITES) != 1 ||
	    SSL_CTX_set1_groups_list(ssl, GROUPS) != 1 || SSL_CTX_set_num_tickets(ssl, 0) != 1)
		return -EINVAL;
	return 0;
}

static int fill(struct tls_context *context, const struct tls_config *config,
		char reason[TLS_REASON_SIZE])
{
	context->ssl = SSL_CTX_new(config->server ? TLS_server_method() : TLS_client_method());
	context->transport = tls_transport_new();
	if (!context->ssl || !context->transport)
		return say(reason, -ENOMEM, "no memory for TLS");
	if (set_up(context->ssl, config->server, context->shared) < 0)
		return say(reason, -EINVAL, "OpenSSL here lacks what TLS 1.3 needs: %s",
			   tls_library_error());
	if (context->shared)
		return use_shared_key(context, config->shared_key_file, reason);
	return use_certificates(context->ssl, config, reason);
}

int tls_context_new(const struct tls_config *config, struct tls_context **out,
		    char reason[TLS_REASON_SIZE])
{
	bool shared = config->shared_key_file && *config->shared_key_file;
	bool some = config->ca_file || config->certificate_file || config->key_file;
	bool all = config->ca_file && config->certificate_file && config->key_file;
	struct tls_context *context;
	int r;

	if (shared == some || some != all)
		return say(reason, -EINVAL,
			   "either a CA's certificate, a certificate and its key are needed, or a "
			   "shared key alone");
	context = calloc(1, sizeof(*context));
	if (!context)
		return say(reason, -ENOMEM, "no memory for TLS");
	context->references = 1;
	context->server = config->server;
	context->shared = shared;
	ERR_clear_error();
	r = fill(context, config, reason);
	if (r < 0) {
		tls_context_unref(context);
		return r;
	}
	*out = context;
	return 0;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	context->references++;
	return context;
}

void tls_context_unref(struct tls_context *context)
{
	if (!context || --context->references)
		return;
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->transport);
	EVP_PKEY_free(context->no_key);
	OPENSSL_cleanse(context->key, sizeof(context->key));
	free(context);
}
