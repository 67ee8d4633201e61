/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A loopback HTTP/1.1 server whose answers are made by a function of the test,
 * and which remembers what it was asked; and a client to ask it with: engine,
 * hosts, credentials and registries, all in a temporary home.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <assert.h>
#include <ftw.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "registry/fetch.h"
#include "registry/registry.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define SCRIPT_FDS 256
#define SCRIPT_LOG 4096
#define UNUSED __attribute__((unused))

struct request {
	char method[16], target[2048], head[8192];
	char *body;
	size_t body_len; /* also of a chunked one */
	bool is_early;	 /* asked before the body is read */
	unsigned nth;	 /* of the server, from 1 */
};

struct reply {
	int status;
	char headers[4096]; /* lines with CRLF */
	const char *body;
	char *made; /* NULL, or the body: of this reply alone, freed with it */
	size_t len;
	long long length; /* Content-Length to claim; -1: the true one */
	bool no_length;	  /* ends with the connection */
	bool chunked;
	size_t cut; /* bytes of the body, then the connection is closed */
	bool is_cut;
	unsigned delay_ms;
	const atomic_bool *hold; /* not answered while it is true */
	bool gone;		 /* the connection is closed instead */
};

struct scripted {
	int listener;
	unsigned port;
	char host[32];	 /* "127.0.0.1:PORT" */
	char origin[64]; /* "http://127.0.0.1:PORT" */
	pthread_t thread;
	/* Called with the lock held: one answer at a time is made. */
	void (*answer)(struct scripted *s, const struct request *q,
		       struct reply *p);
	/* Or NULL.  True: that is the answer, the body is not read. */
	bool (*early)(struct scripted *s, const struct request *q,
		      struct reply *p);
	void *arg;
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t gone;
	int fds[SCRIPT_FDS];
	int live, busy, busy_max;
	unsigned asked;
	char *log[SCRIPT_LOG]; /* head of each request */
};

/* A header's value, up to the end of its line; NULL: absent. */
UNUSED static const char *head_value(const char *head, const char *name,
				     char value[4096])
{
	size_t n = strlen(name);

	for (const char *p = strstr(head, "\r\n"); p; p = strstr(p, "\r\n")) {
		p += 2;
		if (strncasecmp(p, name, n) != 0 || p[n] != ':')
			continue;
		p += n + 1 + strspn(p + n + 1, " ");
		snprintf(value, 4096, "%.*s", (int)strcspn(p, "\r\n"), p);
		return value;
	}
	return NULL;
}

UNUSED static bool head_is(const struct request *q, const char *name,
			   const char *want)
{
	char value[4096];
	const char *have = head_value(q->head, name, value);

	return want ? have && strcmp(have, want) == 0 : !have;
}

UNUSED __attribute__((format(printf, 2, 3))) static void
add_head(struct reply *p, const char *fmt, ...)
{
	size_t n = strlen(p->headers);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->headers + n, sizeof(p->headers) - n - 3, fmt, ap);
	va_end(ap);
	n = strlen(p->headers);
	memcpy(p->headers + n, "\r\n", 3);
}

UNUSED static void say(struct reply *p, int status, const char *body)
{
	p->status = status;
	p->body = body;
	p->len = strlen(body);
}

/* It is sent when others are made already. */
UNUSED __attribute__((format(printf, 3, 4))) static void
say_made(struct reply *p, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&p->made, fmt, ap) < 0)
		abort();
	va_end(ap);
	say(p, status, p->made);
}

/* An OCI error document. */
UNUSED static void refuse(struct reply *p, int status, const char *code)
{
	add_head(p, "Content-Type: application/json");
	say_made(p, status,
		 "{\"errors\":[{\"code\":\"%s\",\"message\":\"said %s\"}]}",
		 code, code);
}

