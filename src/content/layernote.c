/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kept as the descriptor's annotations that matter, in JSON, and read by the
 * same code as a fresh descriptor: there is one parser of claims.
 */
#include "content/layernote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/json.h"

#define TITLE_KEY "org.opencontainers.image.title"
#define NOTE_MAX ((size_t)64 << 10)

static const char *const key_parts[] = {TITLE_KEY, "containerd.io/snapshot/",
					"io.github.containers.zstd-chunked.",
					"io.containers."};

static bool key_matters(const char *key)
{
	for (size_t i = 0; i < sizeof(key_parts) / sizeof(key_parts[0]); i++)
		if (str_prefix(key, key_parts[i]))
			return true;
	return false;
}

void layernote_done(struct layernote *n)
{
	free(n->title);
	memset(n, 0, sizeof(*n));
}

static const char *annotation_of(const void *arg, const char *key)
{
	return descriptor_annotation(arg, key);
}

int layernote_read(const struct descriptor *d, struct layernote *ret)
{
	struct layernote n = {0};
	const char *title = descriptor_annotation(d, TITLE_KEY);

	/* What is claimed in a way that cannot be, is not claimed. */
	if (toc_claim_read(annotation_of, d, &n.claim) < 0)
		n.claim = (struct toc_claim){.kind = TOC_NONE};
	if (title) {
		n.title = strdup(title);
		if (!n.title)
			return -ENOMEM;
	}
	*ret = n;
	return 0;
}

static char *note_key(struct repo *r, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	return str_printf("layer %s/%s@%s", r->host, r->name, text);
}

static int note_format(const struct descriptor *d, struct str *out)
{
	const char *comma = "";
	int r = str_addc(out, '{');

	for (size_t i = 0; i < d->annotations_len && r == 0; i++) {
		if (!key_matters(d->annotations[i].key))
			continue;
		r = str_add(out, comma);
		if (r == 0)
			r = json_add_string(out, d->annotations[i].key);
		if (r == 0)
			r = str_addc(out, ':');
		if (r == 0)
			r = json_add_string(out, d->annotations[i].value);
		comma = ",";
	}
	return r == 0 ? str_addc(out, '}') : r;
}

static bool note_worth(const struct descriptor *d)
{
	for (size_t i = 0; i < d->annotations_len; i++)
		if (key_matters(d->annotations[i].key))
			return true;
	return false;
}

void layernote_save(struct repo *r, const struct manifest *m)
{
	if (m->class == MEDIATYPE_INDEX)
		return;
	for (size_t i = 0; i < m->children_len; i++) {
		const struct descriptor *d = &m->children[i];
		autofree char *key = NULL;
		autostr text = {.max = NOTE_MAX};

		if (!note_worth(d))
			continue;
		key = note_key(r, &d->digest);
		/* Lost, the layer is read as the archive that it also is. */
		if (key && note_format(d, &text) == 0)
			list_put(r->content->store, key, text.buf, text.len);
	}
}

static int note_parse(const char *bytes, size_t len, struct layernote *ret)
{
	struct descriptor d = {0};
	struct json *j = NULL;
	autofree char *wrapped = NULL;
	int r;

	wrapped = str_printf("{\"annotations\":%.*s}", (int)len, bytes);
	if (!wrapped)
		return -ENOMEM;
	r = json_parse(wrapped, strlen(wrapped), NOTE_MAX + 64, &j, NULL);
	if (r < 0)
		return r;
	r = annotations_from_json(j, &d.annotations, &d.annotations_len, NULL);
	json_free(j);
	if (r == 0)
		r = layernote_read(&d, ret);
	annotations_free(d.annotations, d.annotations_len);
	return r;
}

int layernote_load(struct repo *r, const struct digest *d,
		   struct layernote *ret)
{
	autofree char *key = note_key(r, d), *bytes = NULL;
	struct layernote none = {0};
	int64_t wall;
	size_t len;
	int e;

	if (!key)
		return -ENOMEM;
	e = list_get(r->content->store, key, &wall, &bytes, &len);
	if (e == 0)
		e = len <= NOTE_MAX ? note_parse(bytes, len, ret) : -EFBIG;
	if (e == 0 || e == -ENOMEM)
		return e;
	*ret = none;
	return 0;
}
