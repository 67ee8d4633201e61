/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything libcurl would do on its own account is switched off: redirects,
 * credentials, cookies, decoding, signals, other schemes.  The callbacks run
 * in the engine's thread; the one that breaks a transfer off leaves the
 * reason in t->why, because libcurl only knows that it was broken off.
 */
#include "http/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "http/seen.h"
#include "util/clock.h"
#include "util/metric.h"

#define BUFFER_MIN ((size_t)16 * 1024)
#define BUFFER_MAX ((size_t)512 * 1024)
#define CA_CACHE_S 300
#define UPLOAD_BUFFER (128L * 1024)

/* The reason, for the callback that is about to break off. */
static void give_up(struct http_transfer *t, enum http_fail why,
		    const char *text)
{
	t->why = why;
	t->why_text = text;
}

/* Only a full head is published, and only one with one meaning. */
static void judge_head(struct http_transfer *t)
{
	const struct http_head *h = &t->head.pub;
	uint64_t length;

	if (head_length(h, &length) < 0) {
		give_up(t, HTTP_FAIL_PROTOCOL, "ambiguous Content-Length");
		return;
	}
	if (!t->accept_any_encoding && (h->status == 200 || h->status == 206) &&
	    head_encoded(h)) {
		give_up(t, HTTP_FAIL_PROTOCOL, "unwanted Content-Encoding");
		return;
	}
	/* What comes after half a request would be taken for its rest. */
	if (!bodyring_answered(t))
		curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
	transfer_publish_head(t);
	watch_enter(&t->watch, WATCH_BODY, clock_ms());
	if (length != UINT64_MAX && length > t->max_body_bytes &&
	    strcmp(t->method, "HEAD") != 0 && h->status != 304)
		give_up(t, HTTP_FAIL_TOO_LARGE, "Content-Length too large");
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	bool complete = t->head.state == HEAD_COMPLETE;
	int r = head_add_line(&t->head, line, size * n);

	if (r == -ENOMEM)
		give_up(t, HTTP_FAIL_LOCAL, "out of memory");
	else if (r < 0)
		give_up(t, HTTP_FAIL_PROTOCOL, "malformed or endless head");
	else if (!complete && t->head.state == HEAD_COMPLETE)
		judge_head(t);
	return t->why == HTTP_FAIL_NONE ? size * n : CURL_WRITEFUNC_ERROR;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	int r = transfer_put(t, bytes, size * n);

	if (r == 0)
		return size * n;
	if (r == -EAGAIN)
		return CURL_WRITEFUNC_PAUSE;
	if (r == -EFBIG)
		give_up(t, HTTP_FAIL_TOO_LARGE, "body too large");
	else if (r == -ENOMEM)
		give_up(t, HTTP_FAIL_LOCAL, "out of memory");
	else
		give_up(t, HTTP_FAIL_CANCELLED, "closed by its reader");
	return CURL_WRITEFUNC_ERROR;
}

static size_t on_upload(char *buf, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	ssize_t got = bodyring_take(t, buf, size * n);

	if (got >= 0)
		return (size_t)got;
	if (got == -EAGAIN)
		return CURL_READFUNC_PAUSE;
	give_up(t, HTTP_FAIL_LOCAL, "body shorter than announced");
	return CURL_READFUNC_ABORT;
}

/* libcurl starts again when a kept connection turns out to be dead. */
static int on_rewind(void *arg, curl_off_t offset, int origin)
{
	struct http_transfer *t = arg;

	return offset == 0 && origin == SEEK_SET && t->up.taken == 0
		       ? CURL_SEEKFUNC_OK
		       : CURL_SEEKFUNC_FAIL;
}

static bool peer_allowed(const struct http_transfer *t, enum http_peer peer)
{
	return t->proxy || t->peer == HTTP_PEER_ANY ||
	       (peer != HTTP_PEER_ANY && peer >= t->peer);
}

static bool has_body(const struct http_transfer *t)
{
	return t->body_bytes || (t->up.wanted && t->up.total);
}

