/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A registry's upload end points on a loopback port: strict about what the
 * distribution-spec is strict about, with habits and accidents to order.  One
 * thread per connection; it aborts on trouble.
 */
#include "scripted.h"

#include <errno.h>

#include "oci/digest.h"
#include "util/encode.h"
#include "util/str.h"

#define SESSIONS_MAX 32
#define BLOBS_MAX 16
#define RULES_MAX 8

enum accident {
	SAY = 1,    /* takes the body, keeps nothing, answers `status` */
	SAY_EARLY,  /* answers `status` before the body */
	CUT,	    /* keeps `keep` bytes of the `bytes` it reads, hangs up */
	SHORT,	    /* keeps `keep` bytes only, and says so */
	LOSE,	    /* the session is unknown from now on */
	COMMIT_CUT, /* does it, hangs up */
	COMMIT_SAY, /* does it, answers `status` */
	LIE,	    /* does it, answers `status` with `header` */
	HANG,	    /* never answers */
	BARE,	    /* keeps nothing: `status`, `header`, `code` as the body */
};

/* The next `times` requests of this method, after the first `skip`. */
struct rule {
	const char *method;
	unsigned skip;
	enum accident accident;
	int status;
	const char *code, *header;
	size_t bytes, keep;
	unsigned times; /* 0: once */
};

/* Refusals of a form, by status; 0: it is taken. */
struct habits {
	int stream, unsized, chunks, put_body, empty_put, status, head, mount;
	size_t chunk_min, chunk_max;
	int too_large;		 /* for chunks over the maximum; 0: 416 */
	const char *range_style; /* "0-%lld", "bytes=0-%lld"; "" none */
	bool outside;		 /* locations are not below /v2/ */
	bool absolute, restless; /* the location changes with each answer */
	bool store_sha256;	 /* whatever was asked for */
	bool with_digest;	 /* Docker-Content-Digest after a commit */
};

struct session {
	bool open;
	char *data;
	size_t len;
	unsigned serial;
};

struct push_server {
	int listener;
	unsigned port;
	char host[32];
	pthread_t thread;
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t gone;
	int fds[SCRIPT_FDS];
	int live;
	struct habits habits;
	struct rule rules[RULES_MAX];
	char *elsewhere; /* locations name this origin, or NULL */
	struct session sessions[SESSIONS_MAX];
	unsigned opened;
	char blobs[BLOBS_MAX][DIGEST_TEXT_MAX];
	unsigned stored;
	unsigned asked, posts, patches, puts, gets, heads, deletes;
	unsigned ranged, unsized, empty_puts;
	size_t largest_patch, last_put;
	char *log[SCRIPT_LOG];
	char problem[256]; /* what a strict registry minds */
};

struct push_request {
	struct request q;
	size_t length;
	bool chunked, sized;
	char *body;
	size_t got;
};

struct push_reply {
	int status;
	char headers[2048];
	char body[256];
	bool silent; /* hangs up instead */
	bool last;   /* hangs up afterwards */
};

UNUSED static void mind(struct push_server *s, const char *what)
{
	if (!s->problem[0])
		snprintf(s->problem, sizeof(s->problem), "%s", what);
}

__attribute__((format(printf, 2, 3))) static void
push_head(struct push_reply *p, const char *fmt, ...)
{
	size_t n = strlen(p->headers);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->headers + n, sizeof(p->headers) - n - 3, fmt, ap);
	va_end(ap);
	n = strlen(p->headers);
	memcpy(p->headers + n, "\r\n", 3);
}

static void push_refuse(struct push_reply *p, int status, const char *code)
{
	p->status = status;
	push_head(p, "Content-Type: application/json");
	snprintf(p->body, sizeof(p->body),
		 "{\"errors\":[{\"code\":\"%s\",\"message\":\"said %s\"}]}",
		 code, code);
}

/* --- receiving --- */

static bool push_line(int fd, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && recv(fd, line + n, 1, 0) == 1) {
		if (line[n++] == '\n') {
			line[n] = '\0';
			return true;
		}
	}
	return false;
}

