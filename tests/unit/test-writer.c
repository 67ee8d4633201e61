/* SPDX-License-Identifier: Apache-2.0 */
/* The FLUSH that commits, told from those that do not; and what is copied
 * instead of written. */
#include "draft-script.h"
#include "push/writer_private.h"

/* One file, made, written and closed by one process. */
#define PUT_BY(h, name, content, pid)                                          \
	{CREATE, h, name, NULL, pid, 0}, {WRITE, h, NULL, content, 0, 0},      \
		{FLUSH, h, NULL, NULL, pid, 0},                                \
	{                                                                      \
		CLOSE, h, NULL, NULL, 0, 0                                     \
	}
#define PUT(name, content) PUT_BY(0, name, content, 10)
#define BLOBS PUT("@L", "L"), PUT("@C", "C"), PUT("@M", "M")

static const struct row flushes[] = {
	{"cp",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {{MKDIR, 0, "blobs", NULL, 10, 0},
	  {MKDIR, 0, "blobs/sha256", NULL, 10, 0},
	  BLOBS,
	  PUT("oci-layout", "X"),
	  PUT("index.json", "I")}},
	{"cp, index.json first",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {PUT("index.json", "I"),
	  PUT("@M", "M"),
	  {TAG, 0, NULL, "", 0, 0},
	  {BARRIER, 0, NULL, NULL, 0, -EIO},
	  PUT("@C", "C"),
	  PUT("@L", "L"),
	  {UNLINK, 0, "@M", NULL, 0, -ENOENT}}},
	{"dd: closed before it is written",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {WRITE, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"sh: {echo a; cat b;} > f",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {HALF, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {REST, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"cat f > index.json: only the shell commits",
	 "",
	 "LC",
	 "blobs",
	 0,
	 {BLOBS,
	  {CREATE, 0, "index.json", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {WRITE, 0, NULL, "I", 0, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {DYING, 0, NULL, NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"cat f > blob: whole when its child closes it, so that is the commit",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {WRITE, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {DYING, 0, NULL, NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"a child that fails is not the writer",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {HALF, 0, NULL, "L", 0, 0},
	  {DYING, 0, NULL, NULL, 20, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {REST, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"killed",
	 "",
	 "",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {WRITE, 0, NULL, "L", 0, 0},
	  {DYING, 0, NULL, NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {STAT, 0, "@L", NULL, 0, -ENOENT},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"killed, and no FLUSH",
	 "",
	 "",
	 "",
	 0,
	 {{CREATE, 0, "index.json", NULL, 10, 0},
	  {WRITE, 0, NULL, "I", 0, 0},
	  {DYING, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"a process that ends without a close, with status 0",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {WRITE, 0, NULL, "L", 0, 0},
	  {EXITED, 0, NULL, NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"nobody of the same name space: blobs",
	 "",
	 "L",
	 "blobs",
	 1,
	 {{CREATE, 0, "@L", NULL, NOBODY, 0},
	  {HALF, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, NOBODY, 0},
	  {REST, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, NOBODY, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"nobody of the same name space: index.json as soon as it is whole",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {BLOBS,
	  {CREATE, 0, "index.json", NULL, NOBODY, 0},
	  {FLUSH, 0, NULL, NULL, NOBODY, 0},
	  {HALF, 0, NULL, "I", 0, 0},
	  {FLUSH, 0, NULL, NULL, NOBODY, 0},
	  {TAG, 0, NULL, "", 0, 0},
	  {REST, 0, NULL, "I", 0, 0},
	  {FLUSH, 0, NULL, NULL, NOBODY, 0},
	  {TAG, 0, NULL, "M", 0, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"opened by one who left, and the writer was killed",
	 "",
	 "LC",
	 "blobs",
	 1,
	 {BLOBS,
	  {CREATE, 0, "index.json", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {WRITE, 0, NULL, "I", 0, 0},
	  {DYING, 0, NULL, NULL, 20, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"the same, and somebody says that it is whole",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {BLOBS,
	  {CREATE, 0, "index.json", NULL, 10, 0},
	  {WRITE, 0, NULL, "I", 0, 0},
	  {DYING, 0, NULL, NULL, 20, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {SYNC, 0, NULL, NULL, 30, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"fsync of a file, by whomever",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {BLOBS,
	  {CREATE, 0, "index.json", NULL, 10, 0},
	  {WRITE, 0, NULL, "I", 0, 0},
	  {SYNC, 0, NULL, NULL, NOBODY, 0},
	  {TAG, 0, NULL, "M", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"not what the name says: the same error each time",
	 "",
	 "",
	 "blobs",
	 1,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {WRITE, 0, NULL, "K", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, -EBADMSG},
	  {FLUSH, 0, NULL, NULL, 10, -EBADMSG},
	  {FLUSH, 0, NULL, NULL, 20, -EBADMSG},
	  {WRITE, 0, NULL, "K", 0, -EBADMSG},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"a RELEASE that cannot tell anybody",
	 "",
	 "",
	 "blobs",
	 2,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {WRITE, 0, NULL, "K", 0, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"touch: nothing that means something is empty",
	 "",
	 "",
	 ".x blobs",
	 0,
	 {{CREATE, 0, "index.json", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {CREATE, 0, "@L", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {STAT, 0, "@L", NULL, 0, -ENOENT},
	  {CREATE, 0, ".x", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"cp of the empty blob",
	 "",
	 "E",
	 "blobs",
	 0,
	 {{CREATE, 0, "@E", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {STAT, 0, "@E", NULL, 0, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"written again after it was committed",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {WRITE, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {SIZE, 0, NULL, "5", 0, 0},
	  {FLUSH, 0, NULL, NULL, 20, 0},
	  {SIZE, 0, NULL, "0", 0, 0},
	  {WRITE, 0, NULL, "L", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"rsync --inplace: sets the size that it has",
	 "",
	 "C",
	 "blobs",
	 0,
	 {{CREATE, 0, "@C", NULL, 10, 0},
	  {WRITE, 0, NULL, "C", 0, 0},
	  {SIZE, 0, NULL, "2", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"opened again and not changed",
	 "",
	 "L",
	 "blobs",
	 0,
	 {PUT("@L", "L"),
	  {EDIT, 0, "@L", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {EDIT, 0, "@C", NULL, 10, -ENOENT}}},
	{"two writers of one name",
	 "N",
	 "LKCMN",
	 "-",
	 0,
	 {BLOBS,
	  PUT("@K", "K"),
	  PUT("@N", "N"),
	  {CREATE, 0, "index.json", NULL, 10, 0},
	  {HALF, 0, NULL, "I", 0, 0},
	  {CREATE, 1, "index.json", NULL, 20, 0},
	  {HALF, 1, NULL, "J", 0, 0},
	  {REST, 0, NULL, "I", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {TAG, 0, NULL, "M", 0, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {REST, 1, NULL, "J", 0, 0},
	  {FLUSH, 1, NULL, NULL, 20, 0},
	  {CLOSE, 1, NULL, NULL, 0, 0}}},
	{"removed while it is written: a close that is 0 has sent it",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {WRITE, 0, NULL, "L", 0, 0},
	  {UNLINK, 0, "@L", NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"index.json that is none",
	 "",
	 "LC",
	 "blobs",
	 1,
	 {BLOBS,
	  {CREATE, 0, "index.json", NULL, 10, 0},
	  {WRITE, 0, NULL, "X", 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, -EINVAL},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"manifest.json as a file is the image",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {PUT("@L", "L"), PUT("@C", "C"), PUT("manifest.json", "M")}},
};

static void test_flushes(void **state)
{
	(void)state;
	run_rows(flushes, COUNT(flushes));
}

static const struct row copies[] = {
	{"cp from registry to registry",
	 "M",
	 "LCM",
	 "-",
	 0,
	 {{MKDIR, 0, "blobs", NULL, 10, 0},
	  {CREATE, 0, "@L", NULL, 10, 0},
	  {COPY, 0, NULL, "L", 11, 0},
	  {SIBLINGS, 0, NULL, NULL, 0, 1},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {CREATE, 0, "@C", NULL, 10, 0},
	  {COPY, 0, NULL, "C", 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {SIBLINGS, 0, NULL, NULL, 0, 1},
	  PUT("@M", "M"),
	  PUT("index.json", "I")}},
	{"the second blob of a process tells that there are more",
	 "",
	 "LC",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {COPY, 0, NULL, "L", 10, 0},
	  {SIBLINGS, 0, NULL, NULL, 0, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {CREATE, 0, "@C", NULL, 10, 0},
	  {COPY, 0, NULL, "C", 10, 0},
	  {SIBLINGS, 0, NULL, NULL, 0, 1},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"to another name, or behind other bytes: not this way",
	 "",
	 "L",
	 ".x blobs",
	 0,
	 {{CREATE, 0, "@C", NULL, 10, 0},
	  {COPY, 0, NULL, "L", 10, -EXDEV},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {CREATE, 0, ".x", NULL, 10, 0},
	  {COPY, 0, NULL, "L", 10, -EXDEV},
	  {CLOSE, 0, NULL, NULL, 0, 0},
	  {CREATE, 0, "@L", NULL, 10, 0},
	  {HALF, 0, NULL, "L", 10, 0},
	  {COPY, 0, NULL, "L", 10, -EXDEV},
	  {REST, 0, NULL, "L", 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"written over after it was copied",
	 "",
	 "L",
	 "blobs",
	 0,
	 {{CREATE, 0, "@L", NULL, 10, 0},
	  {COPY, 0, NULL, "L", 10, 0},
	  {HALF, 0, NULL, "L", 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
	{"killed while copying",
	 "",
	 "",
	 "blobs",
	 0,
	 {{MKDIR, 0, "blobs", NULL, 10, 0},
	  {CREATE, 0, "@L", NULL, 10, 0},
	  {COPY, 0, NULL, "L", 10, 0},
	  {DYING, 0, NULL, NULL, 10, 0},
	  {FLUSH, 0, NULL, NULL, 10, 0},
	  {CLOSE, 0, NULL, NULL, 0, 0}}},
};

static void test_copies(void **state)
{
	(void)state;
	run_rows(copies, COUNT(copies));
}

static void test_copy_of_document(void **state)
{
	static const struct row row = {"a manifest has to be read",
				       "",
				       "",
				       "blobs",
				       0,
				       {{CREATE, 0, "@M", NULL, 10, 0},
					{COPY, 0, NULL, "M", 10, -EXDEV},
					{WRITE, 0, NULL, "M", 10, 0},
					{FLUSH, 0, NULL, NULL, 10, 0},
					{CLOSE, 0, NULL, NULL, 0, 0}}};

	(void)state;
	fake.part = PART_MANIFEST;
	run_row(&row);
}

static void test_killed_copier(void **state)
{
	(void)state;
	run_row(&copies[COUNT(copies) - 1]);
	assert_int_equal(fake.siblings, 1);
	assert_int_equal(fake.forgotten, 1);
}

/* Two extents, and one that leaves a gap. */
static void test_extents(void **state)
{
	struct writer_copy c = {
		.from = &there, .image = (struct image *)&there, .tid = 10};
	struct draft *d;
	struct writer *w;
	struct wait wait;
	char path[256];
	size_t i;

	(void)state;
	contents_setup();
	wait_init(&wait, 5000, 0);
	i = content_at('L');
	object_add(fake.elsewhere, &fake.elsewhere_len, contents[i].text,
		   contents[i].len, &contents[i].digest);
	assert_int_equal(
		writer_new_blob(&box, &here, &contents[i].digest, 10, &w), 0);
	c.digest = &contents[i].digest;
	c.size_bytes = contents[i].len;
	c.len = 5;
	assert_int_equal(writer_copy(w, &c, &patience), 5);
	assert_int_equal(writer_size(w), 5);
	c.src_off = c.off = 7;
	assert_int_equal(writer_copy(w, &c, &patience), -EXDEV);
	c.off = 5;
	assert_int_equal(writer_copy(w, &c, &patience), -EXDEV);
	c.src_off = 5;
	c.len = 1000;
	assert_int_equal(writer_copy(w, &c, &patience), contents[i].len - 5);
	assert_true(writer_dirty(w));
	assert_int_equal(writer_flush(w, 10, &wait), 0);
	assert_false(writer_dirty(w));
	assert_int_equal(fake.begun, 1);
	writer_close(w);
	assert_true(in_registry(&contents[i].digest));

	/* Cut short: what is there is not the blob. */
	assert_int_equal(draft_open(&box, &here, "1.5", &d), 0);
	assert_int_equal(draft_write(d, script_path("@L", path), true, 10, &w),
			 0);
	c.src_off = c.off = 0;
	c.len = 5;
	assert_int_equal(writer_copy(w, &c, &patience), 5);
	assert_int_equal(writer_flush(w, 10, &wait), -EBADMSG);
	writer_close(w);
	draft_unref(d);
}

static int begin(const char *path, struct draft **ret_d, struct writer **ret)
{
	char real[256];
	int r;

	contents_setup();
	r = draft_open(&box, &here, "1.5", ret_d);
	return r < 0 ? r
		     : draft_write(*ret_d, script_path(path, real), true, 10,
				   ret);
}

/* What cannot be a document goes out at its first byte. */
static void test_streams(void **state)
{
	static const struct {
		const char *first, *second;
		unsigned begun;
	} rows[] = {
		{"\x1f\x8b", "x", 1}, {"{\"a\":1", "}", 0}, {" \n", "{}", 0},
		{" \n", "tar", 1},    {"\0\0", "\0", 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct draft *d;
		struct writer *w;

		fake.begun = 0;
		assert_int_equal(begin("@X", &d, &w), 0);
		assert_int_equal(
			writer_write(w, rows[i].first, 2, 0, &patience), 0);
		assert_int_equal(
			writer_write(w, rows[i].second, 2, 2, &patience), 0);
		assert_int_equal(fake.begun, rows[i].begun);
		assert_int_equal(box.writers, 1);
		fake.dying = 10;
		writer_close(w);
		fake.dying = 0;
		draft_unref(d);
	}
}

static void test_early_failure(void **state)
{
	struct draft *d;
	struct writer *w;
	struct wait wait;

	(void)state;
	wait_init(&wait, 5000, 0);
	assert_int_equal(begin("@L", &d, &w), 0);
	assert_int_equal(writer_write(w, "ab", 2, 0, &patience), 0);
	fake.early = -EDQUOT;
	assert_int_equal(writer_write(w, "ab", 2, 2, &patience), -EDQUOT);
	fake.early = 0;
	assert_int_equal(writer_write(w, "ab", 2, 2, &patience), -EDQUOT);
	assert_int_equal(writer_flush(w, 10, &wait), -EDQUOT);
	writer_close(w);
	draft_unref(d);
}

/* Bytes that were sent already are changed: it is sent again at the end. */
static void test_stale_upload(void **state)
{
	struct draft *d;
	struct writer *w;
	struct wait wait;
	size_t i;

	(void)state;
	wait_init(&wait, 5000, 0);
	assert_int_equal(begin("@L", &d, &w), 0);
	i = content_at('L');
	assert_int_equal(writer_write(w, "no", 2, 0, &patience), 0);
	fake.early = -ESTALE;
	assert_int_equal(writer_write(w, contents[i].text, contents[i].len, 0,
				      &patience),
			 0);
	fake.early = 0;
	assert_int_equal(fake.begun, 1);
	assert_int_equal(writer_flush(w, 10, &wait), 0);
	assert_int_equal(fake.begun, 2);
	assert_true(in_registry(&contents[i].digest));
	writer_close(w);
	draft_unref(d);
}

static void test_refused(void **state)
{
	static const int errors[] = {-EACCES, -EINTR, -ETIMEDOUT, -EPERM};

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		struct draft *d;
		struct writer *w;
		struct wait wait;
		size_t l;

		wait_init(&wait, 5000, 0);
		assert_int_equal(begin("@L", &d, &w), 0);
		l = content_at('L');
		assert_int_equal(writer_write(w, contents[l].text,
					      contents[l].len, 0, &patience),
				 0);
		fake.upload_error = errors[i];
		assert_int_equal(writer_flush(w, 10, &wait), errors[i]);
		fake.upload_error = 0;
		assert_int_equal(writer_flush(w, 10, &wait), errors[i]);
		assert_true(writer_dirty(w));
		assert_int_equal(box.writers, 0);
		writer_close(w);
		assert_false(in_registry(&contents[l].digest));
		draft_unref(d);
	}
}

static void test_read_back(void **state)
{
	struct draft *d;
	struct writer *w;
	struct wait wait;
	char buf[64];
	size_t i;

	(void)state;
	wait_init(&wait, 5000, 0);
	assert_int_equal(begin("@L", &d, &w), 0);
	i = content_at('L');
	assert_int_equal(writer_read(w, buf, sizeof(buf), 0, &patience), 0);
	assert_int_equal(writer_write(w, contents[i].text, contents[i].len, 0,
				      &patience),
			 0);
	assert_int_equal(writer_read(w, buf, sizeof(buf), 3, &patience),
			 contents[i].len - 3);
	assert_memory_equal(buf, contents[i].text + 3, contents[i].len - 3);
	assert_int_equal(writer_flush(w, 10, &wait), 0);
	/* The registry has it, and the spool not any more. */
	assert_int_equal(feeds.alive, 0);
	assert_int_equal(writer_read(w, buf, 4, 0, &patience), 4);
	assert_memory_equal(buf, contents[i].text, 4);
	writer_close(w);
	draft_unref(d);
}

/* The registry's no is told to whoever closes it, also where nobody knows who
 * that is. */
static void test_refused_to_nobody(void **state)
{
	size_t i;
	struct draft *d;
	struct writer *w;

	(void)state;
	contents_setup();
	i = content_at('I');
	fake.publish_error = -EACCES;
	assert_int_equal(draft_open(&box, &here, "1.5", &d), 0);
	assert_int_equal(draft_write(d, "index.json", true, NOBODY, &w), 0);
	assert_int_equal(writer_write(w, contents[i].text, contents[i].len, 0,
				      &patience),
			 0);
	assert_int_equal(writer_flush(w, NOBODY, &patience), -EACCES);
	assert_int_equal(writer_flush(w, NOBODY, &patience), -EACCES);
	writer_close(w);
	draft_discard(d);
	draft_unref(d);
}

/* Without a wait: not behind another's flush, and not for the network. */
static void test_no_wait(void **state)
{
	struct wait brief;
	struct draft *d;
	struct writer *w;
	char buf[4];
	size_t i;

	(void)state;
	contents_setup();
	i = content_at('L');
	wait_init(&brief, 20, 0);
	assert_int_equal(draft_open(&box, &here, "1.5", &d), 0);
	assert_int_equal(
		writer_new_blob(&box, &here, &contents[i].digest, 10, &w), 0);
	assert_int_equal(writer_enter(w, &brief), 0);
	assert_int_equal(writer_write(w, "a", 1, 0, NULL), -EINPROGRESS);
	assert_int_equal(writer_read(w, buf, 1, 0, NULL), -EINPROGRESS);
	assert_int_equal(writer_truncate(w, 0, NULL), -EINPROGRESS);
	assert_int_equal(writer_write(w, "a", 1, 0, &brief), -ETIMEDOUT);
	writer_leave(w);
	assert_int_equal(
		writer_write(w, contents[i].text, contents[i].len, 0, NULL), 0);
	assert_int_equal(writer_flush(w, 10, &patience), 0);
	/* The registry has it now, and nobody else. */
	assert_int_equal(writer_read(w, buf, 4, 0, NULL), -EINPROGRESS);
	assert_int_equal(writer_read(w, buf, 4, 0, &patience), 4);
	assert_memory_equal(buf, contents[i].text, 4);
	assert_int_equal(writer_read(w, buf, 4, 0, NULL), 4);
	writer_close(w);
	draft_discard(d);
	draft_unref(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
		TEST(test_flushes),	     TEST(test_copies),
		TEST(test_copy_of_document), TEST(test_killed_copier),
		TEST(test_extents),	     TEST(test_streams),
		TEST(test_early_failure),    TEST(test_stale_upload),
		TEST(test_refused),	     TEST(test_read_back),
		TEST(test_no_wait),	     TEST(test_refused_to_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
