/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pki.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define SERIAL_BYTES 16
#define CLOCKS_APART_S 300 /* a host whose clock is a little behind must not refuse a new one */
#define COMMON_NAME_MAX 64 /* RFC 5280, ub-common-name */

struct pki {
	X509 *certificate;
	EVP_PKEY *key;
};

static void free_certificate(X509 **certificate)
{
	X509_free(*certificate);
}

static void free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

/* What OpenSSL said last, and nothing left for the next who asks. */
static int refuse(char reason[PKI_REASON_SIZE], const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	snprintf(reason, PKI_REASON_SIZE, "%s%s%s", what, text ? ": " : "", text ? text : "");
	ERR_clear_error();
	return -EINVAL;
}

void pki_pair_free(struct pki_pair *pair)
{
	free(pair->certificate);
	if (pair->key)
		OPENSSL_cleanse(pair->key, strlen(pair->key));
	free(pair->key);
	*pair = (struct pki_pair){0};
}

/* ---- PEM ---- */

static char *text_of(BIO *memory)
{
	char *data = NULL;
	long length = BIO_get_mem_data(memory, &data);

	return length > 0 ? strndup(data, (size_t)length) : NULL;
}

static int write_pair(X509 *certificate, EVP_PKEY *key, struct pki_pair *out)
{
	BIO *memory = BIO_new(BIO_s_secmem());
	struct pki_pair pair = {0};

	if (memory && PEM_write_bio_X509(memory, certificate) == 1)
		pair.certificate = text_of(memory);
	if (memory && BIO_reset(memory) == 1 &&
	    PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL) == 1)
		pair.key = text_of(memory);
	BIO_free(memory);
	if (!pair.certificate || !pair.key) {
		pki_pair_free(&pair);
		return -ENOMEM;
	}
	*out = pair;
	return 0;
}

static X509 *read_certificate(const char *text)
{
	BIO *memory = BIO_new_mem_buf(text, -1);
	X509 *certificate = memory ? PEM_read_bio_X509(memory, NULL, NULL, NULL) : NULL;

	BIO_free(memory);
	return certificate;
}

/* A key under a password is refused instead of asking for it on the terminal. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static EVP_PKEY *read_key(const char *text)
{
	BIO *memory = BIO_new_mem_buf(text, -1);
	EVP_PKEY *key = memory ? PEM_read_bio_PrivateKey(memory, NULL, no_password, NULL) : NULL;

	BIO_free(memory);
	return key;
}

/* ---- one certificate ---- */

static int set_serial(X509 *certificate)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *number;
	int ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -EIO;
	bytes[0] &= 0x7f; /* it must be positive */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
	BN_free(number);
	return ok ? 0 : -ENOMEM;
}

static bool set_subject(X509 *certificate, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(certificate);

	if (strlen(name) > COMMON_NAME_MAX)
		return true; /* it stands among the alternative names */
	return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name,
					  -1, -1, 0) == 1;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool ok;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static GENERAL_NAME *general_name(const char *name)
{
	unsigned char address[16];
	int length = inet_pton(AF_INET, name, address) == 1    ? 4
		     : inet_pton(AF_INET6, name, address) == 1 ? 16
							       : 0;
	GENERAL_NAME *general = GENERAL_NAME_new();
	ASN1_STRING *text = length ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

	if (!general || !text ||
	    ASN1_STRING_set(text, length ? (const void *)address : name, length ? length : -1) !=
		    1) {
		GENERAL_NAME_free(general);
		ASN1_STRING_free(text);
		return NULL;
	}
	GENERAL_NAME_set0_value(general, length ? GEN_IPADD : GEN_DNS, text);
	return general;
}

static bool add_names(X509 *certificate, const char *const *names, size_t count)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();
	bool ok = all != NULL;

	for (size_t i = 0; ok && i < count; i++) {
		GENERAL_NAME *one = general_name(names[i]);

		ok = one && sk_GENERAL_NAME_push(all, one) > 0;
		if (!ok)
			GENERAL_NAME_free(one);
	}
	ok = ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0, 0) == 1;
	GENERAL_NAMES_free(all);
	return ok;
}

/* Version, serial, validity, subject and key; issuer and extensions are the caller's. */
static X509 *certificate_new(const char *name, unsigned days, EVP_PKEY *key)
{
	_cleanup_(free_certificate)
	X509 *certificate = X509_new();

	if (!certificate || X509_set_version(certificate, X509_VERSION_3) != 1 ||
	    set_serial(certificate) < 0 || !set_subject(certificate, name) ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), -CLOCKS_APART_S) ||
	    !X509_time_adj_ex(X509_getm_notAfter(certificate), (int)days, 0, NULL) ||
	    X509_set_pubkey(certificate, key) != 1)
		return NULL;
	return TAKE(certificate);
}