static bool script_send(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static bool script_receive_head(int fd, struct request *q)
{
	size_t n = 0;

	memset(q, 0, sizeof(*q));
	while (!strstr(q->head, "\r\n\r\n")) {
		if (n + 1 >= sizeof(q->head) ||
		    recv(fd, q->head + n, 1, 0) <= 0)
			return false;
		if (q->head[0] == 0x16) /* TLS is not spoken here */
			return false;
		n++;
	}
	sscanf(q->head, "%15s %2047s", q->method, q->target);
	return true;
}

/* Adds n bytes to the body. */
static bool script_receive_bytes(int fd, struct request *q, size_t n)
{
	size_t end = q->body_len + n;

	q->body = realloc(q->body, end + 1);
	assert(q->body);
	while (q->body_len < end) {
		ssize_t r =
			recv(fd, q->body + q->body_len, end - q->body_len, 0);

		if (r <= 0)
			return false;
		q->body_len += (size_t)r;
	}
	q->body[end] = '\0';
	return true;
}

static bool script_receive_line(int fd, char line[64])
{
	size_t n = 0;

	while (n < 2 || memcmp(line + n - 2, "\r\n", 2) != 0)
		if (n + 1 >= 64 || recv(fd, line + n++, 1, 0) <= 0)
			return false;
	line[n] = '\0';
	return true;
}

static bool script_receive_body(int fd, struct request *q)
{
	char value[4096], line[64];
	size_t n;

	if (!head_value(q->head, "transfer-encoding", value)) {
		n = head_value(q->head, "content-length", value)
			    ? strtoul(value, NULL, 10)
			    : 0;
		return script_receive_bytes(fd, q, n);
	}
	do {
		if (!script_receive_line(fd, line))
			return false;
		n = strtoul(line, NULL, 16);
		if (!script_receive_bytes(fd, q, n) ||
		    !script_receive_line(fd, line))
			return false;
	} while (n > 0);
	return true;
}

static bool script_reply(int fd, const struct request *q, const struct reply *p)
{
	bool head = strcmp(q->method, "HEAD") == 0;
	size_t n = p->is_cut && p->cut < p->len ? p->cut : p->len;
	char text[4096 + 512];
	char length[64] = "";

	if (p->delay_ms)
		usleep(p->delay_ms * 1000);
	while (p->hold && atomic_load(p->hold))
		usleep(1000);
	if (p->gone)
		return false;
	if (p->chunked)
		snprintf(length, sizeof(length),
			 "Transfer-Encoding: chunked\r\n");
	else if (!p->no_length)
		snprintf(length, sizeof(length), "Content-Length: %lld\r\n",
			 p->length >= 0 ? p->length : (long long)p->len);
	snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\n%s%s\r\n", p->status,
		 p->headers, length);
	if (!script_send(fd, text, strlen(text)))
		return false;
	if (head)
		return true;
	if (p->chunked && n) {
		snprintf(length, sizeof(length), "%zx\r\n", n);
		if (!script_send(fd, length, strlen(length)))
			return false;
	}
	if (n && !script_send(fd, p->body, n))
		return false;
	if (p->chunked && !p->is_cut)
		return script_send(fd, n ? "\r\n0\r\n\r\n" : "0\r\n\r\n",
				   n ? 7 : 5);
	return !p->is_cut && !p->no_length;
}

struct script_connection {
	struct scripted *s;
	int fd, slot;
};

static void script_count(struct scripted *s, struct request *q)
{
	assert(s->asked < SCRIPT_LOG);
	s->log[s->asked++] = strdup(q->head);
	q->nth = s->asked;
	if (++s->busy > s->busy_max)
		s->busy_max = s->busy;
}

