/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A small HTTP/1.1 server on a loopback port whose answers are chosen by the
 * path.  One thread per connection.  For unit tests: it aborts on trouble.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_CONNECTIONS_MAX 256

struct server_connection;
struct server_request;

struct server {
	/* Answers below /up/, where bodies are left on the connection; or NULL.
	 * False ends the connection. */
	bool (*upload)(struct server_connection *c,
		       const struct server_request *q);
	int listener;
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t gone;
	int fds[SERVER_CONNECTIONS_MAX]; /* -1: free.  Protected by lock */
	int live;			 /* protected by lock */
	atomic_int connections, requests, broken;
	atomic_ullong sent;
};

struct server_request {
	char head[8192];
	char method[16], target[256];
	char *body;
	size_t body_len;
};

struct server_connection {
	struct server *s;
	int fd, slot;
	int served; /* requests before this one */
};

/* Byte `i` of every generated body. */
static inline char server_byte(uint64_t i)
{
	return (char)(i * 7 + (i >> 8) * 13 + (i >> 16));
}

static bool server_send(struct server_connection *c, const void *bytes,
			size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t w = send(c->fd, p, n, MSG_NOSIGNAL);

		if (w <= 0) {
			atomic_fetch_add(&c->s->broken, 1);
			return false;
		}
		atomic_fetch_add(&c->s->sent, (unsigned long long)w);
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static bool server_say(struct server_connection *c, const char *text)
{
	return server_send(c, text, strlen(text));
}

static bool server_pattern(struct server_connection *c, uint64_t n)
{
	char part[32768];

	for (uint64_t i = 0; i < n;) {
		size_t k = 0;

		for (; k < sizeof(part) && i < n; i++)
			part[k++] = server_byte(i);
		if (!server_send(c, part, k))
			return false;
	}
	return true;
}

/* Until the other side goes away, or the server does. */
static void server_hang(struct server_connection *c)
{
	char part[4096];

	while (recv(c->fd, part, sizeof(part), 0) > 0)
		continue;
}

/* False at the end of the connection. */
static bool server_receive(struct server_connection *c,
			   struct server_request *q)
{
	size_t n = 0, got = 0;
	const char *length;

	memset(q, 0, sizeof(*q));
	while (!strstr(q->head, "\r\n\r\n")) {
		if (n + 1 >= sizeof(q->head) ||
		    recv(c->fd, q->head + n, 1, 0) <= 0)
			return false;
		n++;
	}
	sscanf(q->head, "%15s %255s", q->method, q->target);
	atomic_fetch_add(&c->s->requests, 1);
	if (c->s->upload && strncmp(q->target, "/up/", 4) == 0)
		return true;
	length = strstr(q->head, "\r\nContent-Length: ");
	if (length)
		q->body_len = strtoul(length + 18, NULL, 10);
	q->body = calloc(1, q->body_len + 1);
	assert(q->body);
	while (got < q->body_len) {
		ssize_t r = recv(c->fd, q->body + got, q->body_len - got, 0);

		if (r <= 0) {
			free(q->body);
			return false;
		}
		got += (size_t)r;
	}
	return true;
}

/* Defined by the test: false ends the connection. */
static bool server_answer(struct server_connection *c,
			  const struct server_request *q);

static void *server_serve(void *arg)
{
	struct server_connection *c = arg;
	struct server_request *q = malloc(sizeof(*q));
	bool more = true;

	assert(q);
	while (more && server_receive(c, q)) {
		more = q->body ? server_answer(c, q) : c->s->upload(c, q);
		free(q->body);
		c->served++;
	}
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

static void server_admit(struct server *s, int fd)
{
	struct server_connection *c = calloc(1, sizeof(*c));
	pthread_t thread;

	assert(c);
	c->s = s;
	c->fd = fd;
	pthread_mutex_lock(&s->lock);
	while (c->slot < SERVER_CONNECTIONS_MAX && s->fds[c->slot] >= 0)
		c->slot++;
	assert(c->slot < SERVER_CONNECTIONS_MAX);
	s->fds[c->slot] = fd;
	s->live++;
	pthread_mutex_unlock(&s->lock);
	atomic_fetch_add(&s->connections, 1);
	assert(pthread_create(&thread, NULL, server_serve, c) == 0);
	pthread_detach(thread);
}

static void *server_accept(void *arg)
{
	struct server *s = arg;
	int small = 65536, on = 1, fd;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		server_admit(s, fd);
	}
	return NULL;
}

static void server_init(struct server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);

	memset(s, 0, sizeof(*s));
	for (int i = 0; i < SERVER_CONNECTIONS_MAX; i++)
		s->fds[i] = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->gone, NULL);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(s->listener >= 0);
	assert(bind(s->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
	assert(listen(s->listener, 128) == 0);
	assert(getsockname(s->listener, (struct sockaddr *)&a, &len) == 0);
	s->port = ntohs(a.sin_port);
	assert(pthread_create(&s->thread, NULL, server_accept, s) == 0);
}

/* Ends the connections that are open, but not the server. */
static void server_drop(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < SERVER_CONNECTIONS_MAX; i++)
		if (s->fds[i] >= 0)
			shutdown(s->fds[i], SHUT_RDWR);
	while (s->live > 0)
		pthread_cond_wait(&s->gone, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void server_done(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	server_drop(s);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->gone);
}
