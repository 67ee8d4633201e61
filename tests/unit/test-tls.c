/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the HTTP engine trusts: each row is a server with another identity. */
#include "http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>

static const char answer[] =
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

static void identity_init(struct identity *id, const char *names, long from_s,
			  long to_s)
{
	X509_NAME *name = X509_NAME_new();
	X509_EXTENSION *ext =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	id->key = EVP_EC_gen("P-256");
	id->cert = X509_new();
	assert_non_null(id->key);
	assert_non_null(id->cert);
	assert_non_null(ext);
	X509_set_version(id->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(id->cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(id->cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(id->cert), to_s);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)names, -1, -1, 0);
	X509_set_subject_name(id->cert, name);
	X509_set_issuer_name(id->cert, name);
	X509_set_pubkey(id->cert, id->key);
	X509_add_ext(id->cert, ext, -1);
	assert_true(X509_sign(id->cert, id->key, EVP_sha256()) > 0);
	X509_EXTENSION_free(ext);
	X509_NAME_free(name);
}

static void identity_done(struct identity *id)
{
	X509_free(id->cert);
	EVP_PKEY_free(id->key);
}

static void write_files(const struct identity *id, const char *cert,
			const char *key)
{
	FILE *f = fopen(cert, "w");

	assert_non_null(f);
	assert_true(PEM_write_X509(f, id->cert));
	fclose(f);
	f = fopen(key, "w");
	assert_non_null(f);
	assert_true(
		PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
}

struct tls_server {
	SSL_CTX *ctx;
	int listener;
	pthread_t thread;
	char url[64];
	bool saw_request; /* read after the thread was joined */
	bool saw_client_cert;
};

static int accept_any(int ok, X509_STORE_CTX *ctx)
{
	(void)ok;
	(void)ctx;
	return 1;
}

/* One connection. */
static void *serve(void *arg)
{
	struct tls_server *s = arg;
	int fd = accept(s->listener, NULL, NULL);
	SSL *ssl = SSL_new(s->ctx);
	char request[4096];

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		X509 *cert = SSL_get1_peer_certificate(ssl);

		s->saw_client_cert = cert != NULL;
		X509_free(cert);
		s->saw_request = SSL_read(ssl, request, sizeof(request)) > 0;
		SSL_write(ssl, answer, sizeof(answer) - 1);
		SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static void tls_server_init(struct tls_server *s, const struct identity *id,
			    int max_version)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);

	memset(s, 0, sizeof(*s));
	s->ctx = SSL_CTX_new(TLS_server_method());
	assert_non_null(s->ctx);
	SSL_CTX_set_security_level(s->ctx, 0);
	SSL_CTX_set_min_proto_version(s->ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(s->ctx, max_version);
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, accept_any);
	assert_int_equal(SSL_CTX_use_certificate(s->ctx, id->cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, id->key), 1);
	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof(a)),
			 0);
	assert_int_equal(listen(s->listener, 4), 0);
	getsockname(s->listener, (struct sockaddr *)&a, &len);
	snprintf(s->url, sizeof(s->url), "https://127.0.0.1:%u/",
		 ntohs(a.sin_port));
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void tls_server_done(struct tls_server *s)
{
	pthread_join(s->thread, NULL);
	close(s->listener);
	SSL_CTX_free(s->ctx);
}

#define RIGHT "IP:127.0.0.1"
#define WRONG "DNS:other.test,IP:127.0.0.2"
#define DAY 86400L

static const struct {
	const char *names;
	long from_s, to_s;
	int max_version; /* of TLS */
	bool trusted, insecure, client;
	bool good;
} rows[] = {
	{RIGHT, -DAY, DAY, TLS1_3_VERSION, true, false, false, true},
	{RIGHT, -DAY, DAY, TLS1_2_VERSION, true, false, true, true},
	{RIGHT, -DAY, DAY, TLS1_3_VERSION, false, true, false, true},
	{RIGHT, -DAY, DAY, TLS1_3_VERSION, false, false, false, false},
	{WRONG, -DAY, DAY, TLS1_3_VERSION, true, false, false, false},
	{WRONG, -DAY, DAY, TLS1_3_VERSION, false, true, false, true},
	{RIGHT, -2 * DAY, -DAY, TLS1_3_VERSION, true, false, false, false},
	{RIGHT, DAY, 2 * DAY, TLS1_3_VERSION, true, false, false, false},
	{RIGHT, -DAY, DAY, TLS1_1_VERSION, true, true, false, false},
};

static void ask(const struct http_spec *spec, bool good)
{
	struct http_config cfg = {.connect_ms = 10000,
				  .tls_ms = 10000,
				  .first_byte_ms = 10000,
				  .stall_ms = 10000};
	const struct http_head *head;
	struct http_transfer *t;
	struct http *h;
	struct wait w;

	wait_init(&w, 10000, 0);
	assert_int_equal(http_new(&cfg, &h), 0);
	assert_int_equal(http_start(h, spec, &t), 0);
	if (good) {
		assert_int_equal(http_wait_head(t, &w, &head), 0);
		assert_int_equal(head->status, 200);
	} else {
		assert_int_equal(http_wait_head(t, &w, &head), -EIO);
		print_message("%s\n", http_failure_text(t));
		assert_int_equal(http_failure(t), HTTP_FAIL_TLS);
	}
	http_close(t);
	http_free(h);
}

static void test_trust(void **state)
{
	char dir[] = "/tmp/test-tls-XXXXXX", cert[64], key[64];

	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct identity id;
		struct tls_server s;
		struct http_tls tls = {
			.ca_file = rows[i].trusted ? cert : NULL,
			.client_cert = rows[i].client ? cert : NULL,
			.client_key = rows[i].client ? key : NULL,
			.insecure = rows[i].insecure,
		};
		struct http_spec spec = {
			.method = "GET", .tls = &tls, .max_body_bytes = 100};

		print_message("row %zu\n", i);
		identity_init(&id, rows[i].names, rows[i].from_s, rows[i].to_s);
		write_files(&id, cert, key);
		tls_server_init(&s, &id, rows[i].max_version);
		spec.url = s.url;
		ask(&spec, rows[i].good);
		tls_server_done(&s);
		assert_int_equal(s.saw_request, rows[i].good);
		assert_int_equal(s.saw_client_cert, rows[i].client);
		identity_done(&id);
	}
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trust),
	};

	signal(SIGPIPE, SIG_IGN);
	unsetenv("https_proxy");
	unsetenv("HTTPS_PROXY");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
