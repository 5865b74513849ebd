/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/pki.h"

struct made {
	struct pki_pair authority;
	struct pki *pki;
};

static X509 *parse(const char *text)
{
	BIO *memory = BIO_new_mem_buf(text, -1);
	X509 *certificate = PEM_read_bio_X509(memory, NULL, NULL, NULL);

	BIO_free(memory);
	assert_non_null(certificate);
	return certificate;
}

static int set_up(void **state)
{
	struct made *made = calloc(1, sizeof(*made));
	char reason[PKI_REASON_SIZE] = "";

	assert_int_equal(pki_authority("forerun", 3650, &made->authority, reason), 0);
	assert_int_equal(
		pki_open(made->authority.certificate, made->authority.key, &made->pki, reason), 0);
	*state = made;
	return 0;
}

static int tear_down(void **state)
{
	struct made *made = *state;

	pki_close(made->pki);
	pki_pair_free(&made->authority);
	free(made);
	return 0;
}

/* As a TLS peer would: chain, dates, purpose. The error of OpenSSL, X509_V_OK when it holds. */
static int verify(const char *authority, const char *certificate, int purpose)
{
	X509 *root = parse(authority), *leaf = parse(certificate);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int error;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(context, store, leaf, NULL);
	X509_STORE_CTX_set_purpose(context, purpose);
	X509_verify_cert(context);
	error = X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	X509_free(root);
	X509_free(leaf);
	return error;
}

static struct pki_pair issued(const struct made *made, enum pki_use use, const char *name)
{
	char reason[PKI_REASON_SIZE] = "";
	struct pki_pair pair;

	assert_int_equal(pki_issue(made->pki, use, &name, 1, 365, &pair, reason), 0);
	return pair;
}

static void a_certificate_is_good_for_its_own_side_only(void **state)
{
	const struct made *made = *state;
	struct pki_pair agent = issued(made, PKI_AGENT, "web-1");
	struct pki_pair core = issued(made, PKI_CORE, "core.internal");
	const char *root = made->authority.certificate;

	assert_int_equal(verify(root, agent.certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	assert_int_equal(verify(root, core.certificate, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	assert_int_equal(verify(root, agent.certificate, X509_PURPOSE_SSL_SERVER),
			 X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(verify(root, core.certificate, X509_PURPOSE_SSL_CLIENT),
			 X509_V_ERR_INVALID_PURPOSE);
	pki_pair_free(&agent);
	pki_pair_free(&core);
}

static void another_authority_does_not_know_it(void **state)
{
	const struct made *made = *state;
	struct pki_pair agent = issued(made, PKI_AGENT, "web-1"), other;
	char reason[PKI_REASON_SIZE];

	assert_int_equal(pki_authority("forerun", 10, &other, reason), 0);
	assert_int_not_equal(verify(other.certificate, agent.certificate, X509_PURPOSE_SSL_CLIENT),
			     X509_V_OK);
	pki_pair_free(&agent);
	pki_pair_free(&other);
}

static void an_agents_certificate_can_issue_nothing(void **state)
{
	const struct made *made = *state;
	struct pki_pair agent = issued(made, PKI_AGENT, "web-1");
	char reason[PKI_REASON_SIZE] = "";
	struct pki *pki;

	assert_int_equal(pki_open(agent.certificate, agent.key, &pki, reason), -EINVAL);
	assert_string_equal(reason, "the certificate is not one of an authority");
	assert_int_equal(pki_open(agent.certificate, made->authority.key, &pki, reason), -EINVAL);
	assert_non_null(strstr(reason, "key and certificate do not belong together"));
	pki_pair_free(&agent);
}

static void names_and_addresses_are_told_apart(void **state)
{
	static const char *const names[] = {"core.internal", "10.0.0.1", "fd00::1"};
	const struct made *made = *state;
	struct pki_pair pair;
	char reason[PKI_REASON_SIZE];
	char *first;
	X509 *certificate;

	assert_int_equal(pki_issue(made->pki, PKI_CORE, names, 3, 365, &pair, reason), 0);
	certificate = parse(pair.certificate);
	assert_int_equal(X509_check_host(certificate, "core.internal", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(certificate, "other.internal", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(certificate, "10.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(certificate, "fd00::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(certificate, "10.0.0.2", 0), 0);
	first = pki_name_of(pair.certificate);
	assert_string_equal(first, "core.internal");
	free(first);
	X509_free(certificate);
	pki_pair_free(&pair);
}

static void a_name_of_more_than_64_characters_is_an_alternative_name(void **state)
{
	static const char name[] =
		"a234567890123456789012345678901234567890123456789012345678901.b."
		"core.internal";
	const struct made *made = *state;
	struct pki_pair pair = issued(made, PKI_CORE, name);
	X509 *certificate = parse(pair.certificate);

	assert_true(strlen(name) > 64);
	assert_int_equal(X509_check_host(certificate, name, 0, 0, NULL), 1);
	X509_free(certificate);
	pki_pair_free(&pair);
}

static void no_certificate_outlives_its_authority(void **state)
{
	const char *name = "web-1";
	struct pki_pair authority, pair;
	char reason[PKI_REASON_SIZE];
	struct pki *pki;
	X509 *root, *leaf;

	(void)state;
	assert_int_equal(pki_authority("forerun", 2, &authority, reason), 0);
	assert_int_equal(pki_open(authority.certificate, authority.key, &pki, reason), 0);
	assert_int_equal(pki_issue(pki, PKI_AGENT, &name, 1, 365, &pair, reason), 0);
	root = parse(authority.certificate);
	leaf = parse(pair.certificate);
	assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(root), X509_get0_notAfter(leaf)), 0);
	X509_free(root);
	X509_free(leaf);
	pki_pair_free(&pair);
	pki_pair_free(&authority);
	pki_close(pki);
}

static void no_two_have_the_same_serial_or_key(void **state)
{
	const struct made *made = *state;
	struct pki_pair a = issued(made, PKI_AGENT, "web-1"), b = issued(made, PKI_AGENT, "web-1");
	X509 *first = parse(a.certificate), *second = parse(b.certificate);

	assert_int_not_equal(
		ASN1_INTEGER_cmp(X509_get0_serialNumber(first), X509_get0_serialNumber(second)), 0);
	assert_string_not_equal(a.key, b.key);
	X509_free(first);
	X509_free(second);
	pki_pair_free(&a);
	pki_pair_free(&b);
}

static void what_is_no_pem_is_refused(void **state)
{
	const struct made *made = *state;
	char reason[PKI_REASON_SIZE] = "";
	struct pki *pki;

	assert_int_equal(pki_open("", "", &pki, reason), -EINVAL);
	assert_non_null(strstr(reason, "the certificate cannot be read"));
	assert_int_equal(pki_open(made->authority.certificate, "x", &pki, reason), -EINVAL);
	assert_non_null(strstr(reason, "the private key cannot be read"));
	assert_null(pki_name_of("x"));
	assert_null(pki_name_of(made->authority.certificate));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_is_good_for_its_own_side_only),
		cmocka_unit_test(another_authority_does_not_know_it),
		cmocka_unit_test(an_agents_certificate_can_issue_nothing),
		cmocka_unit_test(names_and_addresses_are_told_apart),
		cmocka_unit_test(a_name_of_more_than_64_characters_is_an_alternative_name),
		cmocka_unit_test(no_certificate_outlives_its_authority),
		cmocka_unit_test(no_two_have_the_same_serial_or_key),
		cmocka_unit_test(what_is_no_pem_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