static bool push_head_of(int fd, struct push_request *x)
{
	char line[8192], value[4096];
	size_t n = 0;

	memset(x, 0, sizeof(*x));
	do {
		if (!push_line(fd, line, sizeof(line)) || line[0] == 0x16)
			return false;
		assert(n + strlen(line) < sizeof(x->q.head));
		memcpy(x->q.head + n, line, strlen(line) + 1);
		n += strlen(line);
	} while (strcmp(line, "\r\n") != 0);
	sscanf(x->q.head, "%15s %2047s", x->q.method, x->q.target);
	x->chunked = head_value(x->q.head, "transfer-encoding", value) != NULL;
	if (head_value(x->q.head, "content-length", value)) {
		x->sized = true;
		x->length = strtoul(value, NULL, 10);
	}
	return true;
}

/* Up to `max` bytes more; false: the connection broke. */
static bool push_take(int fd, struct push_request *x, size_t want, size_t max)
{
	x->body = realloc(x->body, x->got + want + 1);
	assert(x->body);
	while (want > 0 && x->got < max) {
		size_t part = want < max - x->got ? want : max - x->got;
		ssize_t n = recv(fd, x->body + x->got, part, 0);

		if (n <= 0)
			return false;
		x->got += (size_t)n;
		want -= (size_t)n;
	}
	return true;
}

static bool push_body_of(int fd, struct push_request *x, size_t max)
{
	char line[64];
	size_t n;

	if (!x->chunked)
		return push_take(fd, x, x->length, max);
	for (;;) {
		if (!push_line(fd, line, sizeof(line)))
			return false;
		n = strtoul(line, NULL, 16);
		if (!push_take(fd, x, n, max))
			return false;
		if (x->got >= max)
			return true;
		if (!push_line(fd, line, sizeof(line)))
			return false;
		if (n == 0)
			return true;
	}
}

/* --- sessions --- */

static struct session *push_session(struct push_server *s, const char *target)
{
	const char *at = strstr(target, "/uploads/s");
	unsigned i, serial = 0;
	char *end;

	if (!at)
		return NULL;
	i = (unsigned)strtoul(at + 10, &end, 10);
	if (i >= s->opened || !s->sessions[i].open)
		return NULL;
	if (strstr(target, "_state=") &&
	    sscanf(strstr(target, "_state="), "_state=%u", &serial) == 1 &&
	    serial != s->sessions[i].serial && s->habits.restless) {
		mind(s, "an old location");
		return NULL;
	}
	return &s->sessions[i];
}

static void push_place(struct push_server *s, struct session *u,
		       struct push_reply *p)
{
	const char *style =
		s->habits.range_style ? s->habits.range_style : "0-%lld";
	const char *prefix = s->habits.outside ? "/elsewhere" : "/v2/a/b/blobs";
	char origin[128] = "";
	char value[64];

	if (s->habits.restless)
		u->serial++;
	if (s->elsewhere)
		snprintf(origin, sizeof(origin), "%s", s->elsewhere);
	else if (s->habits.absolute)
		snprintf(origin, sizeof(origin), "http://%s", s->host);
	push_head(p, "Location: %s%s/uploads/s%u?_state=%u", origin, prefix,
		  (unsigned)(u - s->sessions), u->serial);
	if (!*style)
		return;
	if (u->len == 0 && strncmp(style, "bytes", 5) == 0)
		snprintf(value, sizeof(value), "bytes=0--1");
	else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(value, sizeof(value), style,
			 u->len ? (long long)u->len - 1 : 0ll);
#pragma GCC diagnostic pop
	push_head(p, "Range: %s", value);
}

static void push_append(struct session *u, const char *bytes, size_t n)
{
	u->data = realloc(u->data, u->len + n + 1);
	assert(u->data);
	memcpy(u->data + u->len, bytes, n);
	u->len += n;
}

