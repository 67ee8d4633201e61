/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name is asked for a second time.  That is only done after a quick
 * refusal, so it is quick again, and only failing names cost a thread.
 */
#include "http/dns.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

static enum http_fail classify(const char *host)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;

	switch (getaddrinfo(host, NULL, &hints, &list)) {
	case 0:
		freeaddrinfo(list);
		return HTTP_FAIL_DNS_AGAIN;
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return HTTP_FAIL_DNS;
	default:
		return HTTP_FAIL_DNS_AGAIN;
	}
}

static void *resolve_run(void *arg)
{
	struct http_transfer *t = arg;
	enum http_fail fail = classify(t->host);

	transfer_finish(t, fail, t->error);
	transfer_unref(t);
	return NULL;
}

void resolve_verdict(struct http_transfer *t)
{
	sigset_t all, before;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, NULL, resolve_run, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0) {
		pthread_detach(thread);
		return;
	}
	transfer_finish(t, HTTP_FAIL_DNS_AGAIN, t->error);
	transfer_unref(t);
}
