/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What tools call, as tables of steps (limits.md 2), against a draft.  Contents
 * are single letters: an image M of a configuration C and a layer L, an
 * index.json I that names it.  "@L" in a path is its name among the blobs.
 */
#include "draft-fixture.h"
#include "oci/layout.h"

#define HANDLES 4
#define STEPS_MAX 40

enum op {
	END,
	CREATE, /* handle, path, tid */
	EDIT,	/* not truncated */
	WRITE,	/* handle, content */
	HALF,	/* the first half of it */
	REST,	/* the second */
	SIZE,	/* truncates: to `arg` bytes */
	COPY,	/* all of a content from elsewhere */
	FLUSH,
	SYNC, /* fsync of the file */
	CLOSE,
	MKDIR,
	LINK,
	SYMLINK,
	MOVE,
	MOVE_KEEP,
	UNLINK,
	RMDIR,
	DYING,	 /* process */
	EXITED,	 /* process */
	BARRIER, /* fsync of the directory */
	STAT,
	BYTES,	  /* how many a file has */
	TAG,	  /* is the tag the image? */
	SIBLINGS, /* how often the others were begun ahead */
};

struct step {
	enum op op;
	int handle;
	const char *path, *arg;
	pid_t tid;
	int want;
};

static struct {
	char name;
	char text[1024];
	size_t len;
	struct digest digest;
} contents[16];
static size_t contents_len;

static size_t content_at(char name)
{
	for (size_t i = 0; i < contents_len; i++) {
		if (contents[i].name == name)
			return i;
	}
	fail_msg("no content %c", name);
	return 0;
}

static void content_add(char name, const char *text, size_t len)
{
	assert_true(contents_len < COUNT(contents) &&
		    len < sizeof(contents[0].text));
	contents[contents_len].name = name;
	memcpy(contents[contents_len].text, text, len);
	contents[contents_len].text[len] = '\0';
	contents[contents_len].len = len;
	digest_of(HASH_SHA256, text, len, &contents[contents_len].digest);
	contents_len++;
}

static void add_manifest(char name, char config, char layer)
{
	char c[DIGEST_TEXT_MAX], l[DIGEST_TEXT_MAX];
	autostr text = {0};

	digest_format(&contents[content_at(config)].digest, c);
	digest_format(&contents[content_at(layer)].digest, l);
	assert_int_equal(
		str_addf(&text,
			 "{\"schemaVersion\":2,\"mediaType\":\"%s\","
			 "\"config\":{\"mediaType\":\"%s\",\"digest\":"
			 "\"%s\",\"size\":2},\"layers\":[{\"mediaType\":"
			 "\"application/vnd.oci.image.layer.v1.tar\","
			 "\"digest\":\"%s\",\"size\":%zu}]}",
			 MEDIATYPE_OCI_MANIFEST, MEDIATYPE_OCI_CONFIG, c, l,
			 contents[content_at(layer)].len),
		0);
	content_add(name, text.buf, text.len);
}

/* An index.json of these; without any it lists nothing. */
static void add_index(char name, const char *of)
{
	autostr text = {0};

	assert_int_equal(str_addf(&text,
				  "{\"schemaVersion\":2,\"mediaType\":\"%s\","
				  "\"manifests\":[",
				  MEDIATYPE_OCI_INDEX),
			 0);
	for (const char *s = of; *s; s++) {
		char d[DIGEST_TEXT_MAX];
		size_t i = content_at(*s);

		digest_format(&contents[i].digest, d);
		assert_int_equal(str_addf(&text,
					  "%s{\"mediaType\":\"%s\",\"digest\":"
					  "\"%s\",\"size\":%zu}",
					  s == of ? "" : ",",
					  MEDIATYPE_OCI_MANIFEST, d,
					  contents[i].len),
				 0);
	}
	assert_int_equal(str_add(&text, "]}"), 0);
	content_add(name, text.buf, text.len);
}