/* True: answered already, as far as the script goes. */
static bool script_early(struct scripted *s, struct request *q, struct reply *p)
{
	bool ret;

	if (!s->early)
		return false;
	pthread_mutex_lock(&s->lock);
	q->is_early = true;
	ret = s->early(s, q, p);
	if (ret)
		script_count(s, q);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static bool script_one(struct script_connection *c, struct request *q)
{
	struct reply *p = calloc(1, sizeof(*p));
	struct scripted *s = c->s;
	bool early, more;

	assert(p);
	p->status = 404;
	p->body = "";
	p->length = -1;
	more = script_receive_head(c->fd, q);
	early = more && script_early(s, q, p);
	if (more && !early)
		more = script_receive_body(c->fd, q);
	if (!more) {
		free(q->body);
		free(p->made);
		free(p);
		return false;
	}
	if (!early) {
		pthread_mutex_lock(&s->lock);
		script_count(s, q);
		s->answer(s, q, p);
		pthread_mutex_unlock(&s->lock);
	}
	more = script_reply(c->fd, q, p) && !early;
	pthread_mutex_lock(&s->lock);
	s->busy--;
	pthread_mutex_unlock(&s->lock);
	free(q->body);
	free(p->made);
	free(p);
	return more;
}

static void *script_serve(void *arg)
{
	struct script_connection *c = arg;
	struct request *q = malloc(sizeof(*q));

	assert(q);
	while (script_one(c, q))
		continue;
	free(q);
	pthread_mutex_lock(&c->s->lock);
	close(c->fd);
	c->s->fds[c->slot] = -1;
	c->s->live--;
	pthread_cond_broadcast(&c->s->gone);
	pthread_mutex_unlock(&c->s->lock);
	free(c);
	return NULL;
}

static void *script_accept(void *arg)
{
	struct scripted *s = arg;
	int fd, on = 1;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		struct script_connection *c = calloc(1, sizeof(*c));
		pthread_t thread;

		assert(c);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c->s = s;
		c->fd = fd;
		pthread_mutex_lock(&s->lock);
		while (c->slot < SCRIPT_FDS && s->fds[c->slot] >= 0)
			c->slot++;
		assert(c->slot < SCRIPT_FDS);
		s->fds[c->slot] = fd;
		s->live++;
		pthread_mutex_unlock(&s->lock);
		if (pthread_create(&thread, NULL, script_serve, c) != 0)
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

static void script_init(struct scripted *s,
			void (*answer)(struct scripted *,
				       const struct request *, struct reply *))
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	bool ok;

	memset(s, 0, sizeof(*s));
	s->answer = answer;
	for (int i = 0; i < SCRIPT_FDS; i++)
		s->fds[i] = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->gone, NULL);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ok = s->listener >= 0 &&
	     bind(s->listener, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	     listen(s->listener, 128) == 0 &&
	     getsockname(s->listener, (struct sockaddr *)&a, &len) == 0;
	assert_true(ok);
	s->port = ntohs(a.sin_port);
	snprintf(s->host, sizeof(s->host), "127.0.0.1:%u", s->port);
	snprintf(s->origin, sizeof(s->origin), "http://%s", s->host);
	assert_int_equal(pthread_create(&s->thread, NULL, script_accept, s), 0);
}

static void script_done(struct scripted *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < SCRIPT_FDS; i++)
		if (s->fds[i] >= 0)
			shutdown(s->fds[i], SHUT_RDWR);
	while (s->live > 0)
		pthread_cond_wait(&s->gone, &s->lock);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->asked; i++)
		free(s->log[i]);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->gone);
}

/* What the test wrote is seen by the next answer, what an answer wrote by the
 * test. */