int pki_authority(const char *name, unsigned days, struct pki_pair *out,
		  char reason[PKI_REASON_SIZE])
{
	_cleanup_(free_key)
	EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_(free_certificate)
	X509 *certificate = key ? certificate_new(name, days, key) : NULL;

	if (!certificate ||
	    X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) != 1 ||
	    !add_extension(certificate, certificate, NID_basic_constraints,
			   "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(certificate, certificate, NID_key_usage,
			   "critical,keyCertSign,cRLSign") ||
	    !add_extension(certificate, certificate, NID_subject_key_identifier, "hash") ||
	    X509_sign(certificate, key, EVP_sha256()) <= 0)
		return refuse(reason, "cannot make an authority");
	return write_pair(certificate, key, out);
}

int pki_open(const char *certificate, const char *key, struct pki **out,
	     char reason[PKI_REASON_SIZE])
{
	struct pki *pki = calloc(1, sizeof(*pki));
	int r = 0;

	if (!pki)
		return -ENOMEM;
	pki->certificate = read_certificate(certificate);
	pki->key = read_key(key);
	if (!pki->certificate)
		r = refuse(reason, "the certificate cannot be read");
	else if (!pki->key)
		r = refuse(reason, "the private key cannot be read");
	else if (X509_check_private_key(pki->certificate, pki->key) != 1)
		r = refuse(reason, "key and certificate do not belong together");
	else if (X509_check_ca(pki->certificate) < 1)
		r = refuse(reason, "the certificate is not one of an authority");
	if (r < 0) {
		pki_close(pki);
		return r;
	}
	*out = pki;
	return 0;
}

void pki_close(struct pki *pki)
{
	if (!pki)
		return;
	X509_free(pki->certificate);
	EVP_PKEY_free(pki->key);
	free(pki);
}

static bool not_after_authority(const struct pki *pki, X509 *certificate)
{
	const ASN1_TIME *end = X509_get0_notAfter(pki->certificate);

	if (ASN1_TIME_compare(X509_get0_notAfter(certificate), end) <= 0)
		return true;
	return X509_set1_notAfter(certificate, end) == 1;
}

int pki_issue(const struct pki *pki, enum pki_use use, const char *const *names, size_t count,
	      unsigned days, struct pki_pair *out, char reason[PKI_REASON_SIZE])
{
	_cleanup_(free_key)
	EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_(free_certificate)
	X509 *certificate = key && count ? certificate_new(names[0], days, key) : NULL;
	X509_NAME *issuer = X509_get_subject_name(pki->certificate);

	if (!certificate || !not_after_authority(pki, certificate) ||
	    X509_set_issuer_name(certificate, issuer) != 1 ||
	    !add_extension(certificate, pki->certificate, NID_basic_constraints,
			   "critical,CA:FALSE") ||
	    !add_extension(certificate, pki->certificate, NID_key_usage,
			   "critical,digitalSignature") ||
	    !add_extension(certificate, pki->certificate, NID_ext_key_usage,
			   use == PKI_CORE ? "serverAuth" : "clientAuth") ||
	    !add_extension(certificate, pki->certificate, NID_subject_key_identifier, "hash") ||
	    !add_extension(certificate, pki->certificate, NID_authority_key_identifier,
			   "keyid:always") ||
	    !add_names(certificate, names, count) ||
	    X509_sign(certificate, pki->key, EVP_sha256()) <= 0)
		return refuse(reason, "cannot make a certificate");
	return write_pair(certificate, key, out);
}

static char *text_of_name(const GENERAL_NAME *name)
{
	char address[INET6_ADDRSTRLEN];
	int type = 0;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	const unsigned char *data = ASN1_STRING_get0_data(value);
	int length = ASN1_STRING_length(value);

	if (type == GEN_DNS)
		return strndup((const char *)data, (size_t)length);
	if (type != GEN_IPADD || (length != 4 && length != 16) ||
	    !inet_ntop(length == 4 ? AF_INET : AF_INET6, data, address, sizeof(address)))
		return NULL;
	return strdup(address);
}

char *pki_name_of(const char *certificate)
{
	_cleanup_(free_certificate)
	X509 *read = read_certificate(certificate);
	GENERAL_NAMES *all = read ? X509_get_ext_d2i(read, NID_subject_alt_name, NULL, NULL) : NULL;
	char *name = NULL;

	if (sk_GENERAL_NAME_num(all) > 0)
		name = text_of_name(sk_GENERAL_NAME_value(all, 0));
	GENERAL_NAMES_free(all);
	ERR_clear_error();
	return name;
}
