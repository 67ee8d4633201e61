/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a sending, from the queue to its end; see sending.h. */
#include "push/sending.h"

#include <errno.h>
#include <stdlib.h>

#include "content/known.h"
#include "util/clock.h"

int sending_new(struct uploads *u, const struct upload_spec *spec, char *key,
		struct sending **ret)
{
	struct sending *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->uploads = u;
	s->key = key;
	s->digest = *spec->digest;
	s->repo = repo_ref(spec->repo);
	s->refs = 1;
	s->total = FEED_SIZE_UNKNOWN;
	list_init(&s->node);
	list_init(&s->tickets);
	wait_cond_init(&s->moved);
	*ret = s;
	return 0;
}

void sending_unref(struct sending *s)
{
	if (--s->refs > 0)
		return;
	pthread_cond_destroy(&s->moved);
	repo_unref(s->repo);
	free(s->key);
	free(s);
}

bool sending_is_waited_for(const struct sending *s)
{
	list_for(n, &s->tickets) {
		const struct upload *t = container_of(n, struct upload, node);

		if (!t->ahead && t->holders > 0)
			return true;
	}
	return false;
}

bool ticket_is_growing(const struct upload *t)
{
	return t->feed && !feed_ended(t->feed);
}

/* The less, the better; what waits for somebody who writes may wait long. */
static unsigned source_rank(const struct upload *t)
{
	if (t->feed)
		return feed_ended(t->feed) ? 0 : 2;
	return t->from ? 1 : 3;
}

struct upload *sending_choose(const struct sending *s)
{
	struct upload *best = NULL;

	list_for(n, &s->tickets) {
		struct upload *t = container_of(n, struct upload, node);

		if (!t->tried && (!best || source_rank(t) < source_rank(best)))
			best = t;
	}
	return best;
}

static void sending_leave_map(struct sending *s)
{
	if (map_find(s->uploads->open, s->key) == s)
		map_remove(s->uploads->open, s->key);
}

void sending_drop_kept(struct sending *s)
{
	list_del(&s->node);
	s->uploads->ahead_len--;
	sending_leave_map(s);
	sending_unref(s);
}

/* Takes the tickets off, too: those who hold them look at the result. */
void sending_end(struct sending *s, int result, struct list_node *dead)
{
	struct uploads *u = s->uploads;

	if (s->state == SENDING_QUEUED && !s->claimed)
		u->ahead_len--;
	s->state = SENDING_DONE;
	s->result = result;
	s->done_ms = clock_ms();
	list_del(&s->node);
	list_for_safe(n, &s->tickets) {
		struct upload *t = container_of(n, struct upload, node);

		list_del(&t->node);
		if (!t->tried)
			t->result = result;
		if (t->ahead)
			ticket_put(t, dead);
	}
	pthread_cond_broadcast(&s->moved);
	if (result == 0 && !s->claimed && !s->cancelled && !u->stopping) {
		list_push_back(&u->kept, &s->node);
		u->ahead_len++;
		return;
	}
	sending_leave_map(s);
	sending_unref(s);
}

void sending_cancel(struct sending *s, struct list_node *dead)
{
	s->cancelled = true;
	sending_leave_map(s);
	if (s->state == SENDING_RUNNING)
		wait_interrupt(&s->wait);
	else if (s->state == SENDING_QUEUED)
		sending_end(s, -ECANCELED, dead);
}

char *sending_key(const struct repo *r, const char *digest)
{
	return str_printf("%s/%s@%s", repo_host(r), repo_name(r), digest);
}

void upload_object(const struct sending *s, struct str *out)
{
	char digest[DIGEST_TEXT_MAX];

	digest_format(&s->digest, digest);
	str_addf(out, "%s/_blobs/%s", repo_name(s->repo), digest);
}

static bool is_first(struct sending *s, uint64_t size_bytes)
{
	struct digest empty;
	bool known;

	digest_of(s->digest.alg, "", 0, &empty);
	if (size_bytes == FEED_SIZE_UNKNOWN ||
	    (size_bytes == 0 && !digest_equal(&s->digest, &empty)))
		return false;
	autolock(&s->uploads->lock);
	known = s->learned;
	s->learned = true;
	return !known;
}

void sending_learn(struct sending *s, uint64_t size_bytes)
{
	if (is_first(s, size_bytes))
		learn_blob(s->repo, &s->digest, size_bytes);
}

void sending_learn_claimed(struct sending *s, uint64_t size_bytes)
{
	if (is_first(s, size_bytes))
		learn_blob_claimed(s->repo, &s->digest, size_bytes);
}
