/* SPDX-License-Identifier: Apache-2.0 */
/* External PSK of TLS 1.3 (RFC 8446, 4.2.11), always with ECDHE: who learns the key later still
 * cannot read what was said before. */
#include "base/tls_private.h"

static SSL_SESSION *session_of(SSL *ssl, const uint8_t key[TLS_KEY_BYTES])
{
	/* RFC 8446, 4.2.11: an external key goes with SHA-256 unless it says otherwise. */
	static const unsigned char suite[] = {0x13, 0x01};
	SSL_SESSION *session = SSL_SESSION_new();

	if (session && SSL_SESSION_set1_master_key(session, key, TLS_KEY_BYTES) == 1 &&
	    SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite)) == 1 &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

int tls_shared_key_use(SSL *ssl, const EVP_MD *digest, const unsigned char **identity,
		       size_t *length, SSL_SESSION **session)
{
	const struct tls_stream *stream = SSL_get_app_data(ssl);

	*session = NULL;
	*identity = NULL;
	*length = 0;
	if (digest && EVP_MD_get_type(digest) != NID_sha256)
		return 1;
	*session = session_of(ssl, stream->context->key);
	if (!*session)
		return 0;
	*identity = (const unsigned char *)stream->identity;
	*length = strlen(stream->identity);
	return 1;
}

int tls_shared_key_find(SSL *ssl, const unsigned char *identity, size_t length,
			SSL_SESSION **session)
{
	struct tls_stream *stream = SSL_get_app_data(ssl);

	*session = NULL;
	if (!length || length >= TLS_NAME_SIZE || memchr(identity, '\0', length))
		return 1;
	free(stream->identity);
	stream->identity = strndup((const char *)identity, length);
	if (!stream->identity)
		return 0;
	*session = session_of(ssl, stream->context->key);
	return *session != NULL;
}
