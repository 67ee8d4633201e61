/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upload sessions that an earlier run left open at registries: each is told to
 * forget it, once and in the background.  One that cannot be told lets it
 * expire by itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "push/outbox_private.h"
#include "registry/out/push.h"
#include "util/log.h"
#include "util/vec.h"

#define LEFTOVERS_MAX 1024

struct leftover {
	char *host, *repository, *url;
};

struct leftovers {
	struct outbox *outbox;
	VEC(struct leftover) left;
	pthread_t thread;
	bool has_thread;
	struct wait wait;
	pthread_mutex_t lock;
	bool stopping; /* protected by lock */
};

static void leftover_done(struct leftover *l)
{
	free(l->host);
	free(l->repository);
	free(l->url);
}

static int add_session(void *arg, const char *host, const char *repository,
		       const char *url)
{
	struct leftovers *ls = arg;
	struct leftover l;
	char *name;
	int r;

	if (ls->left.len >= LEFTOVERS_MAX)
		return 0;
	r = outbox_host_of(ls->outbox, host, &name);
	if (r < 0) /* another mirror's: it lets it expire by itself */
		return r == -EREMCHG ? 0 : r;
	l = (struct leftover){name, strdup(repository), strdup(url)};
	r = -ENOMEM;
	if (l.host && l.repository && l.url)
		r = vec_push(&ls->left, l);
	if (r < 0)
		leftover_done(&l);
	return r;
}

/* Lock not held.  False: the outbox is about to go. */
static bool begin_next(struct leftovers *ls)
{
	autolock(&ls->lock);
	if (ls->stopping)
		return false;
	wait_init(&ls->wait, ls->outbox->times.meta_budget, WAIT_CANCELLABLE);
	return true;
}

static void *leftovers_main(void *arg)
{
	struct leftovers *ls = arg;

	for (size_t i = 0; i < ls->left.len && begin_next(ls); i++) {
		const struct leftover *l = &ls->left.v[i];
		autoptr(repo) repo = NULL;

		/* It may be off the allow list by now. */
		if (repo_open(ls->outbox->content, l->host, l->repository,
			      &repo) < 0)
			continue;
		log_info("%s/%s: cancels an upload that an earlier run left",
			 l->host, l->repository);
		push_cancel(repo_registry(repo), l->repository, l->url,
			    &ls->wait);
	}
	return NULL;
}

int leftovers_start(struct outbox *o, struct leftovers **ret)
{
	struct leftovers *ls = calloc(1, sizeof(*ls));
	int r;

	if (!ls)
		return -ENOMEM;
	ls->outbox = o;
	pthread_mutex_init(&ls->lock, NULL);
	*ret = ls;
	/* A journal that refuses said why. */
	r = journal_take_sessions(o->journal, add_session, ls);
	if (r < 0 || ls->left.len == 0)
		return r == -ENOMEM ? r : 0;
	r = -pthread_create(&ls->thread, NULL, leftovers_main, ls);
	ls->has_thread = r == 0;
	return r;
}

void leftovers_free(struct leftovers *ls)
{
	if (!ls)
		return;
	pthread_mutex_lock(&ls->lock);
	ls->stopping = true;
	wait_interrupt(&ls->wait);
	pthread_mutex_unlock(&ls->lock);
	if (ls->has_thread)
		pthread_join(ls->thread, NULL);
	for (size_t i = 0; i < ls->left.len; i++)
		leftover_done(&ls->left.v[i]);
	vec_done(&ls->left);
	pthread_mutex_destroy(&ls->lock);
	free(ls);
}
