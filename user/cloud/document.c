/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signed instance identity document: AWS says which instance a host is. The agent fetches it
 * from IMDS (the signature "rsa2048", PKCS #7 with the document inside), the core checks it against
 * the certificates that AWS publishes ("Verify the identity document", EC2 User Guide).
 */
#include "cloud/private.h"

#include <cjson/cJSON.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#define DOCUMENT_BYTES_MAX ((size_t)16 << 10)
#define CERTIFICATES_BYTES_MAX ((size_t)1 << 20)

#define _cleanup_pkcs7_ _cleanup_(free_pkcs7)
#define _cleanup_bio_ _cleanup_(free_bio)
#define _cleanup_json_ _cleanup_(free_json)
#define _cleanup_signers_ _cleanup_(free_signers)

static void free_pkcs7(PKCS7 **message)
{
	PKCS7_free(*message);
}

static void free_bio(BIO **bio)
{
	BIO_free(*bio);
}

static void free_json(cJSON **json)
{
	cJSON_Delete(*json);
}

static void free_signers(STACK_OF(X509) * *signers)
{
	sk_X509_free(*signers);
}

static _printf_(2, 3) int refuse(char reason[128], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, 128, format, args);
	va_end(args);
	ERR_clear_error();
	return -EKEYREJECTED;
}

/* ---- the signature ---- */

/* Base64 in lines, with or without PEM's first and last line. */
static PKCS7 *read_message(const char *text)
{
	_cleanup_free_ unsigned char *bytes = NULL;
	_cleanup_free_ char *plain = malloc(strlen(text) + 1);
	const unsigned char *at;
	size_t length = 0;
	int size;

	if (!plain)
		return NULL;
	while (*text) {
		size_t line = strcspn(text, "\r\n");

		if (!str_starts(text, "-----"))
			for (size_t i = 0; i < line; i++)
				plain[length++] = text[i];
		text += line + (text[line] != '\0');
	}
	plain[length] = '\0';
	bytes = malloc(length + 1);
	size = bytes ? EVP_DecodeBlock(bytes, (unsigned char *)plain, (int)length) : -1;
	for (size_t i = length; size > 0 && i && plain[i - 1] == '='; i--)
		size--;
	at = bytes;
	return size > 0 ? d2i_PKCS7(NULL, &at, size) : NULL;
}

/* A line break at the end may get lost on the way. */
static bool same_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
	while (a_length && strchr("\r\n", a[a_length - 1]))
		a_length--;
	while (b_length && strchr("\r\n", b[b_length - 1]))
		b_length--;
	return a_length == b_length && memcmp(a, b, a_length) == 0;
}

static int check_content(PKCS7 *message, const char *document, struct stack_st_X509 *certificates,
			 char reason[128])
{
	/* Only those certificates count, not one that comes with the message; they are trusted by
	 * themselves, so that there is no chain. */
	int flags = PKCS7_NOVERIFY | PKCS7_NOINTERN | PKCS7_BINARY;
	bool detached = PKCS7_get_detached(message);
	_cleanup_bio_ BIO *given = detached ? BIO_new_mem_buf(document, -1) : NULL;
	_cleanup_bio_ BIO *signed_text = BIO_new(BIO_s_mem());
	_cleanup_signers_ STACK_OF(X509) *signers = NULL;
	char *text = NULL;
	long length;

	if (!signed_text || (detached && !given))
		return -ENOMEM;
	signers = PKCS7_get0_signers(message, certificates, PKCS7_NOINTERN);
	if (!signers)
		return refuse(reason, "the signature is by none of the certificates that are "
				      "trusted");
	if (PKCS7_verify(message, certificates, NULL, given, signed_text, flags) != 1)
		return refuse(reason, "the signature does not fit the document");
	length = BIO_get_mem_data(signed_text, &text);
	if (length <= 0 || !same_text(text, (size_t)length, document, strlen(document)))
		return refuse(reason, "the signature is of another document");
	return 0;
}

static int read_document(const char *document, char instance_id[32], char reason[128])
{
	_cleanup_json_ cJSON *json = cJSON_Parse(document);
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "instanceId"));
	const char *region = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "region"));

	if (!id || !is_instance_id(id) || !region || !is_region(region))
		return refuse(reason, "the document names no instance and region");
	fit_text(instance_id, 32, id);
	return 0;
}

/* AWS signs with SHA-256. One digest that is known: over others, and over several, PKCS7_verify()
 * of OpenSSL 3.0 leaks memory. */
