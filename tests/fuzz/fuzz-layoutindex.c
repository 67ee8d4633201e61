/* SPDX-License-Identifier: Apache-2.0 */
/* The first line is the name of the directory; then the new index.json and,
 * after a line "---", the old one. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oci/mediatype.h"
#include "push/publish.h"
#include "util/str.h"

#define CUT "\n---\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	char *name;
	const char *now, *old; /* old: or NULL */
	size_t now_len, old_len;
};

static int split(const char *data, size_t size, struct input *ret)
{
	const char *newline = size ? memchr(data, '\n', size) : NULL;
	const char *cut;

	if (!newline)
		return -EINVAL;
	ret->name = strndup(data, (size_t)(newline - data));
	ret->now = newline + 1;
	ret->now_len = size - (size_t)(ret->now - data);
	cut = memmem(ret->now, ret->now_len, CUT, strlen(CUT));
	if (cut) {
		ret->old = cut + strlen(CUT);
		ret->old_len = size - (size_t)(ret->old - data);
		ret->now_len = (size_t)(cut - ret->now);
	}
	return ret->name ? 0 : -ENOMEM;
}

/* What is chosen is in the file, or is the file. */
static void check(const struct input *in, const struct descriptor *d,
		  bool itself)
{
	struct digest whole;
	struct manifest *m;
	bool is = false;

	if (!mediatype_is_document(mediatype_class(d->mediatype)))
		abort();
	if (manifest_parse(in->now, in->now_len, MEDIATYPE_OCI_INDEX,
			   d->digest.alg, &m, NULL) < 0)
		abort();
	for (size_t i = 0; i < m->children_len; i++)
		is |= digest_equal(&m->children[i].digest, &d->digest);
	whole = m->digest;
	manifest_free(m);
	if (itself ? !digest_equal(&whole, &d->digest) : !is)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct descriptor d = {.mediatype = NULL};
	struct input in = {.name = NULL};
	struct str why = {.max = 1024};
	bool itself = false;
	int r;

	if (split((const char *)data, size, &in) == 0) {
		r = publish_choose(in.now, in.now_len, in.old, in.old_len,
				   in.name, &d, &itself, &why);
		if (r == 0)
			check(&in, &d, itself);
		else if (d.mediatype || (r == -EINVAL && why.len == 0))
			abort();
		descriptor_done(&d);
	}
	str_done(&why);
	free(in.name);
	return 0;
}