UNUSED static void script_sync(struct scripted *s)
{
	pthread_mutex_lock(&s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* Requests so far whose head contains this text. */
UNUSED static unsigned asked(struct scripted *s, const char *text)
{
	unsigned n = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->asked; i++)
		n += strstr(s->log[i], text) != NULL;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* The head of the last request that contains this text; "" if none. */
UNUSED static const char *last_asked(struct scripted *s, const char *text)
{
	const char *head = "";

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->asked; i++)
		if (strstr(s->log[i], text))
			head = s->log[i];
	pthread_mutex_unlock(&s->lock);
	return head;
}

/* --- the client --- */

struct client {
	char home[64];
	struct scripted s, other; /* the registry, and somebody else */
	struct http *http;
	struct hosts *hosts;
	struct dockerauth *auth;
	struct fault_log *faults;
	struct registries *all;
	struct registry *r; /* of s */
	struct wait w;
};

static int client_remove(const char *path, const struct stat *st, int type,
			 struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Credentials: what goes into "auths", or NULL.  May be called again. */
UNUSED static void client_auths(struct client *c, const char *auths)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/auth.json", c->home);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "{\"HttpHeaders\":{\"X-Canary\":\"1\"},\"auths\":{%s}}",
		auths ? auths : "");
	fclose(f);
	chmod(path, 0600);
}

static void client_start(struct client *c,
			 void (*answer)(struct scripted *,
					const struct request *, struct reply *),
			 void (*other)(struct scripted *,
				       const struct request *, struct reply *))
{
	static const struct http_config http = {.connect_ms = 2000,
						.tls_ms = 2000,
						.first_byte_ms = 3000,
						.stall_ms = 3000,
						.user_agent = "tester/1"};
	struct options options = {.timeout_s = 20};
	struct registries_config cfg = {
		.times = {.meta_budget = 1200,
			  .commit_budget = 1200,
			  .retry_base = 10,
			  .retry_cap = 20},
		.retries = 3,
	};
	char path[128];

	memset(c, 0, sizeof(*c));
	snprintf(c->home, sizeof(c->home), "/tmp/registryfs-test-XXXXXX");
	assert_non_null(mkdtemp(c->home));
	setenv("HOME", c->home, 1);
	unsetenv("DOCKER_CONFIG");
	unsetenv("REGISTRY_AUTH_FILE");
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	setenv("no_proxy", "*", 1);
	log_set_level(LOG_LEVEL_ERROR);
	script_init(&c->s, answer);
	script_init(&c->other, other);
	c->s.arg = c->other.arg = c;
	client_auths(c, NULL);
	snprintf(path, sizeof(path), "%s/auth.json", c->home);
	options.cert_dir = c->home;
	assert_int_equal(http_new(&http, &c->http), 0);
	assert_int_equal(hosts_new(&options, &c->hosts), 0);
	assert_int_equal(dockerauth_new(path, &c->auth), 0);
	assert_int_equal(fault_log_new(&c->faults), 0);
	cfg.http = c->http;
	cfg.hosts = c->hosts;
	cfg.auth = c->auth;
	cfg.faults = c->faults;
	assert_int_equal(registries_new(&cfg, &c->all), 0);
	assert_int_equal(registries_get(c->all, c->s.host, &c->r), 0);
	wait_init(&c->w, 5000, 0);
}

/* Gives the registry this credential, "user:secret" in base64. */
UNUSED static void client_login(struct client *c, const char *base64)
{
	char text[256];

	snprintf(text, sizeof(text), "\"%s\":{\"auth\":\"%s\"}", c->s.host,
		 base64);
	client_auths(c, text);
	dockerauth_refresh(c->auth);
}

static void client_stop(struct client *c)
{
	registries_free(c->all);
	http_free(c->http);
	hosts_free(c->hosts);
	dockerauth_free(c->auth);
	fault_log_free(c->faults);
	script_done(&c->s);
	script_done(&c->other);
	nftw(c->home, client_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* Of a blob of a/b, or -errno. */
UNUSED static int client_blob_size(struct client *c, const char *digest)
{
	struct digest d;
	uint64_t size = 0;
	int r;

	assert_int_equal(digest_parse(digest, &d), 0);
	r = fetch_blob_head(c->r, "a/b", &d, &c->w, &size);
	return r < 0 ? r : (int)size;
}

/* .registryfs/errors; good until the next call. */
UNUSED static const char *client_errors(struct client *c)
{
	static char text[4096];
	struct str out = {.len = 0};

	assert_int_equal(fault_log_print(c->faults, &out), 0);
	snprintf(text, sizeof(text), "%s", out.buf ? out.buf : "");
	str_done(&out);
	return text;
}