static bool push_has(const struct push_server *s, const char *digest)
{
	for (unsigned i = 0; i < s->stored; i++)
		if (strcmp(s->blobs[i], digest) == 0)
			return true;
	return false;
}

static void push_commit(struct push_server *s, struct session *u,
			const char *target, struct push_reply *p)
{
	const char *at = strstr(target, "digest=");
	char text[DIGEST_TEXT_MAX];
	struct str decoded = {.len = 0};
	struct digest want, have;

	u->open = false;
	if (!at || percent_decode(at + 7, strcspn(at + 7, "&"), &decoded) < 0 ||
	    digest_parse(decoded.buf, &want) < 0) {
		push_refuse(p, 400, "DIGEST_INVALID");
	} else {
		digest_of(want.alg, u->data ? u->data : "", u->len, &have);
		if (digest_equal(&want, &have)) {
			if (s->habits.store_sha256)
				digest_of(HASH_SHA256, u->data ? u->data : "",
					  u->len, &have);
			digest_format(&have, text);
			snprintf(s->blobs[s->stored++], DIGEST_TEXT_MAX, "%s",
				 text);
			if (s->habits.with_digest || s->habits.store_sha256)
				push_head(p, "Docker-Content-Digest: %s", text);
			p->status = 201;
		} else {
			push_refuse(p, 400, "DIGEST_INVALID");
		}
	}
	str_done(&decoded);
}

/* --- answers --- */

static void answer_post(struct push_server *s, struct push_request *x,
			struct push_reply *p)
{
	struct session *u;

	s->posts++;
	if (!x->sized)
		mind(s, "POST without a length");
	if (strstr(x->q.target, "mount=") && s->habits.mount) {
		if (s->habits.mount != 202) {
			p->status = s->habits.mount;
			if (s->habits.mount >= 400)
				push_refuse(p, s->habits.mount, "NO_MOUNT");
			return;
		}
	}
	assert(s->opened < SESSIONS_MAX);
	u = &s->sessions[s->opened++];
	u->open = true;
	push_place(s, u, p);
	if (s->habits.chunk_min)
		push_head(p, "OCI-Chunk-Min-Length: %zu", s->habits.chunk_min);
	p->status = 202;
}

static bool is_refused(struct push_reply *p, int status)
{
	if (status)
		push_refuse(p, status,
			    status == 413 ? "SIZE_INVALID" : "UNSUPPORTED");
	return status != 0;
}

static bool is_form_refused(struct push_server *s, struct push_request *x,
			    struct session *u, struct push_reply *p)
{
	const struct habits *h = &s->habits;
	unsigned long long first, last;
	char value[4096];

	if (!head_is(&x->q, "content-type", "application/octet-stream"))
		mind(s, "another content type");
	if (x->chunked && is_refused(p, h->unsized))
		return true;
	s->unsized += x->chunked;
	if (!head_value(x->q.head, "content-range", value))
		return is_refused(p, h->stream);
	if (is_refused(p, h->chunks))
		return true;
	if (h->chunk_max && x->got > h->chunk_max)
		return is_refused(p, h->too_large ? h->too_large : 416);
	if (sscanf(value, "%llu-%llu", &first, &last) != 2 || first != u->len ||
	    last - first + 1 != x->got)
		return is_refused(p, 416);
	return false;
}

static void answer_patch(struct push_server *s, struct push_request *x,
			 struct session *u, struct push_reply *p)
{
	s->patches++;
	if (is_form_refused(s, x, u, p))
		return;
	if (x->got > s->largest_patch)
		s->largest_patch = x->got;
	s->ranged += !head_is(&x->q, "content-range", NULL);
	push_append(u, x->body ? x->body : "", x->got);
	push_place(s, u, p);
	p->status = 202;
}

static void answer_put(struct push_server *s, struct push_request *x,
		       struct session *u, struct push_reply *p)
{
	unsigned long long first;
	char value[4096];

