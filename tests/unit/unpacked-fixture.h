/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Layers and images in the scripted registries, and what a reader finds inside
 * them, as text.
 */
#include "content-fixture.h"

#include <dirent.h>

#include "content/unpacked.h"
#include "layer/zchunked.h"
#include "tar-fixture.h"
#include "util/encode.h"
#undef COUNT
#include "toc-fixture.h"

#define LAYER "application/vnd.oci.image.layer.v1.tar"
#define OTHER "other/app"

static struct fixture *f;
static struct wait patience_now;

UNUSED static void start(bool disk)
{
	f = fixture_new(disk);
	f->options.layer_entries = 100000;
	f->options.layer_ratio = 256;
	f->options.layer_size = (uint64_t)1 << 30;
}

UNUSED static struct wait *patient(void)
{
	wait_init(&patience_now, 15000, 0);
	return &patience_now;
}

/* --- making layers and images --- */

struct part {
	char *bytes; /* kept */
	size_t len;
	struct digest digest, diff_id;
	const char *type;
	const char *annotations; /* JSON, or NULL */
};

UNUSED static void keep_packed(struct part *p, const struct packed *packed)
{
	p->bytes = keep(f, malloc(packed->len + 1));
	memcpy(p->bytes, packed->v, packed->len);
	p->len = packed->len;
	digest_of(HASH_SHA256, p->bytes, p->len, &p->digest);
}

/* "a" and "b" and a link to "a", each with what it is to hold. */
UNUSED static void put_two(struct str *tar, const char *a, const char *b)
{
	put_file(tar, "a", a);
	put_file(tar, "b", b);
	put_entry(tar, &(struct head){.type = '2', .name = "link", .link = "a"},
		  "", 0);
	put_end(tar);
}

UNUSED static struct part two(const char *a, const char *b)
{
	struct part p = {.type = LAYER "+gzip"};
	struct str tar = {0};

	put_two(&tar, a, b);
	{
		autopacked packed = pack_gzip(tar.buf, tar.len);

		keep_packed(&p, &packed);
	}
	digest_of(HASH_SHA256, tar.buf, tar.len, &p.diff_id);
	str_done(&tar);
	return p;
}

UNUSED static struct part plain(const char *type, const char *bytes, size_t len)
{
	struct part p = {.type = type, .len = len};

	p.bytes = keep(f, malloc(len + 1));
	memcpy(p.bytes, bytes, len);
	digest_of(HASH_SHA256, bytes, len, &p.digest);
	p.diff_id = p.digest;
	return p;
}

UNUSED static void give(struct site *site, const char *repository,
			const struct part *p)
{
	put_blob(f, site, repository, p->bytes, p->len, NULL);
}

UNUSED static void add_part(struct str *s, const struct part *p)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(&p->digest, text);
	str_addf(s, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu",
		 p->type, text, p->len);
	if (p->annotations)
		str_addf(s, ",\"annotations\":%s", p->annotations);
	str_addc(s, '}');
}

UNUSED static struct part config_of(const struct part *layers, size_t n)
{
	struct str s = {.max = 1 << 20};
	char text[DIGEST_TEXT_MAX];
	struct part p;

	str_add(&s, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{"
		    "\"type\":\"layers\",\"diff_ids\":[");
	for (size_t i = 0; i < n; i++) {
		digest_format(&layers[i].diff_id, text);
		str_addf(&s, "%s\"%s\"", i ? "," : "", text);
	}
	str_add(&s, "]}}");
	p = plain(MEDIATYPE_OCI_CONFIG, s.buf, s.len);
	str_done(&s);
	return p;
}

/* A manifest, in that repository; nothing of what it names is put there. */
UNUSED static struct digest image_of(const char *repository,
				     const struct part *conf,
				     const struct part *layers, size_t n)
{
	struct str s = {.max = 1 << 20};
	struct digest d;

	str_add(&s, "{\"schemaVersion\":2,\"mediaType\":"
		    "\"" MEDIATYPE_OCI_MANIFEST "\",\"config\":");
	add_part(&s, conf);
	str_add(&s, ",\"layers\":[");
	for (size_t i = 0; i < n; i++) {
		str_add(&s, i ? "," : "");
		add_part(&s, &layers[i]);
	}
	str_add(&s, "]}");
	put_manifest(f, &f->here, repository, MEDIATYPE_OCI_MANIFEST,
		     keep(f, str_steal(&s)), &d);
	return d;
}

/* An image with all its parts. */
UNUSED static struct digest whole_image(const char *repository,
					const struct part *layers, size_t n)
{
	struct part conf = config_of(layers, n);

	give(&f->here, repository, &conf);
	for (size_t i = 0; i < n; i++)
		give(&f->here, repository, &layers[i]);
	return image_of(repository, &conf, layers, n);
}

/* --- looking into them --- */

UNUSED static struct unpacked *layer_in(struct repo *r, const struct part *p)
{
	struct unpacked *u;

	assert_int_equal(unpacked_open_layer(r, &p->digest, patient(), &u), 0);
	return u;
}

UNUSED static struct unpacked *rootfs_in(struct repo *r, const struct digest *d)
{
	struct unpacked *u;

	assert_int_equal(unpacked_open_rootfs(r, d, patient(), &u), 0);
	return u;
}

UNUSED static int find(struct unpacked *u, const char *name)
{
	struct tree_inode i;

	return unpacked_find(u, TREE_ROOT, name, patient(), &i, NULL);
}

/* All names of the top, with commas; or what the failure was. */
UNUSED static const char *names_of(struct unpacked *u)
{
	static char text[1000];
	struct tree_name *names;
	size_t len, at = 0;
	int r;

	r = unpacked_list(u, TREE_ROOT, NULL, 0, 100, patient(), &names, &len);
	if (r < 0) {
		snprintf(text, sizeof(text), "%d", r);
		return text;
	}
	text[0] = '\0';
	for (size_t i = 0; i < len; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s",
				       i ? "," : "", names[i].name);
	tree_names_free(names, len);
	return text;
}

/* What is in the file, or the number of what went wrong. */
UNUSED static const char *content_of(struct unpacked *u, const char *name)
{
	static char text[100];
	struct unpacked_file *file = NULL;
	struct tree_inode i;
	ssize_t n;
	int r;

	r = unpacked_find(u, TREE_ROOT, name, patient(), &i, NULL);
	if (r == 0)
		r = unpacked_open_file(u, i.ino, patient(), &file);
	if (r == 0) {
		n = unpacked_read(file, text, sizeof(text) - 1, 0, patient());
		unpacked_close_file(file);
		if (n >= 0) {
			text[n] = '\0';
			return text;
		}
		r = (int)n;
	}
	snprintf(text, sizeof(text), "%d", r);
	return text;
}

#define assert_fails(text, error)                                              \
	do {                                                                   \
		char want_[16];                                                \
		snprintf(want_, sizeof(want_), "%d", error);                   \
		assert_string_equal(text, want_);                              \
	} while (0)

/* Kept trees whose names begin so are removed, or given to `to`. */
UNUSED static void move_trees(const char *prefix, const char *to)
{
	char dir[200], path[600], target[600];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/cache/trees", f->c.home);
	d = opendir(dir);
	if (!d)
		return;
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		snprintf(target, sizeof(target), "%s/%s", dir, to ? to : "");
		(void)(to ? rename(path, target) : unlink(path));
	}
	closedir(d);
}

