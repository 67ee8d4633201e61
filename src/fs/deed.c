/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread for each: they are rare beside reads and look-ups, and a kernel that
 * asks for a thousand of them has a thousand processes waiting for it.
 */
#include "fs/deed.h"

#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/wait.h"

#define DEEDS_MAX 1024
#define STACK_BYTES (1 << 20)

struct deeds {
	pthread_mutex_t lock;
	pthread_cond_t none;
	unsigned count; /* protected by lock */
};

static _Thread_local bool naming;

bool deed_naming(void)
{
	return naming;
}

int deeds_new(struct deeds **ret)
{
	struct deeds *ds = calloc(1, sizeof(*ds));

	if (!ds)
		return -ENOMEM;
	pthread_mutex_init(&ds->lock, NULL);
	wait_cond_init(&ds->none);
	*ret = ds;
	return 0;
}

/* Not a wait of a caller's: those have all ended. */
void deeds_wait(struct deeds *ds, uint64_t ms)
{
	uint64_t end_ms = clock_ms() + ms;
	struct timespec until = {.tv_sec = (time_t)(end_ms / 1000),
				 .tv_nsec = (long)(end_ms % 1000) * 1000000};
	int r = 0;

	autolock(&ds->lock);
	while (ds->count > 0 && r == 0)
		r = pthread_cond_timedwait(&ds->none, &ds->lock, &until);
}

void deeds_free(struct deeds *ds)
{
	if (!ds)
		return;
	{
		autolock(&ds->lock);
		while (ds->count > 0)
			pthread_cond_wait(&ds->none, &ds->lock);
	}
	pthread_cond_destroy(&ds->none);
	pthread_mutex_destroy(&ds->lock);
	free(ds);
}

static bool count_one(struct deeds *ds)
{
	autolock(&ds->lock);
	if (ds->count >= DEEDS_MAX)
		return false;
	ds->count++;
	return true;
}

static void count_off(struct deeds *ds)
{
	autolock(&ds->lock);
	if (--ds->count == 0)
		pthread_cond_broadcast(&ds->none);
}

static void deed_free(struct deed *d)
{
	free(d->name);
	free(d->new_name);
	free(d->bytes);
	free(d);
}

int deed_new(fuse_req_t req, fuse_ino_t id, void (*run)(struct deed *d),
	     const char *name, const char *new_name, struct deed **ret)
{
	struct deed *d = calloc(1, sizeof(*d));

	if (d) {
		d->name = name ? strdup(name) : NULL;
		d->new_name = new_name ? strdup(new_name) : NULL;
	}
	if (!d || (name && !d->name) || (new_name && !d->new_name)) {
		if (d)
			deed_free(d);
		fuse_reply_err(req, ENOMEM);
		return -ENOMEM;
	}
	d->run = run;
	if (!call_begin(&d->call, req, id)) {
		deed_free(d);
		return -ESTALE;
	}
	d->call.wait.deadline_ms = clock_ms() + d->call.fs->times.commit_budget;
	*ret = d;
	return 0;
}

int deed_from(struct call *c, void (*run)(struct deed *d), const char *bytes,
	      size_t len, struct deed **ret)
{
	struct deed *d = calloc(1, sizeof(*d));

	if (d && bytes)
		d->bytes = malloc(len);
	if (!d || (bytes && !d->bytes)) {
		free(d);
		call_fail(c, -ENOMEM);
		return -ENOMEM;
	}
	if (bytes)
		memcpy(d->bytes, bytes, len);
	d->len = len;
	d->run = run;
	call_move(c, &d->call);
	d->call.wait.deadline_ms = clock_ms() + d->call.fs->times.commit_budget;
	*ret = d;
	return 0;
}

void deed_refuse(struct deed *d, int r)
{
	inode_put(d->call.fs->inodes, d->to);
	call_fail(&d->call, r);
	deed_free(d);
}

void deed_now(struct deed *d)
{
	struct inodes *inodes = d->call.fs->inodes;

	naming = d->naming;
	d->run(d);
	naming = false;
	inode_put(inodes, d->to);
	deed_free(d);
}

static void *deed_main(void *arg)
{
	struct deed *d = arg;
	struct deeds *ds = d->call.fs->deeds;

	deed_now(d);
	count_off(ds);
	return NULL;
}

static int start_thread(struct deed *d)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = pthread_create(&thread, &attr, deed_main, d);
	pthread_attr_destroy(&attr);
	return -r;
}

void deed_start(struct deed *d)
{
	struct deeds *ds = d->call.fs->deeds;

	if (!count_one(ds)) {
		deed_now(d);
		return;
	}
	if (start_thread(d) < 0) {
		deed_now(d);
		count_off(ds);
	}
}
