/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text is made when its size is asked for or it is opened, and kept: its
 * size has to be right, or what copies the image directory cuts it short.
 * Until then nothing is fetched for it.
 */
#include "fs/file_history.h"

#include <errno.h>
#include <stdlib.h>

#include "content/history.h"
#include "fs/file_text.h"
#include "fs/overlay.h"
#include "util/auto.h"

struct file_history {
	struct node node;
	struct image *image;
	pthread_mutex_t lock;
	struct str text; /* never changes once it has a buf; set under lock */
};

static const struct str *history_made(struct file_history *f)
{
	autolock(&f->lock);
	return f->text.buf ? &f->text : NULL;
}

/* The first to come keeps it. */
static int history_text(struct file_history *f, struct wait *w,
			const struct str **ret)
{
	autostr text = {.max = HISTORY_BYTES_MAX};
	int r;

	*ret = history_made(f);
	if (*ret)
		return 0;
	r = history_fetch(f->image, w, &text);
	if (r < 0)
		return r;
	{
		autolock(&f->lock);
		if (!f->text.buf) {
			f->text = text;
			text = (struct str){.buf = NULL};
		}
	}
	*ret = &f->text;
	return 0;
}

static int history_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	struct file_history *f = (struct file_history *)n;
	const struct str *text;
	int r;

	r = history_text(f, w, &text);
	if (r < 0)
		return r;
	a->st.st_mode |= NODE_FILE_MODE;
	a->st.st_size = (off_t)text->len;
	image_time_known(f->image, &a->st.st_mtim);
	return 0;
}

static void history_done(struct node *n)
{
	struct file_history *f = (struct file_history *)n;

	image_unref(f->image);
	str_done(&f->text);
	pthread_mutex_destroy(&f->lock);
}

static int history_open(struct node *n, struct wait *w, void **ret_handle)
{
	const struct str *text;

	*ret_handle = NULL;
	return history_text((struct file_history *)n, w, &text);
}

static ssize_t history_read(struct node *n, void *handle, void *buf, size_t len,
			    uint64_t off, struct wait *w)
{
	const struct str *text = history_made((struct file_history *)n);

	(void)handle;
	(void)w;
	return text ? text_slice(text->buf, text->len, buf, len, off) : 0;
}

static void history_close(struct node *n, void *handle)
{
	(void)n;
	(void)handle;
}

static const struct node_ops history_ops = {
	.type = S_IFREG,
	.getattr = history_getattr,
	.done = history_done,
	.open = history_open,
	.read = history_read,
	.close = history_close,
	.settable = true,
	.write_open = overlay_write_open,
};

int file_history_new(struct node *parent, const char *name, struct image *image,
		     struct node **ret)
{
	struct file_history *f;
	int r;

	r = node_new(&history_ops, sizeof(*f), parent, name, NODE_RANK_PLAIN,
		     ret);
	if (r < 0)
		return r;
	f = (struct file_history *)*ret;
	pthread_mutex_init(&f->lock, NULL);
	f->image = image_ref(image);
	return 0;
}