/* --- with a table of contents --- */

UNUSED static void add_frame(struct str *out, const void *bytes, size_t len)
{
	autopacked p = pack_zstd(bytes, len);

	assert_int_equal(str_addn(out, (const char *)p.v, p.len), 0);
}

UNUSED static void add_file(struct str *json, const char *name,
			    const char *content, size_t from, size_t to)
{
	struct digest d;
	char text[DIGEST_TEXT_MAX];

	digest_of(HASH_SHA256, content, strlen(content), &d);
	digest_format(&d, text);
	str_addf(json,
		 "{\"type\":\"reg\",\"name\":\"%s\",\"size\":%zu,\"mode\":420,"
		 "\"digest\":\"%s\",\"offset\":%zu,\"endOffset\":%zu}",
		 name, strlen(content), text, from, to);
}

/* As two(), and with a table that has them in another order. */
UNUSED static struct part two_with_table(const char *a, const char *b)
{
	struct part p = {.type = LAYER "+zstd"};
	struct str tar = {0}, json = {.max = 1 << 16};
	struct str out = {.max = 1 << 20};
	size_t from[2], to[2];
	uint32_t frame[2] = {0x184d2a50};
	struct digest sum;
	char text[DIGEST_TEXT_MAX];

	put_two(&tar, a, b);
	add_frame(&out, tar.buf, 512);
	from[0] = out.len;
	add_frame(&out, tar.buf + 512, strlen(a));
	to[0] = out.len;
	add_frame(&out, tar.buf + 512 + strlen(a), 1024 - strlen(a));
	from[1] = out.len;
	add_frame(&out, tar.buf + 1536, strlen(b));
	to[1] = out.len;
	add_frame(&out, tar.buf + 1536 + strlen(b), tar.len - 1536 - strlen(b));
	str_add(&json, "{\"version\":1,\"entries\":[");
	add_file(&json, "b", b, from[1], to[1]);
	str_addc(&json, ',');
	add_file(&json, "a", a, from[0], to[0]);
	str_add(&json, "]}");
	{
		autopacked table = pack_zstd(json.buf, json.len);

		frame[1] = (uint32_t)table.len;
		str_addn(&out, (const char *)frame, sizeof(frame));
		digest_of(HASH_SHA256, table.v, table.len, &sum);
		digest_format(&sum, text);
		p.annotations = keep(
			f, str_printf("{\"" ZCHUNKED_CHECKSUM_KEY "\":\"%s\","
				      "\"" ZCHUNKED_POSITION_KEY
				      "\":\"%zu:%zu:%zu:1\"}",
				      text, out.len, table.len, json.len));
		str_addn(&out, (const char *)table.v, table.len);
	}
	digest_of(HASH_SHA256, tar.buf, tar.len, &p.diff_id);
	p.len = out.len;
	p.bytes = keep(f, str_steal(&out));
	digest_of(HASH_SHA256, p.bytes, p.len, &p.digest);
	str_done(&tar);
	str_done(&json);
	return p;
}