	s->puts++;
	s->last_put = x->got;
	s->empty_puts += x->got == 0;
	if (x->chunked || !x->sized)
		mind(s, "PUT without a length");
	if (x->got == 0 && is_refused(p, s->habits.empty_put))
		return;
	if (x->got && is_refused(p, s->habits.put_body))
		return;
	if (head_value(x->q.head, "content-range", value) &&
	    (sscanf(value, "%llu-", &first) != 1 || first != u->len)) {
		push_refuse(p, 416, "RANGE_INVALID");
		return;
	}
	push_append(u, x->body ? x->body : "", x->got);
	push_commit(s, u, x->q.target, p);
}

static void answer_upload(struct push_server *s, struct push_request *x,
			  struct push_reply *p)
{
	struct session *u = push_session(s, x->q.target);

	if (!u) {
		push_refuse(p, 404, "BLOB_UPLOAD_UNKNOWN");
	} else if (strcmp(x->q.method, "PATCH") == 0) {
		answer_patch(s, x, u, p);
	} else if (strcmp(x->q.method, "PUT") == 0) {
		answer_put(s, x, u, p);
	} else if (strcmp(x->q.method, "DELETE") == 0) {
		s->deletes++;
		u->open = false;
		p->status = 204;
	} else if (s->habits.status) {
		push_refuse(p, s->habits.status, "UNSUPPORTED");
	} else {
		s->gets++;
		push_place(s, u, p);
		p->status = 204;
	}
}

static void push_answer(struct push_server *s, struct push_request *x,
			struct push_reply *p)
{
	const char *blob = strstr(x->q.target, "/blobs/sha");

	push_head(p, "Docker-Distribution-Api-Version: registry/2.0");
	if (strcmp(x->q.target, "/v2/") == 0) {
		p->status = 200;
	} else if (strncmp(x->q.target, "/token?", 7) == 0) {
		p->status = 200;
		push_head(p, "Content-Type: application/json");
		snprintf(p->body, sizeof(p->body), "{\"token\":\"t1\"}");
	} else if (strcmp(x->q.method, "POST") == 0) {
		answer_post(s, x, p);
	} else if (strcmp(x->q.method, "HEAD") == 0 && blob) {
		s->heads++;
		p->status = s->habits.head	    ? s->habits.head
			    : push_has(s, blob + 7) ? 200
						    : 404;
	} else {
		answer_upload(s, x, p);
	}
}

static bool rule_is_for(struct rule *r, const char *method)
{
	if (!r->accident || strcmp(r->method, method) != 0)
		return false;
	if (r->skip) {
		r->skip--;
		return false;
	}
	return true;
}

/* What is to happen to this request, if anything. */
static struct rule rule_for(struct push_server *s, const char *method)
{
	struct rule none = {.method = ""};

	for (size_t i = 0; i < RULES_MAX; i++) {
		struct rule *r = &s->rules[i], hit;

		if (!rule_is_for(r, method))
			continue;
		hit = *r;
		if (r->times <= 1)
			memset(r, 0, sizeof(*r));
		else
			r->times--;
		return hit;
	}
	return none;
}

static void push_happen(struct push_server *s, const struct rule *r,
			struct push_request *x, struct push_reply *p)
{
	struct session *u = push_session(s, x->q.target);

	if (r->accident == CUT) {
		if (u)
			push_append(u, x->body ? x->body : "",
				    r->keep < x->got ? r->keep : x->got);
		p->silent = true;
	} else if (r->accident == SHORT) {
		assert(u);
		push_append(u, x->body, r->keep);
		push_place(s, u, p);
		p->status = 202;
	} else if (r->accident == LOSE) {
		assert(u);
		u->open = false;
		push_refuse(p, 404, "BLOB_UPLOAD_UNKNOWN");
	} else if (r->accident == COMMIT_CUT || r->accident == COMMIT_SAY ||
		   r->accident == LIE) {
		push_answer(s, x, p);
		p->silent = r->accident == COMMIT_CUT;
		p->status = r->status;
	} else if (r->accident == BARE) {
		p->status = r->status;
		snprintf(p->body, sizeof(p->body), "%s",
			 r->code ? r->code : "");
	} else {
		push_refuse(p, r->status, r->code ? r->code : "TROUBLE");
	}
	if (r->header)
		push_head(p, "%s", r->header);
}

