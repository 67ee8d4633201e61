/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel takes the lock of the directory that a notice is about, and holds
 * it while it waits for the answer to a mkdir, rename, symlink, unlink or rmdir
 * in there: who answers such a call leaves its news to a thread of our own.
 * All others tell the kernel themselves, so that it knows before they reply.
 *
 * A look-up that was answered from what was true before, and whose answer comes
 * after the notice, would be believed again: the state of the news is counted
 * up before a notice, and whoever began under another says that his answer is
 * not to be kept.
 */
#include "fs/news.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "content/repo.h"
#include "fs/deed.h"
#include "push/outbox.h"
#include "util/auto.h"
#include "util/vec.h"

struct notice {
	uint64_t dir; /* node id */
	char *name;
};

typedef VEC(struct notice) notices;

struct news {
	struct fs *fs;
	pthread_rwlock_t replying; /* held to count up; to reply: shared */
	_Atomic uint64_t state;
	pthread_mutex_t lock;
	pthread_cond_t woken;
	struct list_node places; /* protected by lock, like all below */
	notices queue;
	bool stopping, started;
	pthread_t thread;
};

/* --- telling --- */

static void tell_one(struct fs *fs, const struct notice *n)
{
	size_t len = strlen(n->name);
	int r;

	if (!fs->session || !atomic_load(&fs->answered))
		return;
	/* Whoever works in the directory keeps it, if it is the same still. */
	r = fuse_lowlevel_notify_expire_entry(fs->session, n->dir, n->name, len,
					      FUSE_LL_EXPIRE_ONLY);
	if (r == -ENOSYS)
		fuse_lowlevel_notify_inval_entry(fs->session, n->dir, n->name,
						 len);
}

/* Frees them too. */
static void tell_all(struct fs *fs, notices *v)
{
	for (size_t i = 0; i < v->len; i++) {
		tell_one(fs, &v->v[i]);
		free(v->v[i].name);
	}
	vec_done(v);
}

static void *news_main(void *arg)
{
	struct news *news = arg;

	for (;;) {
		notices now;
		bool stopping;

		pthread_mutex_lock(&news->lock);
		while (news->queue.len == 0 && !news->stopping)
			pthread_cond_wait(&news->woken, &news->lock);
		now = news->queue;
		memset(&news->queue, 0, sizeof(news->queue));
		stopping = news->stopping;
		pthread_mutex_unlock(&news->lock);
		tell_all(news->fs, &now);
		if (stopping)
			return NULL;
	}
}

/* Without memory it is known when the kernel asks again by itself. */
static void add_notice(notices *v, uint64_t dir, const char *name)
{
	struct notice n = {.dir = dir, .name = strdup(name)};

	if (n.name && vec_push(v, n) == 0)
		return;
	free(n.name);
}

/* The lock is held. */
static void look_at(const struct news_place *p, const char *name, notices *v)
{
	struct node *n = p->node;

	if (!p->name) {
		if (n->id)
			add_notice(v, n->id, name);
		return;
	}
	if (strcmp(p->name, name) != 0 && !p->means(n, name))
		return;
	p->changed(n);
	if (n->id && n->parent)
		add_notice(v, n->parent->id, n->name);
}

static bool is_in(const struct news_place *p, const char *host,
		  const char *repository)
{
	return strcmp(repo_host(p->repo), host) == 0 &&
	       strcmp(repo_name(p->repo), repository) == 0;
}

uint64_t news_state(struct news *news)
{
	return news ? atomic_load(&news->state) : 0;
}

int news_reply_entry(struct news *news, uint64_t began, fuse_req_t req,
		     const struct fuse_entry_param *e)
{
	struct fuse_entry_param mine = *e;
	int r;

	if (!news)
		return fuse_reply_entry(req, e);
	pthread_rwlock_rdlock(&news->replying);
	if (atomic_load(&news->state) != began)
		mine.entry_timeout = 0;
	r = fuse_reply_entry(req, &mine);
	pthread_rwlock_unlock(&news->replying);
	return r;
}

static void count_up(struct news *news)
{
	pthread_rwlock_wrlock(&news->replying);
	atomic_fetch_add(&news->state, 1);
	pthread_rwlock_unlock(&news->replying);
}

static void on_changed(void *arg, const char *host, const char *repository,
		       const char *name)
{
	struct news *news = arg;
	notices now = {0};

	count_up(news);
	{
		autolock(&news->lock);
		if (news->stopping)
			return;
		list_for(at, &news->places) {
			struct news_place *p =
				container_of(at, struct news_place, all);

			if (is_in(p, host, repository))
				look_at(p, name,
					deed_naming() ? &news->queue : &now);
		}
		pthread_cond_signal(&news->woken);
	}
	tell_all(news->fs, &now);
}

/* --- life --- */

/* Those who reply come without end; who counts up must not wait for that. */
static void replying_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

int news_new(struct fs *fs, struct news **ret)
{
	struct outbox_listener l = {.changed = on_changed};
	struct news *news = calloc(1, sizeof(*news));
	int r;

	if (!news)
		return -ENOMEM;
	news->fs = fs;
	replying_init(&news->replying);
	pthread_mutex_init(&news->lock, NULL);
	pthread_cond_init(&news->woken, NULL);
	list_init(&news->places);
	r = pthread_create(&news->thread, NULL, news_main, news);
	if (r != 0) {
		news_free(news);
		return -r;
	}
	news->started = true;
	l.arg = news;
	if (fs->outbox)
		outbox_listen(fs->outbox, &l);
	*ret = news;
	return 0;
}

void news_enlist(struct node *n, struct news_place *p)
{
	struct news *news = n->fs ? n->fs->news : NULL;

	list_init(&p->all);
	p->node = n;
	if (!news)
		return;
	autolock(&news->lock);
	list_push_back(&news->places, &p->all);
}

void news_delist(struct node *n, struct news_place *p)
{
	struct news *news = n->fs ? n->fs->news : NULL;

	if (!news)
		return;
	autolock(&news->lock);
	list_del(&p->all);
}

void news_stop(struct news *news)
{
	if (!news || !news->started)
		return;
	{
		autolock(&news->lock);
		news->stopping = true;
		pthread_cond_signal(&news->woken);
	}
	pthread_join(news->thread, NULL);
	news->started = false;
}

void news_free(struct news *news)
{
	const struct outbox_listener none = {.changed = NULL};

	if (!news)
		return;
	news_stop(news);
	if (news->fs->outbox)
		outbox_listen(news->fs->outbox, &none);
	pthread_cond_destroy(&news->woken);
	pthread_mutex_destroy(&news->lock);
	pthread_rwlock_destroy(&news->replying);
	free(news);
}