/* Connected (or a connection is reused), nothing has been sent yet. */
static int on_connected(void *arg, char *peer_ip, char *local_ip, int peer_port,
			int local_port)
{
	struct http_transfer *t = arg;
	enum http_peer peer = http_peer_class(peer_ip);

	(void)local_ip;
	(void)local_port;
	if (!peer_allowed(t, peer)) {
		give_up(t, HTTP_FAIL_PEER, "connected address not allowed");
		return CURL_PREREQFUNC_ABORT;
	}
	if (t->head.state != HEAD_COMPLETE)
		t->head.pub.peer = t->proxy ? HTTP_PEER_ANY : peer;
	/* It does not always rewind what it has taken, but not yet sent. */
	if (t->up.taken > 0) {
		give_up(t, HTTP_FAIL_RESET, "connection lost in the body");
		return CURL_PREREQFUNC_ABORT;
	}
	if (t->look)
		seen_connected(t, peer_ip, peer_port);
	t->up.told_end = false;
	watch_enter(&t->watch, has_body(t) ? WATCH_SEND : WATCH_HEAD,
		    clock_ms());
	metric_add(METRIC_HTTP_REQUESTS, 1);
	return CURL_PREREQFUNC_OK;
}

static enum http_peer sockaddr_class(const struct curl_sockaddr *a)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct sockaddr_storage s = {0};

	if (a->addrlen > sizeof(s))
		return HTTP_PEER_ANY;
	memcpy(&s, &a->addr, a->addrlen);
	if (a->family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&s)->sin_addr, text,
			  sizeof(text));
	else if (a->family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&s)->sin6_addr,
			  text, sizeof(text));
	return http_peer_class(text);
}

/* Not even a SYN goes to an address that is not allowed; and no credential
 * helper inherits a socket. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose,
			       struct curl_sockaddr *a)
{
	struct http_transfer *t = arg;
	curl_socket_t fd;

	(void)purpose;
	if (!peer_allowed(t, sockaddr_class(a))) {
		t->peer_refused = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	if (fd < 0)
		t->socket_errno = errno;
	return fd;
}

/* Stops at the first option that fails: only memory can be short. */
#define SET(option, value)                                                     \
	do {                                                                   \
		if (c == CURLE_OK)                                             \
			c = curl_easy_setopt(t->easy, option, value);          \
	} while (0)

static CURLcode set_upload(struct http_transfer *t)
{
	bool known = t->up.total != HTTP_UPLOAD_UNKNOWN;
	CURLcode c = CURLE_OK;

	SET(CURLOPT_UPLOAD, 1L);
	SET(CURLOPT_INFILESIZE_LARGE, known ? (curl_off_t)t->up.total : -1);
	SET(CURLOPT_READFUNCTION, on_upload);
	SET(CURLOPT_READDATA, t);
	SET(CURLOPT_SEEKFUNCTION, on_rewind);
	SET(CURLOPT_SEEKDATA, t);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
	SET(CURLOPT_CUSTOMREQUEST, t->method);
	return c;
}

static CURLcode set_method(struct http_transfer *t)
{
	bool get = strcmp(t->method, "GET") == 0;
	CURLcode c = CURLE_OK;

	if (t->up.wanted)
		return set_upload(t);
	if (strcmp(t->method, "HEAD") == 0) {
		SET(CURLOPT_NOBODY, 1L);
		return c;
	}
	if (get || (strcmp(t->method, "DELETE") == 0 && !t->body)) {
		SET(CURLOPT_HTTPGET, 1L);
	} else {
		/* A body held in memory can be sent again when a kept
		 * connection turns out to be dead; "Content-Length: 0" is
		 * wanted without one (411 otherwise). */
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, t->body ? t->body : "");
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body_bytes);
	}
	if (!get && strcmp(t->method, "POST") != 0)
		SET(CURLOPT_CUSTOMREQUEST, t->method);
	return c;
}

static CURLcode set_tls(struct http_transfer *t)
{
	CURLcode c = CURLE_OK;

	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, t->insecure ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, t->insecure ? 0L : 2L);
	SET(CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
	if (t->ca_file)
		SET(CURLOPT_CAINFO, t->ca_file);
	if (t->client_cert)
		SET(CURLOPT_SSLCERT, t->client_cert);
	if (t->client_key)
		SET(CURLOPT_SSLKEY, t->client_key);
	return c;
}

static CURLcode set_callbacks(struct http_transfer *t)
{
	CURLcode c = CURLE_OK;

	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, t);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	return c;
}

