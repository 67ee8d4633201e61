/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of recent failures and their one log line.  A failure that repeats
 * (a reader that tries again and again) would push everything else out of the
 * ring and flood the log; within REPEAT_MS it only raises a count.  Our own
 * refusals have no more than a share of the ring.
 */
#include "registry/wire/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/log.h"

#define REPEAT_MS 5000
#define PRINT_MAX ((size_t)1 << 20)

struct fault_slot {
	struct fault f;
	uint64_t logged_ms;
	unsigned times;
};

struct fault_log {
	pthread_mutex_t lock; /* protects all below */
	struct fault_slot ring[FAULT_RING];
	size_t next; /* where the next one goes; the oldest once it is full */
	size_t filled;
	size_t count;
};

int fault_log_new(struct fault_log **ret)
{
	struct fault_log *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	*ret = l;
	return 0;
}

void fault_log_free(struct fault_log *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* i = 0 is the newest. */
static struct fault_slot *newest(struct fault_log *l, size_t i)
{
	return &l->ring[(l->next + 2 * FAULT_RING - 1 - i) % FAULT_RING];
}

static bool is_repeat(const struct fault_slot *s, const struct fault *f,
		      uint64_t now)
{
	return s->f.error == f->error && now - s->logged_ms < REPEAT_MS &&
	       strcmp(s->f.host, f->host) == 0 &&
	       strcmp(s->f.object, f->object) == 0;
}

/* The oldest of our own, if there are as many as may be. */
static void make_room(struct fault_log *l)
{
	size_t n = 0, i = 0;

	while (i < l->filled && n < FAULT_OWN)
		n += newest(l, i++)->f.own;
	if (n < FAULT_OWN)
		return;
	while (--i > 0)
		*newest(l, i) = *newest(l, i - 1);
	l->next = (l->next + FAULT_RING - 1) % FAULT_RING;
	l->filled--;
}

/* True if it is news and must be logged. */
static bool enter(struct fault_log *l, const struct fault *f)
{
	uint64_t now = clock_ms();
	struct fault_slot *s;

	autolock(&l->lock);
	l->count++;
	for (size_t i = 0; i < l->filled; i++) {
		s = newest(l, i);
		if (is_repeat(s, f, now)) {
			s->times++;
			return false;
		}
	}
	if (f->own)
		make_room(l);
	s = &l->ring[l->next];
	s->f = *f;
	if (!s->f.wall)
		s->f.wall = clock_wall();
	s->logged_ms = now;
	s->times = 1;
	l->next = (l->next + 1) % FAULT_RING;
	if (l->filled < FAULT_RING)
		l->filled++;
	return true;
}

static const char *errno_name(int error)
{
	const char *s = strerrorname_np(error);

	return s ? s : "EUNKNOWN";
}

void fault_record(struct fault_log *l, const struct fault *f)
{
	if (!enter(l, f))
		return;
	if (f->own)
		log_info("%s/%s: %s (%s)", f->host, f->object, f->text,
			 errno_name(f->error));
	else if (f->status)
		log_warning("%s/%s: %s (HTTP %d, %s)", f->host, f->object,
			    f->text, f->status, errno_name(f->error));
	else
		log_warning("%s/%s: %s (%s)", f->host, f->object, f->text,
			    errno_name(f->error));
}

/* What a registry says must not forge a line or steer a terminal. */
static int add_escaped(struct str *out, const char *s)
{
	return escape_text(s, "\\", out);
}

static int print_one(const struct fault_slot *s, struct str *out)
{
	char when[32];
	int r;

	clock_format_rfc3339(s->f.wall, when);
	r = str_addf(out, "%s %s %d ", when, errno_name(s->f.error),
		     s->f.status);
	if (r == 0)
		r = add_escaped(out, s->f.host);
	if (r == 0)
		r = str_addc(out, '/');
	if (r == 0)
		r = add_escaped(out, s->f.object);
	if (r == 0)
		r = str_add(out, ": ");
	if (r == 0)
		r = add_escaped(out, s->f.text);
	if (r == 0 && s->times > 1)
		r = str_addf(out, " [%u times]", s->times);
	return r < 0 ? r : str_addc(out, '\n');
}

int fault_log_print(struct fault_log *l, struct str *out)
{
	autostr lines = {.max = PRINT_MAX};
	int r = 0;

	autolock(&l->lock);
	for (size_t i = l->filled; i-- > 0 && r == 0;)
		r = print_one(newest(l, i), &lines);
	if (r < 0)
		return r;
	return lines.len ? str_addn(out, lines.buf, lines.len) : 0;
}

size_t fault_log_count(struct fault_log *l)
{
	autolock(&l->lock);
	return l->count;
}

int fault_log_last(struct fault_log *l, const char *host, const char *object,
		   struct fault *ret)
{
	autolock(&l->lock);
	for (size_t i = 0; i < l->filled; i++) {
		const struct fault_slot *s = newest(l, i);

		if (strcmp(s->f.host, host) != 0 ||
		    !str_prefix(s->f.object, object))
			continue;
		*ret = s->f;
		return 0;
	}
	return -ENOENT;
}