static void contents_setup(void)
{
	static const char layer[] = "\x1f\x8b\x08 the layer of an image";

	if (contents_len > 0)
		return;
	content_add('L', layer, sizeof(layer) - 1);
	content_add('K', " \n another layer", 16);
	content_add('C', "{}", 2);
	content_add('E', "", 0);
	content_add('X', "neither this nor that", 21);
	add_manifest('M', 'C', 'L');
	add_manifest('N', 'C', 'K');
	add_index('I', "M");
	add_index('J', "N");
	add_index('B', "MN");
	add_index('0', "");
}

static const char *script_path(const char *path, char out[256])
{
	char blob[256], hex[129];

	if (path[0] != '@' && !strchr(path, '#')) {
		snprintf(out, 256, "%s", path);
		return out;
	}
	if (path[0] == '@') {
		digest_hex(&contents[content_at(path[1])].digest, hex);
		snprintf(out, 256, "blobs/sha256/%s", hex);
		return out;
	}
	/* rsync: .HEX.a1B2c3 beside the blob */
	digest_hex(&contents[content_at(strchr(path, '#')[1])].digest, hex);
	snprintf(blob, sizeof(blob), "blobs/sha256/.%s.a1B2c3", hex);
	snprintf(out, 256, "%s", blob);
	return out;
}

struct script {
	struct draft *d;
	struct writer *handles[HANDLES];
	uint64_t at[HANDLES];
};

static int script_write(struct script *s, const struct step *st)
{
	size_t i = content_at(st->arg[0]), from = 0, len = contents[i].len;
	uint64_t *at = &s->at[st->handle];
	int r;

	if (st->op == HALF)
		len /= 2;
	if (st->op == REST) {
		from = len / 2;
		len -= from;
	}
	r = writer_write(s->handles[st->handle], contents[i].text + from, len,
			 *at, &patience);
	if (r == 0)
		*at += len;
	return r;
}

static int script_copy(struct script *s, const struct step *st)
{
	size_t i = content_at(st->arg[0]);
	struct writer_copy c = {.from = &there,
				.digest = &contents[i].digest,
				.size_bytes = contents[i].len,
				.image = (struct image *)&there,
				.len = contents[i].len,
				.tid = st->tid};
	ssize_t n;

	object_add(fake.elsewhere, &fake.elsewhere_len, contents[i].text,
		   contents[i].len, &contents[i].digest);
	n = writer_copy(s->handles[st->handle], &c, &patience);
	if (n < 0)
		return (int)n;
	assert_int_equal(n, contents[i].len);
	return 0;
}

static int script_file(struct script *s, const struct step *st, struct wait *w)
{
	struct writer **h = &s->handles[st->handle];
	char path[256];

	switch ((int)st->op) {
	case CREATE:
	case EDIT:
		assert_null(*h);
		s->at[st->handle] = 0;
		return draft_write(s->d, script_path(st->path, path),
				   st->op == CREATE, st->tid, h);
	case SIZE:
		s->at[st->handle] = (uint64_t)(st->arg[0] - '0');
		return writer_truncate(*h, s->at[st->handle], w);
	case COPY:
		return script_copy(s, st);
	case FLUSH:
		return writer_flush(*h, st->tid, w);
	case SYNC:
		return writer_sync(*h, w);
	case CLOSE:
		writer_close(steal(h));
		return 0;
	default:
		return script_write(s, st);
	}
}

