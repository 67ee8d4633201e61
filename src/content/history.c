/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns but the last hold no blank; the last is whatever the image's maker
 * wrote, so what could steer a terminal or begin a line is escaped.
 */
#include "content/history.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "content/blob.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"

#define COMMAND_MAX ((size_t)16 << 10)
#define TAIL_MAX 64 /* for the last line, where the text is cut */
#define NOT_KNOWN "-"

AUTOPTR_DEFINE(imageconf, imageconf_free)

struct row {
	size_t step;			   /* counts from 0 */
	int layer;			   /* -1: none */
	const struct imageconf_step *said; /* or NULL */
};

static size_t escape_one(const char *s, size_t len, char out[8])
{
	unsigned char c = (unsigned char)s[0];

	if (c == '\n' || c == '\t' || c == '\r') {
		snprintf(out, 8, "\\%c",
			 c == '\n'   ? 'n'
			 : c == '\t' ? 't'
				     : 'r');
		return 1;
	}
	if (c < 0x20 || c == 0x7f) {
		snprintf(out, 8, "\\x%02x", c);
		return 1;
	}
	/* U+0080 to U+009F steer terminals, too. */
	if (c == 0xc2 && len > 1 && (unsigned char)s[1] < 0xa0) {
		snprintf(out, 8, "\\u%04x", (unsigned char)s[1]);
		return 2;
	}
	if (c == '\\') {
		snprintf(out, 8, "\\\\");
		return 1;
	}
	out[0] = (char)c;
	out[1] = '\0';
	return 1;
}

static int add_command(const char *s, struct str *out)
{
	size_t len = strlen(s);
	char one[8];
	int r = 0;

	for (size_t i = 0; i < len && r == 0;) {
		if (i >= COMMAND_MAX && ((unsigned char)s[i] & 0xc0) != 0x80)
			return str_add(out, "...");
		i += escape_one(s + i, len - i, one);
		r = str_add(out, one);
	}
	return r;
}

static const char *command_of(const struct imageconf_step *step)
{
	if (step && step->created_by)
		return step->created_by;
	return step && step->comment ? step->comment : NOT_KNOWN;
}

static int add_row(const struct row *row, const struct manifest *m,
		   struct str *out)
{
	char layer[16] = NOT_KNOWN, size[24] = NOT_KNOWN, time[32] = NOT_KNOWN;
	const struct descriptor *d;
	int r;

	if (row->layer >= 0) {
		d = &m->children[row->layer];
		snprintf(layer, sizeof(layer), "%02d", row->layer);
		if (d->size_bytes != DESCRIPTOR_SIZE_UNKNOWN)
			snprintf(size, sizeof(size), "%llu",
				 (unsigned long long)d->size_bytes);
	}
	if (row->said && row->said->has_created)
		clock_format_rfc3339(row->said->created.tv_sec, time);
	r = str_addf(out, "%4zu  %-5s  %12s  %-20s  ", row->step, layer, size,
		     time);
	if (r == 0)
		r = add_command(command_of(row->said), out);
	return r < 0 ? r : str_addc(out, '\n');
}

static int add_rows(const struct manifest *m, const struct imageconf *conf,
		    struct str *out)
{
	bool told = conf && conf->steps_len > 0;
	size_t n = told ? conf->steps_len : m->children_len;

	for (size_t i = 0; i < n; i++) {
		struct row row = {.step = i, .layer = (int)i};
		size_t before = out->len;
		int r;

		if (told) {
			row.said = &conf->steps[i];
			row.layer = row.said->layer;
		}
		r = add_row(&row, m, out);
		if (r == 0 && out->len <= HISTORY_BYTES_MAX - TAIL_MAX)
			continue;
		if (r < 0 && r != -EFBIG)
			return r;
		str_truncate(out, before);
		return str_addf(out, "# %zu more are left out\n", n - i);
	}
	return 0;
}

int history_format(const struct manifest *m, const struct imageconf *conf,
		   struct str *out)
{
	int r;

	r = str_addf(out, "%4s  %-5s  %12s  %-20s  %s\n", "STEP", "LAYER",
		     "SIZE", "CREATED", "CREATED_BY");
	if (r == 0 && (!conf || conf->steps_len == 0) && m->children_len > 0)
		r = str_add(out, "# the configuration has no history that "
				 "fits the layers\n");
	return r < 0 ? r : add_rows(m, conf, out);
}

/* *ret stays NULL where the registry has none, or one that is broken. */
static int fetch_conf(struct image *i, const struct manifest *m, struct wait *w,
		      struct imageconf **ret)
{
	autofree char *bytes = NULL;
	struct json_error err;
	int r;

	if (m->class != MEDIATYPE_MANIFEST)
		return 0;
	r = blob_read_whole(image_repo(i), &m->config.digest,
			    m->config.size_bytes, IMAGECONF_BYTES_MAX, w,
			    &bytes);
	if (r == 0)
		r = imageconf_parse(bytes, (size_t)m->config.size_bytes,
				    m->children_len, ret, &err);
	return r == -ENOENT || r == -EBADMSG || r == -EFBIG ? 0 : r;
}

int history_fetch(struct image *i, struct wait *w, struct str *out)
{
	autoptr(imageconf) conf = NULL;
	const struct manifest *m;
	int r;

	r = image_platform(i, w, &m);
	if (r == 0)
		r = fetch_conf(i, m, w, &conf);
	return r < 0 ? r : history_format(m, conf, out);
}
