/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, in the words of who has to repair it. */
#include "base/tls_private.h"

#include <openssl/err.h>
#include <openssl/x509.h>

/* RFC 8446, 6.2: what the other side held against us, and what to look at. */
static const struct {
	uint8_t alert;
	const char *text;
} alerts[] = {
	{SSL3_AD_BAD_CERTIFICATE,
	 "our certificate is no good, or is for another name than the one that was dialled"},
	{SSL3_AD_UNSUPPORTED_CERTIFICATE, "our certificate is not made for this use"},
	{SSL3_AD_CERTIFICATE_REVOKED, "our certificate is revoked"},
	{SSL3_AD_CERTIFICATE_EXPIRED, "our certificate has expired"},
	{SSL3_AD_CERTIFICATE_UNKNOWN, "our certificate is not accepted"},
	{TLS1_AD_UNKNOWN_CA, "our certificate is not from a CA that it trusts"},
	{TLS1_AD_DECRYPT_ERROR, "our shared key is another one than its own"},
	{SSL3_AD_ILLEGAL_PARAMETER,
	 "our shared key is another one than its own"}, /* OpenSSL's word */
	{TLS1_AD_PROTOCOL_VERSION, "it does not speak TLS 1.3"},
	{TLS13_AD_CERTIFICATE_REQUIRED, "it wants a certificate"},
	{TLS1_AD_UNKNOWN_PSK_IDENTITY, "it does not know our shared key"},
	{SSL3_AD_HANDSHAKE_FAILURE, "it finds nothing that both can do (certificates on one side, "
				    "a shared key on the other?)"},
	{TLS13_AD_MISSING_EXTENSION, "it finds nothing that both can do (certificates on one side, "
				     "a shared key on the other?)"},
};

const char *tls_library_error(void)
{
	unsigned long error = ERR_peek_error();
	const char *text = error ? ERR_reason_error_string(error) : "";

	ERR_clear_error();
	return text ? text : "unknown error of OpenSSL";
}

static const char *alert_text(uint8_t alert)
{
	for (size_t i = 0; i < ARRAY_SIZE(alerts); i++)
		if (alerts[i].alert == alert)
			return alerts[i].text;
	return SSL_alert_desc_string_long(alert);
}

void tls_stream_reason(const struct tls_stream *stream, char reason[TLS_REASON_SIZE])
{
	long verified = SSL_get_verify_result(stream->ssl);
	unsigned long error = ERR_peek_error();

	if (stream->alert)
		snprintf(reason, TLS_REASON_SIZE, "the other side refused: %s",
			 alert_text(stream->alert));
	else if (verified != X509_V_OK)
		snprintf(reason, TLS_REASON_SIZE, "the other side's certificate is refused: %s",
			 X509_verify_cert_error_string(verified));
	else if (error && ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		snprintf(reason, TLS_REASON_SIZE, "the other side shows no certificate");
	else if (error && (ERR_GET_REASON(error) == SSL_R_BINDER_DOES_NOT_VERIFY ||
			   ERR_GET_REASON(error) == SSL_R_BAD_PSK))
		snprintf(reason, TLS_REASON_SIZE, "the other side's shared key is another one");
	else if (error)
		snprintf(reason, TLS_REASON_SIZE, "TLS: %s", tls_library_error());
	else if (stream->error)
		snprintf(reason, TLS_REASON_SIZE, "%s", strerror(stream->error));
	else
		snprintf(reason, TLS_REASON_SIZE, "the other side closed the connection");
	ERR_clear_error();
}
