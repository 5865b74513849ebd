/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a long-lived TLS 1.3 connection costs a server with one library: memory of an idle
 * connection, CPU of a handshake and of a small record. Compiled once for each library by
 * tls_libraries.sh, which makes the certificates, too.
 *
 *	tls_libraries FOLDER CONNECTIONS RECORDS
 *
 * The clients are another process, so that only the server is measured. Both sides show
 * certificates (ECDSA P-256). One line: library, KiB a connection, µs a handshake, µs a record.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORD_BYTES 300

static char folder_path[256];

static const char *in_folder(const char *name)
{
	static char paths[4][320];
	static unsigned at;
	char *path = paths[at++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder_path, name);
	return path;
}

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s failed\n", what);
	exit(1);
}

#if defined(USE_OPENSSL)
#include <openssl/ssl.h>
#define LIBRARY "OpenSSL " OPENSSL_VERSION_STR
typedef SSL *session;
static SSL_CTX *context;

static void side(int server)
{
	context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	check(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
		      SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1 &&
		      SSL_CTX_set1_groups_list(context, "X25519") == 1 &&
		      SSL_CTX_set_num_tickets(context, 0) == 1 &&
		      SSL_CTX_load_verify_file(context, in_folder("ca.pem")) == 1 &&
		      SSL_CTX_use_certificate_chain_file(context, in_folder("cert.pem")) == 1 &&
		      SSL_CTX_use_PrivateKey_file(context, in_folder("key.pem"),
						  SSL_FILETYPE_PEM) == 1,
	      "setting up");
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static session shake(int fd, int server)
{
	SSL *ssl = SSL_new(context);

	SSL_set_fd(ssl, fd);
	check((server ? SSL_accept(ssl) : SSL_connect(ssl)) == 1, "the handshake");
	return ssl;
}

static void put(session s, const char *data)
{
	check(SSL_write(s, data, RECORD_BYTES) == RECORD_BYTES, "writing");
}

static void get(session s, char *data)
{
	check(SSL_read(s, data, RECORD_BYTES) == RECORD_BYTES, "reading");
}

#elif defined(USE_GNUTLS)
#include <gnutls/gnutls.h>
#define LIBRARY "GnuTLS " GNUTLS_VERSION
typedef gnutls_session_t session;
static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;

static void side(int server)
{
	(void)server;
	check(gnutls_certificate_allocate_credentials(&credentials) == 0 &&
		      gnutls_certificate_set_x509_trust_file(credentials, in_folder("ca.pem"),
							     GNUTLS_X509_FMT_PEM) == 1 &&
		      gnutls_certificate_set_x509_key_file(credentials, in_folder("cert.pem"),
							   in_folder("key.pem"),
							   GNUTLS_X509_FMT_PEM) == 0 &&
		      gnutls_priority_init(&priority,
					   "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519:"
					   "-CIPHER-ALL:+AES-128-GCM",
					   NULL) == 0,
	      "setting up");
}

static session shake(int fd, int server)
{
	gnutls_session_t s;
	int r;

	check(gnutls_init(&s, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_TICKETS) == 0,
	      "a session");
	gnutls_priority_set(s, priority);
	gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, credentials);
	if (server)
		gnutls_certificate_server_set_request(s, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert(s, NULL, 0);
	gnutls_transport_set_int(s, fd);
	do
		r = gnutls_handshake(s);
	while (r < 0 && !gnutls_error_is_fatal(r));
	check(r == 0, "the handshake");
	return s;
}

static void put(session s, const char *data)
{
	check(gnutls_record_send(s, data, RECORD_BYTES) == RECORD_BYTES, "writing");
}

static void get(session s, char *data)
{
	check(gnutls_record_recv(s, data, RECORD_BYTES) == RECORD_BYTES, "reading");
}

#elif defined(USE_WOLFSSL)
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#define LIBRARY "wolfSSL " LIBWOLFSSL_VERSION_STRING
typedef WOLFSSL *session;
static WOLFSSL_CTX *context;

static void side(int server)
{
	wolfSSL_Init();
	context =
		wolfSSL_CTX_new(server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method());
	check(wolfSSL_CTX_load_verify_locations(context, in_folder("ca.pem"), NULL) == 1 &&
		      wolfSSL_CTX_use_certificate_file(context, in_folder("cert.pem"),
						       SSL_FILETYPE_PEM) == 1 &&
		      wolfSSL_CTX_use_PrivateKey_file(context, in_folder("key.pem"),
						      SSL_FILETYPE_PEM) == 1 &&
		      wolfSSL_CTX_set_cipher_list(context, "TLS13-AES128-GCM-SHA256") == 1,
	      "setting up");
	if (server)
		wolfSSL_CTX_no_ticket_TLSv13(context);
	wolfSSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static session shake(int fd, int server)
{
	WOLFSSL *ssl = wolfSSL_new(context);

	wolfSSL_set_fd(ssl, fd);
	check((server ? wolfSSL_accept(ssl) : wolfSSL_connect(ssl)) == 1, "the handshake");
	return ssl;
}

static void put(session s, const char *data)
{
	check(wolfSSL_write(s, data, RECORD_BYTES) == RECORD_BYTES, "writing");
}

static void get(session s, char *data)
{
	check(wolfSSL_read(s, data, RECORD_BYTES) == RECORD_BYTES, "reading");
}
#endif

static double cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static double resident_kib(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	check(file && fscanf(file, "%lu %lu", &size, &resident) == 2, "reading statm");
	fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static void client(int *fds, int connections, int records)
{
	session *sessions = calloc((size_t)connections, sizeof(*sessions));
	char data[RECORD_BYTES] = "state";

	side(0);
	for (int i = 0; i < connections; i++) {
		sessions[i] = shake(fds[i], 0);
		put(sessions[i], data);
	}
	for (int i = 0; i < records; i++)
		put(sessions[i % connections], data);
	exit(0);
}

int main(int argc, char **argv)
{
	int connections, records, *fds[2];
	session *sessions;
	char data[RECORD_BYTES];
	double kib, shaken_us, us;

	check(argc == 4, "usage: tls_libraries FOLDER CONNECTIONS RECORDS");
	snprintf(folder_path, sizeof(folder_path), "%s", argv[1]);
	connections = atoi(argv[2]);
	records = atoi(argv[3]);
	sessions = calloc((size_t)connections, sizeof(*sessions));
	for (int i = 0; i < 2; i++)
		fds[i] = calloc((size_t)connections, sizeof(int));
	for (int i = 0; i < connections; i++) {
		int pair[2];

		check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
		fds[0][i] = pair[0];
		fds[1][i] = pair[1];
	}
	if (fork() == 0)
		client(fds[1], connections, records);
	side(1);
	sessions[0] = shake(fds[0][0], 1); /* what the first one alone costs is not counted */
	get(sessions[0], data);
	kib = resident_kib();
	us = cpu_us();
	for (int i = 1; i < connections; i++) {
		sessions[i] = shake(fds[0][i], 1);
		get(sessions[i], data);
	}
	shaken_us = (cpu_us() - us) / (connections - 1);
	kib = (resident_kib() - kib) / (connections - 1);
	us = cpu_us();
	for (int i = 0; i < records; i++)
		get(sessions[i % connections], data);
	us = (cpu_us() - us) / records;
	printf("%-16s %6.1f KiB/connection %7.0f us/handshake %6.2f us/record\n", LIBRARY, kib,
	       shaken_us, us);
	return 0;
}