static CURLcode set_connection(struct http_transfer *t,
			       const struct http_config *cfg)
{
	size_t buffer = t->window / 2;
	CURLcode c = CURLE_OK;

	/* What is paused waits in libcurl's own buffer and is moved there at
	 * each resume: it should not be much larger than what fits. */
	if (buffer > BUFFER_MAX)
		buffer = BUFFER_MAX;
	if (buffer < BUFFER_MIN)
		buffer = BUFFER_MIN;
	/* Refused by a handle that still has its last buffer: as good. */
	curl_easy_setopt(t->easy, CURLOPT_BUFFERSIZE, (long)buffer);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)cfg->connect_ms);
	SET(CURLOPT_PROXY, t->proxy ? t->proxy : "");
	SET(CURLOPT_NOPROXY, ""); /* decided already */
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_HTTP_VERSION, t->http1 ? (long)CURL_HTTP_VERSION_1_1
					   : (long)CURL_HTTP_VERSION_2TLS);
	/* Without TLS it takes a whole answer to learn that there is no
	 * HTTP/2, and everybody else would wait for that. */
	SET(CURLOPT_PIPEWAIT, t->https && !t->http1 ? 1L : 0L);
	/* Otherwise the end of a slow name resolution is waited for, by the
	 * one thread that all transfers share. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	return c;
}

CURLcode request_setup(struct http_transfer *t, const struct http_config *cfg)
{
	CURLcode c = CURLE_OK;

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_NONE);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_URL, t->url);
	SET(CURLOPT_HTTPHEADER, t->headers);
	if (cfg->user_agent)
		SET(CURLOPT_USERAGENT, cfg->user_agent);
	if (c == CURLE_OK)
		c = set_callbacks(t);
	if (c == CURLE_OK)
		c = set_method(t);
	if (c == CURLE_OK)
		c = set_tls(t);
	if (c == CURLE_OK)
		c = set_connection(t, cfg);
	return c == CURLE_OK && t->look ? seen_setup(t) : c;
}

static enum http_fail connect_verdict(const struct http_transfer *t)
{
	long e = 0;

	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &e);
	if (t->peer_refused)
		return HTTP_FAIL_PEER;
	/* libcurl knows only of what came of connect(2). */
	switch (e ? e : t->socket_errno) {
	case ECONNREFUSED:
		return HTTP_FAIL_REFUSED;
	case ETIMEDOUT:
		return HTTP_FAIL_CONNECT;
	case ECONNRESET:
		return HTTP_FAIL_RESET;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return HTTP_FAIL_LOCAL;
	default:
		return HTTP_FAIL_UNREACHABLE;
	}
}

static enum http_fail timeout_verdict(const struct http_transfer *t)
{
	curl_off_t looked_up = 0;

	if (t->watch.phase != WATCH_CONNECT)
		return HTTP_FAIL_STALL;
	curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
	return looked_up ? HTTP_FAIL_CONNECT : HTTP_FAIL_DNS_AGAIN;
}

/* CURLE_RECV_ERROR is also what a refusing proxy and bad chunks give. */
static enum http_fail receive_verdict(const struct http_transfer *t)
{
	long proxy_status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
	if (t->watch.phase == WATCH_CONNECT && proxy_status >= 300)
		return HTTP_FAIL_CONNECT;
	return strstr(t->error, "chunked-encoding") ? HTTP_FAIL_PROTOCOL
						    : HTTP_FAIL_RESET;
}

static enum http_fail verdict(const struct http_transfer *t, CURLcode code)
{
	switch ((int)code) {
	case CURLE_OK:
		return t->head.state == HEAD_COMPLETE ? HTTP_FAIL_NONE
						      : HTTP_FAIL_PROTOCOL;
	case CURLE_COULDNT_RESOLVE_HOST:
		return HTTP_FAIL_DNS;
	case CURLE_COULDNT_RESOLVE_PROXY:
		return HTTP_FAIL_DNS_AGAIN;
	case CURLE_COULDNT_CONNECT:
		return connect_verdict(t);
	case CURLE_PROXY:
		return HTTP_FAIL_CONNECT;
	case CURLE_OPERATION_TIMEDOUT:
		return timeout_verdict(t);
	case CURLE_PARTIAL_FILE:
		return HTTP_FAIL_SHORT;
	case CURLE_RECV_ERROR:
		return receive_verdict(t);
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
	case CURLE_SEND_FAIL_REWIND:
		return HTTP_FAIL_RESET;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_CLIENTCERT:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_USE_SSL_FAILED:
		return HTTP_FAIL_TLS;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL: /* an HTTP/0.9 answer */
	case 100: /* CURLE_TOO_LARGE of libcurl 8.6: a header */
	case CURLE_WRITE_ERROR:
	case CURLE_BAD_CONTENT_ENCODING:
		return HTTP_FAIL_PROTOCOL;
	default:
		return HTTP_FAIL_LOCAL;
	}
}

enum http_fail request_verdict(const struct http_transfer *t, CURLcode code,
			       const char **ret_text)
{
	if (t->why != HTTP_FAIL_NONE) {
		*ret_text = t->why_text;
		return t->why;
	}
	*ret_text = t->error[0] ? t->error : curl_easy_strerror(code);
	return verdict(t, code);
}