static bool is_signed_once(const PKCS7 *message)
{
	int digest;

	if (!message || !PKCS7_type_is_signed(message) || !message->d.sign ||
	    !message->d.sign->contents || sk_X509_ALGOR_num(message->d.sign->md_algs) != 1 ||
	    sk_PKCS7_SIGNER_INFO_num(message->d.sign->signer_info) != 1)
		return false;
	digest = OBJ_obj2nid(sk_X509_ALGOR_value(message->d.sign->md_algs, 0)->algorithm);
	return digest == NID_sha256 || digest == NID_sha384 || digest == NID_sha512;
}

int document_check(const char *document, const char *pkcs7, struct stack_st_X509 *certificates,
		   char instance_id[32], char reason[128])
{
	_cleanup_pkcs7_ PKCS7 *message = NULL;
	int r;

	instance_id[0] = '\0';
	if (!*document || !*pkcs7)
		return refuse(reason, "no identity document was given");
	if (strlen(document) > DOCUMENT_BYTES_MAX || strlen(pkcs7) > DOCUMENT_BYTES_MAX)
		return refuse(reason, "the identity document is too large");
	message = read_message(pkcs7);
	if (!is_signed_once(message))
		return refuse(reason,
			      "the signature is no PKCS #7 message with one SHA-2 signature");
	r = check_content(message, document, certificates, reason);
	return r < 0 ? r : read_document(document, instance_id, reason);
}

/* ---- the certificates ---- */

static void free_certificates(struct stack_st_X509 *certificates)
{
	sk_X509_pop_free(certificates, X509_free);
}

struct stack_st_X509 *certificates_read(const char *pem, size_t length)
{
	_cleanup_bio_ BIO *bio = BIO_new_mem_buf(pem, (int)length);
	STACK_OF(X509) *certificates = sk_X509_new_null();
	X509 *one;

	while (bio && certificates && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		if (!sk_X509_push(certificates, one))
			X509_free(one);
	ERR_clear_error();
	return certificates;
}

int cloud_identity_verify(const char *document, const char *pkcs7, const char *certificates_file,
			  char instance_id[32], char reason[128])
{
	_cleanup_free_ char *pem = NULL;
	struct stack_st_X509 *certificates;
	size_t length;
	int r = file_read(certificates_file, CERTIFICATES_BYTES_MAX, &pem, &length);

	instance_id[0] = '\0';
	if (r < 0) {
		snprintf(reason, 128, "cannot read %.80s: %.30s", certificates_file, strerror(-r));
		return r;
	}
	certificates = certificates_read(pem, length);
	if (!certificates)
		return -ENOMEM;
	if (!sk_X509_num(certificates))
		r = refuse(reason, "%.80s has no certificate in PEM", certificates_file);
	else
		r = document_check(document, pkcs7, certificates, instance_id, reason);
	free_certificates(certificates);
	return r;
}

/* ---- from IMDS ---- */

struct papers {
	struct cloud *cloud;
	struct papers *next;
	char *document;
	struct loop_timer *timer;
	void (*done)(void *arg, const char *document, const char *pkcs7);
	void *arg;
};

static void papers_free(struct papers *papers)
{
	struct papers **link = &papers->cloud->papers;

	while (*link != papers)
		link = &(*link)->next;
	*link = papers->next;
	loop_timer_free(papers->timer);
	free(papers->document);
	free(papers);
}

void documents_forget(struct cloud *cloud)
{
	while (cloud->papers)
		papers_free(cloud->papers);
}

static void papers_end(struct papers *papers, const char *pkcs7)
{
	papers->done(papers->arg, *pkcs7 ? papers->document : "", pkcs7);
	papers_free(papers);
}

static void on_pkcs7(struct cloud *cloud, void *arg, int status, const char *body,
		     const char *error)
{
	(void)cloud;
	(void)error;
	papers_end(arg, status == 200 ? body : "");
}

static void on_document(struct cloud *cloud, void *arg, int status, const char *body,
			const char *error)
{
	struct papers *papers = arg;

	(void)error;
	if (status != 200 || !*body) {
		papers_end(papers, "");
		return;
	}
	papers->document = strdup(body);
	if (!papers->document)
		abort();
	imds_get(cloud, "dynamic/instance-identity/rsa2048", on_pkcs7, papers);
}

static void on_disabled(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	papers_end(arg, "");
}

void cloud_identity_document(struct cloud *cloud,
			     void (*done)(void *arg, const char *document, const char *pkcs7),
			     void *arg)
{
	struct papers *papers = calloc(1, sizeof(*papers));

	if (!papers)
		abort();
	*papers = (struct papers){.cloud = cloud, .next = cloud->papers, .done = done, .arg = arg};
	cloud->papers = papers;
	if (loop_timer_new(cloud->loop, on_disabled, papers, &papers->timer) < 0)
		abort();
	if (imds_disabled())
		loop_timer_at(papers->timer, 0);
	else
		imds_get(cloud, "dynamic/instance-identity/document", on_document, papers);
}