static int script_step(struct script *s, const struct step *st)
{
	char a[256], b[256], tag[DIGEST_TEXT_MAX] = "";
	struct draft_stat stat;
	struct wait w;

	wait_init(&w, 5000, 0);
	if (st->path)
		script_path(st->path, a);
	switch ((int)st->op) {
	case MKDIR:
		return draft_mkdir(s->d, a, st->tid);
	case LINK:
		return draft_link(s->d, a, script_path(st->arg, b), &w);
	case SYMLINK:
		return draft_symlink(s->d, a, st->arg);
	case MOVE:
	case MOVE_KEEP:
		return draft_rename(s->d, a, script_path(st->arg, b),
				    st->op == MOVE_KEEP, &w);
	case UNLINK:
		return draft_unlink(s->d, a);
	case RMDIR:
		return draft_rmdir(s->d, a);
	case DYING:
		fake.dying = st->tid;
		return 0;
	case EXITED:
		fake.exited = st->tid;
		return 0;
	case BARRIER:
		return draft_sync(s->d, &w);
	case STAT:
		return draft_stat(s->d, a, &stat);
	case BYTES:
		assert_int_equal(draft_stat(s->d, a, &stat), 0);
		return (int)stat.size_bytes;
	case TAG:
		if (st->arg[0])
			digest_format(&contents[content_at(st->arg[0])].digest,
				      tag);
		assert_string_equal(fake.tag, tag);
		return 0;
	case SIBLINGS:
		return (int)fake.siblings;
	default:
		return script_file(s, st, &w);
	}
}

struct row {
	const char *name;
	const char *tag;      /* content, "" */
	const char *registry; /* contents that it has, of all others none */
	const char *left;     /* names in the draft, sorted; "-": it is gone */
	unsigned faults;
	struct step steps[STEPS_MAX];
};

static void check_registry(const struct row *row)
{
	for (size_t i = 0; i < contents_len; i++) {
		bool want = strchr(row->registry, contents[i].name);

		if (in_registry(&contents[i].digest) != want)
			fail_msg("%s: %c is %s", row->name, contents[i].name,
				 want ? "missing" : "there");
	}
}

struct names {
	const char *v[64];
	char space[64][256];
	size_t len;
};

static int add_to_names(void *arg, const char *name, mode_t type)
{
	struct names *n = arg;

	(void)type;
	assert_true(n->len < 64);
	snprintf(n->space[n->len], 256, "%s", name);
	n->v[n->len] = n->space[n->len];
	n->len++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_left(const struct row *row)
{
	struct names n = {.len = 0};
	struct draft *d;
	char got[1024] = "";
	int r;

	r = draft_find(&box, &here, "1.5", &d);
	if (strcmp(row->left, "-") == 0) {
		if (r != -ENOENT)
			fail_msg("%s: the draft is still there", row->name);
		return;
	}
	if (r < 0)
		fail_msg("%s: the draft is gone", row->name);
	assert_int_equal(draft_list(d, "", add_to_names, &n), 0);
	qsort(n.v, n.len, sizeof(*n.v), by_name);
	for (size_t i = 0; i < n.len; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
			 i ? " " : "", n.v[i]);
	if (strcmp(got, row->left) != 0)
		fail_msg("%s: left is \"%s\"", row->name, got);
	draft_unref(d);
}

static void run_row(const struct row *row)
{
	struct script s = {.d = NULL};
	char tag[DIGEST_TEXT_MAX] = "";

	contents_setup();
	assert_int_equal(draft_open(&box, &here, "1.5", &s.d), 0);
	for (size_t i = 0; i < STEPS_MAX && row->steps[i].op != END; i++) {
		int r = script_step(&s, &row->steps[i]);

		if (r != row->steps[i].want)
			fail_msg("%s: step %zu gives %d, not %d", row->name,
				 i + 1, r, row->steps[i].want);
	}
	for (size_t i = 0; i < HANDLES; i++)
		assert_null(s.handles[i]);
	draft_unref(s.d);
	if (row->tag[0])
		digest_format(&contents[content_at(row->tag[0])].digest, tag);
	if (strcmp(fake.tag, tag) != 0)
		fail_msg("%s: the tag is \"%s\"", row->name, fake.tag);
	check_registry(row);
	check_left(row);
	if (fake.faults != row->faults)
		fail_msg("%s: %u faults", row->name, fake.faults);
	assert_int_equal(box.writers, 0);
}

__attribute__((unused)) static void run_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		run_row(&rows[i]);
		assert_int_equal(fixture_teardown(NULL), 0);
		assert_int_equal(fixture_setup(NULL), 0);
	}
}