static bool push_write(int fd, const struct push_request *x,
		       const struct push_reply *p)
{
	bool head = strcmp(x->q.method, "HEAD") == 0 || p->status == 204;
	char text[4096];

	snprintf(text, sizeof(text),
		 "HTTP/1.1 %d X\r\n%sContent-Length: %zu"
		 "\r\n%s\r\n%s",
		 p->status, p->headers, strlen(p->body),
		 p->last ? "Connection: close\r\n" : "", head ? "" : p->body);
	return script_send(fd, text, strlen(text)) && !p->last;
}

/* An answer that does not wait for the rest of the body. */
static bool push_hurry(int fd, const struct push_request *x,
		       struct push_reply *p)
{
	char rest[65536];

	p->last = true;
	push_write(fd, x, p);
	shutdown(fd, SHUT_WR);
	while (recv(fd, rest, sizeof(rest), 0) > 0)
		continue;
	return false;
}

static bool push_slam(int fd)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return false;
}

static bool push_one(struct push_server *s, int fd, struct push_request *x)
{
	struct push_reply p = {.status = 0};
	struct rule r;
	char rest[4096];

	if (!push_head_of(fd, x))
		return false;
	pthread_mutex_lock(&s->lock);
	assert(s->asked < SCRIPT_LOG);
	s->log[s->asked++] = strdup(x->q.head);
	r = rule_for(s, x->q.method);
	if (r.accident == SAY_EARLY)
		push_happen(s, &r, x, &p);
	pthread_mutex_unlock(&s->lock);
	if (r.accident == SAY_EARLY)
		return push_hurry(fd, x, &p);
	if (!push_body_of(fd, x, r.accident == CUT ? r.bytes : SIZE_MAX))
		return false;
	while (r.accident == HANG && recv(fd, rest, sizeof(rest), 0) > 0)
		continue;
	if (r.accident == HANG)
		return false;
	pthread_mutex_lock(&s->lock);
	if (r.accident)
		push_happen(s, &r, x, &p);
	else
		push_answer(s, x, &p);
	pthread_mutex_unlock(&s->lock);
	return p.silent ? push_slam(fd) : push_write(fd, x, &p);
}

struct push_connection {
	struct push_server *s;
	int fd, slot;
};

static void *push_serve(void *arg)
{
	struct push_request *x = malloc(sizeof(*x));
	struct push_connection *c = arg;
	bool more = true;

	assert(x);
	while (more) {
		more = push_one(c->s, c->fd, x);
		free(x->body);
		x->body = NULL;
	}
	free(x);
	pthread_mutex_lock(&c->s->lock);
	close(c->fd);
	c->s->fds[c->slot] = -1;
	c->s->live--;
	pthread_cond_broadcast(&c->s->gone);
	pthread_mutex_unlock(&c->s->lock);
	free(c);
	return NULL;
}

static void *push_accept(void *arg)
{
	struct push_server *s = arg;
	int fd, on = 1;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		struct push_connection *c = calloc(1, sizeof(*c));
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
		if (pthread_create(&thread, NULL, push_serve, c) != 0)
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

UNUSED static void push_server_init(struct push_server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	bool ok;

	memset(s, 0, sizeof(*s));
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
	assert_int_equal(pthread_create(&s->thread, NULL, push_accept, s), 0);
}

UNUSED static void push_server_done(struct push_server *s)
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
	for (unsigned i = 0; i < s->opened; i++)
		free(s->sessions[i].data);
	free(s->elsewhere);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->gone);
}

/* Requests so far whose head contains this text. */
UNUSED static unsigned push_asked(struct push_server *s, const char *text)
{
	unsigned n = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->asked; i++)
		n += strstr(s->log[i], text) != NULL;
	pthread_mutex_unlock(&s->lock);
	return n;
}
