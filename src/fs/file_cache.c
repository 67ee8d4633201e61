/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text is made when it is opened; what is to be forgotten is collected in
 * the handle, so that users of several handles do not meet.
 */
#include "fs/file_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "content/forget.h"
#include "fs/control.h"
#include "fs/file_text.h"
#include "push/outbox.h"
#include "util/auto.h"

struct cache_handle {
	struct str text;
	pthread_mutex_t lock;
	struct forget *forget; /* NULL: nothing yet; protected by lock */
};

bool file_cache_is(const char *name)
{
	return strcmp(name, FILE_CACHE_NAME) == 0 ||
	       strcmp(name, FILE_CACHE_JSON_NAME) == 0;
}

static int cache_print(struct node *n, struct str *out)
{
	struct outbox *o = node_outbox(n);

	return content_print_cache(
		node_content(n), o ? outbox_unfinished(o) : 0,
		strcmp(n->name, FILE_CACHE_JSON_NAME) == 0, out);
}

static int cache_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	autostr text = {0};
	int r = cache_print(n, &text);

	(void)w;
	if (r < 0)
		return r;
	/* As all that tells what is read here. */
	a->st.st_mode |= node_options(n)->allow_other ? 0400 : 0444;
	a->st.st_size = (off_t)text.len;
	clock_gettime(CLOCK_REALTIME, &a->st.st_mtim);
	return 0;
}

static void cache_close(struct node *n, void *handle)
{
	struct cache_handle *h = handle;

	(void)n;
	forget_free(h->forget);
	pthread_mutex_destroy(&h->lock);
	str_done(&h->text);
	free(h);
}

static int cache_open(struct node *n, struct wait *w, void **ret_handle)
{
	struct cache_handle *h = calloc(1, sizeof(*h));
	int r;

	(void)w;
	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	r = cache_print(n, &h->text);
	if (r < 0) {
		cache_close(n, h);
		return r;
	}
	*ret_handle = h;
	return 0;
}

static ssize_t cache_read(struct node *n, void *handle, void *buf, size_t len,
			  uint64_t off, struct wait *w)
{
	const struct cache_handle *h = handle;

	(void)n;
	(void)w;
	return text_slice(h->text.buf, h->text.len, buf, len, off);
}

/* --- demands --- */

static int add(struct node *n, struct cache_handle *h,
	       const struct control_path *in)
{
	int r = 0;

	if (!memchr(in->path, '\0', sizeof(in->path)))
		return -ENAMETOOLONG;
	autolock(&h->lock);
	if (!h->forget)
		r = forget_new(node_content(n), &h->forget);
	return r < 0 ? r : forget_add(h->forget, in->path);
}

static int run(struct cache_handle *h, const struct control_result *in,
	       struct control_result *out)
{
	struct forget_how how = {.indexes = in->flags & CONTROL_INDEXES,
				 .shared = in->flags & CONTROL_SHARED};
	struct forget_result result = {0};
	int r = 0;

	if (in->flags & ~(uint64_t)(CONTROL_INDEXES | CONTROL_SHARED))
		return -EINVAL;
	autolock(&h->lock);
	if (h->forget)
		r = forget_run(h->forget, &how, &result);
	*out = (struct control_result){
		.flags = in->flags,
		.blobs = result.blobs,
		.bytes = result.bytes,
		.kept = result.kept,
		.kept_bytes = result.kept_bytes,
		.indexes = result.indexes,
		.index_bytes = result.index_bytes,
	};
	return r;
}

static int cache_control(struct node *n, void *handle, unsigned cmd,
			 const void *in, size_t in_len, void *out,
			 size_t out_len)
{
	switch (cmd) {
	case CONTROL_ADD:
		return in_len == sizeof(struct control_path)
			       ? add(n, handle, in)
			       : -EINVAL;
	case CONTROL_FORGET:
		return in_len == sizeof(struct control_result) &&
				       out_len == in_len
			       ? run(handle, in, out)
			       : -EINVAL;
	case CONTROL_PRUNE:
		return out_len == sizeof(uint64_t)
			       ? content_prune(node_content(n), out)
			       : -EINVAL;
	default:
		return -ENOTTY;
	}
}

static const struct node_ops cache_ops = {
	.type = S_IFREG,
	.getattr = cache_getattr,
	.open = cache_open,
	.read = cache_read,
	.close = cache_close,
	.control = cache_control,
	.uncached = true,
};

int file_cache_new(struct node *parent, const char *name, struct node **ret)
{
	return node_new(&cache_ops, sizeof(struct node), parent, name,
			NODE_RANK_PLAIN, ret);
}
