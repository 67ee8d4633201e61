/* SPDX-License-Identifier: Apache-2.0 */
#include "content/unpacked.h"

#include "unpacked-fixture.h"

static int setup(void **state)
{
	start(true);
	return 0;
}

static int setup_in_memory(void **state)
{
	start(false);
	return 0;
}

static int setup_strict(void **state)
{
	start(true);
	f->options.verify = VERIFY_STRICT;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

/* --- layers --- */

static void test_layer(void **state)
{
	struct part p = two("alpha", "beta");
	struct unpacked *u;

	give(&f->here, REPO, &p);
	for (int round = 0; round < 2; round++) {
		u = layer_in(f->repo, &p);
		assert_int_equal(find(u, "nothing"), -ENOENT);
		assert_string_equal(names_of(u), "a,b,link");
		assert_string_equal(content_of(u, "a"), "alpha");
		assert_string_equal(content_of(u, "b"), "beta");
		unpacked_unref(u);
		content_restart(f);
	}
}

static void test_no_bytes(void **state)
{
	struct part p = plain(LAYER, "", 0);
	struct unpacked *u;

	give(&f->here, REPO, &p);
	u = layer_in(f->repo, &p);
	assert_int_equal(find(u, "a"), -ENOENT);
	assert_string_equal(names_of(u), "");
	unpacked_unref(u);
}

/* As it was pushed: what is before the damage is right. */
static void test_damaged(void **state)
{
	struct str tar = {0};
	struct part p;
	struct unpacked *u;

	put_two(&tar, "alpha", "beta");
	p = plain(LAYER, tar.buf, 2 * 512 + 300);
	str_done(&tar);
	give(&f->here, REPO, &p);
	for (int round = 0; round < 2; round++) {
		u = layer_in(f->repo, &p);
		assert_string_equal(content_of(u, "a"), "alpha");
		assert_int_equal(find(u, "b"), -EBADMSG);
		assert_string_equal(names_of(u), "a");
		unpacked_unref(u);
		content_restart(f);
	}
}

/* The bytes are not the digest's. */
static void test_lying(void **state)
{
	struct part p = two("alpha", "beta");
	struct str tar = {0};
	struct unpacked *u;

	give(&f->here, REPO, &p);
	p.bytes[p.len - 9] ^= 1;
	u = layer_in(f->repo, &p);
	assert_fails(names_of(u), -EBADMSG);
	assert_int_equal(find(u, "nothing"), -EBADMSG);
	assert_fails(content_of(u, "a"), -EBADMSG);
	unpacked_unref(u);
	str_done(&tar);
}

static void test_lying_about_being_an_archive(void **state)
{
	struct part p = two("alpha", "beta");
	struct unpacked *u;

	give(&f->here, REPO, &p);
	memset(p.bytes, 'x', p.len);
	u = layer_in(f->repo, &p);
	assert_fails(names_of(u), -EBADMSG);
	unpacked_unref(u);
}

static void test_gone(void **state)
{
	struct part p = two("alpha", "beta");
	char text[DIGEST_TEXT_MAX];
	struct unpacked *u;

	give(&f->here, REPO, &p);
	u = layer_in(f->repo, &p);
	digest_format(&p.digest, text);
	take_away(f, &f->here, text);
	/* Nobody has said that there is no such name. */
	assert_int_equal(find(u, "a"), -EIO);
	unpacked_unref(u);
}

/* --- what another repository may see --- */

static void test_layer_not_granted(void **state)
{
	struct part p = two("alpha", "beta");
	struct unpacked *u, *other;

	give(&f->here, REPO, &p);
	u = layer_in(f->repo, &p);
	assert_string_equal(names_of(u), "a,b,link");
	assert_int_equal(
		unpacked_open_layer(f->other, &p.digest, patient(), &other),
		-ENOENT);
	unpacked_unref(u);
}

/* Its manifest names a layer that only the first repository has. */
static void test_rootfs_not_granted(void **state)
{
	struct part p = two("alpha", "beta"), conf = config_of(&p, 1);
	struct digest d = image_of(OTHER, &conf, &p, 1);
	struct unpacked *u, *other;

	give(&f->here, REPO, &p);
	give(&f->here, OTHER, &conf);
	u = layer_in(f->repo, &p);
	assert_string_equal(names_of(u), "a,b,link");
	other = rootfs_in(f->other, &d);
	assert_fails(names_of(other), -EIO);
	assert_int_equal(find(other, "a"), -EIO);
	unpacked_unref(u);
	unpacked_unref(other);
	/* Nor when only the disk remembers. */
	content_restart(f);
	other = rootfs_in(f->other, &d);
	assert_fails(names_of(other), -EIO);
	unpacked_unref(other);
}

static void test_titles_are_private(void **state)
{
	struct part p = plain("application/x-thing", "no archive at all", 17);
	struct part conf = config_of(&p, 1);
	struct digest d;
	struct unpacked *u, *other;

	p.annotations = "{\"org.opencontainers.image.title\":\"secret\"}";
	d = whole_image(REPO, &p, 1);
	give(&f->here, REPO, &conf);
	give(&f->here, OTHER, &p);
	u = rootfs_in(f->repo, &d);
	assert_string_equal(names_of(u), "secret");
	assert_string_equal(content_of(u, "secret"), "no archive at all");
	other = layer_in(f->other, &p);
	assert_null(strstr(names_of(other), "secret"));
	unpacked_unref(u);
	unpacked_unref(other);
}

/* --- root file systems --- */

static void test_rootfs(void **state)
{
	struct part layers[] = {two("alpha", "beta"), two("new", "newer")};
	struct digest d = whole_image(REPO, layers, 2);
	struct unpacked *u;

	for (int round = 0; round < 3; round++) {
		u = rootfs_in(f->repo, &d);
		assert_string_equal(names_of(u), "a,b,link");
		assert_string_equal(content_of(u, "a"), "new");
		assert_string_equal(content_of(u, "b"), "newer");
		unpacked_unref(u);
		content_restart(f);
		/* The image's tree stays when its layers' do not. */
		if (round == 1 && store_has_disk(f->store))
			move_trees("layer-", NULL);
	}
}

static void test_wrong_diff_id(void **state)
{
	struct part p = two("alpha", "beta");
	struct unpacked *u;
	struct digest d;

	p.diff_id = p.digest;
	d = whole_image(REPO, &p, 1);
	u = rootfs_in(f->repo, &d);
	assert_fails(names_of(u), -EBADMSG);
	unpacked_unref(u);
}

static void test_no_configuration(void **state)
{
	struct part p = two("alpha", "beta"), conf = config_of(&p, 1);
	struct digest d = image_of(REPO, &conf, &p, 1);
	struct unpacked *u;

	give(&f->here, REPO, &p);
	u = rootfs_in(f->repo, &d);
	assert_int_equal(find(u, "a"), -EIO);
	unpacked_unref(u);
}

static void test_size_is_not_the_manifests(void **state)
{
	struct part p = two("alpha", "beta"), lie = p;
	struct unpacked *u;
	struct digest d;

	give(&f->here, REPO, &p);
	u = layer_in(f->repo, &p);
	assert_string_equal(names_of(u), "a,b,link");
	unpacked_unref(u);
	lie.len++;
	d = whole_image(REPO, &lie, 1);
	u = rootfs_in(f->repo, &d);
	assert_true(find(u, "a") < 0 && find(u, "a") != -ENOENT);
	unpacked_unref(u);
	/* The liar has not had the tree removed. */
	content_restart(f);
	f->here.status = 500;
	u = layer_in(f->repo, &p);
	assert_string_equal(names_of(u), "a,b,link");
	unpacked_unref(u);
}

/* --- by a table of contents --- */

static void test_table(void **state)
{
	struct part p = two_with_table("alpha", "beta");
	struct digest d = whole_image(REPO, &p, 1);
	struct unpacked *u = rootfs_in(f->repo, &d);

	assert_string_equal(names_of(u), "a,b");
	assert_string_equal(content_of(u, "a"), "alpha");
	assert_string_equal(content_of(u, "b"), "beta");
	unpacked_unref(u);
}

/* The image was merged while the table could be had; now it is read as the
 * archive that it also is, whose inodes have other numbers. */
static void test_read_in_another_way(void **state)
{
	struct part p = two_with_table("alpha", "beta");
	struct digest d = whole_image(REPO, &p, 1);
	struct unpacked *u = rootfs_in(f->repo, &d);
	char key[300], hex[129], toc[129];

	assert_string_equal(names_of(u), "a,b");
	unpacked_unref(u);
	/* Read as an archive, where no manifest tells of the table. */
	give(&f->here, OTHER, &p);
	u = layer_in(f->other, &p);
	assert_string_equal(names_of(u), "a,b,link");
	unpacked_unref(u);
	content_restart(f);
	digest_hex(&p.digest, hex);
	assert_non_null(strstr(p.annotations, "sha256:"));
	snprintf(toc, 33, "%s", strstr(p.annotations, "sha256:") + 7);
	snprintf(key, sizeof(key), "toc-sha256-%s-%s", hex, toc);
	move_trees("layer-", key);
	u = rootfs_in(f->repo, &d);
	/* What was wrong is made anew. */
	assert_string_equal(content_of(u, "a"), "alpha");
	assert_string_equal(content_of(u, "b"), "beta");
	unpacked_unref(u);
}

/* --- many readers --- */

static void *find_main(void *arg)
{
	struct tree_inode i;
	struct wait w;

	wait_init(&w, 4000, 0);
	return (void *)(intptr_t)unpacked_find(arg, TREE_ROOT, "b", &w, &i,
					       NULL);
}

/* They take all the places that there are for waiting, and still the pass that
 * they wait for gets its bytes. */
static void test_readers_do_not_starve_the_pass(void **state)
{
	struct part p = two("alpha", "beta");
	pthread_t t[3];
	struct unpacked *u;
	void *r;

	f->options.max_threads = 20; /* 4 places, 3 for one host */
	content_restart(f);
	give(&f->here, REPO, &p);
	u = layer_in(f->repo, &p);
	atomic_store(&f->here.hold_blobs, true);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, find_main, u), 0);
	usleep(300000);
	atomic_store(&f->here.hold_blobs, false);
	for (size_t i = 0; i < 3; i++) {
		pthread_join(t[i], &r);
		assert_int_equal((int)(intptr_t)r, 0);
	}
	unpacked_unref(u);
}

/* --- while the pass runs --- */

#define BIG ((size_t)6 << 20)

/* "a", then much, then "b". */
static struct part big(void)
{
	struct str tar = {0};
	struct part p;

	put_file(&tar, "a", "alpha");
	put_entry(&tar, &(struct head){.type = '0', .name = "big"},
		  random_bytes(f, BIG, 5), BIG);
	put_file(&tar, "b", "beta");
	put_end(&tar);
	p = plain(LAYER, tar.buf, tar.len);
	str_done(&tar);
	give(&f->here, REPO, &p);
	return p;
}

/* As long as state is 0, nothing comes of its second half. */
static bool half_answers(struct site *site, const struct request *q,
			 struct reply *p)
{
	unsigned long long from;
	char value[4096];

	if (site->state || !head_value(q->head, "Range", value) ||
	    sscanf(value, "bytes=%llu-", &from) != 1 || from < BIG / 2)
		return false;
	refuse(p, 403, "DENIED");
	return true;
}

static void test_attempt_fails_half_way(void **state)
{
	struct part p = big();
	struct tree_inode a, again;
	struct unpacked *u;
	bool final = true;
	int r;

	f->here.hook = half_answers;
	u = layer_in(f->repo, &p);
	r = unpacked_find(u, TREE_ROOT, "a", patient(), &a, &final);
	/* It may have failed before anybody could look. */
	if (r == 0)
		assert_false(final);
	assert_int_equal(find(u, "b"), -EACCES);
	assert_int_equal(find(u, "nothing"), -EACCES);
	assert_fails(names_of(u), -EACCES);
	usleep(1100000);
	pthread_mutex_lock(&f->c.s.lock);
	f->here.state = 1;
	pthread_mutex_unlock(&f->c.s.lock);
	/* A number that was given out waits for the next attempt to have it. */
	if (r == 0) {
		assert_int_equal(
			unpacked_get(u, a.ino, patient(), &again, NULL), 0);
		assert_int_equal(again.size_bytes, 5);
	}
	assert_string_equal(content_of(u, "b"), "beta");
	assert_string_equal(content_of(u, "a"), "alpha");
	assert_int_equal(find(u, "nothing"), -ENOENT);
	unpacked_unref(u);
}

/* Strict: not a name is shown before all is proven; lazy: the first ones are,
 * and are not said to be final. */
static void test_shown_before_proven(void **state)
{
	struct part p = big();
	struct unpacked *u;
	struct tree_inode i;
	struct wait w;
	bool final = true;
	int r;

	f->here.hook = half_answers;
	f->here.state = 1;
	p.bytes[p.len - 5000] ^= 1;
	u = layer_in(f->repo, &p);
	wait_init(&w, 10000, 0);
	r = unpacked_find(u, TREE_ROOT, "a", &w, &i, &final);
	if (f->options.verify == VERIFY_STRICT)
		assert_int_equal(r, -EBADMSG);
	else
		assert_true(r == -EBADMSG || (r == 0 && !final));
	assert_fails(names_of(u), -EBADMSG);
	unpacked_unref(u);
}

/* --- where trees cannot be kept --- */

static void test_no_room_for_trees(void **state)
{
	struct part layers[] = {two("alpha", "beta"), two("new", "newer")};
	struct digest d = whole_image(REPO, layers, 2);
	struct unpacked *u;
	char path[200];

	snprintf(path, sizeof(path), "%s/cache/trees", f->c.home);
	(void)rmdir(path);
	fclose(fopen(path, "w"));
	for (int round = 0; round < 2; round++) {
		u = rootfs_in(f->repo, &d);
		assert_string_equal(names_of(u), "a,b,link");
		assert_string_equal(content_of(u, "a"), "new");
		unpacked_unref(u);
		u = layer_in(f->repo, &layers[0]);
		assert_string_equal(content_of(u, "a"), "alpha");
		unpacked_unref(u);
		content_restart(f);
	}
}

/* --- all at once --- */

struct storm {
	struct repo *repo;
	const struct part *layer;
	const struct digest *image; /* or NULL */
	atomic_bool *stop;
	unsigned right, wrong;
};

/* What is read is right, or not read at all; and nothing is missing. */
static void storm_look(struct storm *s, struct unpacked *u)
{
	struct unpacked_file *file = NULL;
	struct tree_inode i;
	char buf[16];
	struct wait w;
	ssize_t n = 0;
	int r;

	wait_init(&w, 3000, 0);
	r = unpacked_find(u, TREE_ROOT, "b", &w, &i, NULL);
	if (r == 0)
		r = unpacked_open_file(u, i.ino, &w, &file);
	if (r == 0) {
		n = unpacked_read(file, buf, sizeof(buf), 0, &w);
		unpacked_close_file(file);
		r = n < 0 ? (int)n : 0;
	}
	s->right += r == 0;
	s->wrong += r == -ENOENT || r == -ESTALE ||
		    (r == 0 && (n != 4 || memcmp(buf, "beta", 4) != 0));
}

static void *storm_main(void *arg)
{
	struct storm *s = arg;

	while (!atomic_load(s->stop)) {
		struct unpacked *u;
		struct wait w;
		int r;

		wait_init(&w, 3000, 0);
		r = s->image ? unpacked_open_rootfs(s->repo, s->image, &w, &u)
			     : unpacked_open_layer(s->repo, &s->layer->digest,
						   &w, &u);
		if (r < 0)
			continue;
		for (int k = 0; k < 3; k++)
			storm_look(s, u);
		unpacked_unref(u);
	}
	return NULL;
}

static void drop_blob(const struct part *p)
{
	struct chunks *c;

	if (chunks_open(f->store, &p->digest, p->len, &c) < 0)
		return;
	chunks_drop(c);
	chunks_close(c);
}

static bool storm_answers(struct site *site, const struct request *q,
			  struct reply *p)
{
	if (site->state++ % 5 != 0 || strcmp(q->method, "HEAD") == 0)
		return false;
	refuse(p, 404, "BLOB_UNKNOWN");
	p->status = 403;
	return true;
}

static void test_storm(void **state)
{
	struct part p = two("alpha", "beta");
	struct digest d = whole_image(REPO, &p, 1);
	atomic_bool stop = false;
	struct storm s[] = {{.repo = f->repo, .image = &d},
			    {.repo = f->repo, .layer = &p},
			    {.repo = f->other, .layer = &p},
			    {.repo = f->other, .layer = &p}};
	pthread_t t[4];

	give(&f->here, OTHER, &p);
	f->here.hook = storm_answers;
	for (size_t i = 0; i < 4; i++) {
		s[i].stop = &stop;
		assert_int_equal(pthread_create(&t[i], NULL, storm_main, &s[i]),
				 0);
	}
	for (int i = 0; i < 40; i++) {
		usleep(20000);
		drop_blob(&p);
		move_trees(i % 2 ? "layer-" : "rootfs-", NULL);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(s[i].wrong, 0);
		assert_true(s[i].right > 0);
	}
}

/* Nothing is left running, or waited for, when the mount goes. */
static void test_end_while_passing(void **state)
{
	struct part p = two("alpha", "beta");
	struct unpacked *u;
	struct wait w;
	struct tree_inode i;

	give(&f->here, REPO, &p);
	u = layer_in(f->repo, &p);
	atomic_store(&f->here.hold_blobs, true);
	wait_init(&w, 200, 0);
	assert_int_equal(unpacked_find(u, TREE_ROOT, "a", &w, &i, NULL),
			 -ETIMEDOUT);
	unpacked_unref(u);
	content_restart(f);
	atomic_store(&f->here.hold_blobs, false);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define M(name) cmocka_unit_test_setup_teardown(name, setup_in_memory, teardown)
#define S(name) cmocka_unit_test_setup_teardown(name, setup_strict, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_layer),
		M(test_layer),
		S(test_layer),
		T(test_no_bytes),
		S(test_no_bytes),
		T(test_damaged),
		M(test_damaged),
		T(test_lying),
		S(test_lying),
		S(test_lying_about_being_an_archive),
		T(test_gone),
		T(test_layer_not_granted),
		T(test_rootfs_not_granted),
		M(test_rootfs_not_granted),
		T(test_titles_are_private),
		T(test_rootfs),
		M(test_rootfs),
		S(test_rootfs),
		T(test_wrong_diff_id),
		T(test_no_configuration),
		T(test_size_is_not_the_manifests),
		T(test_table),
		S(test_table),
		T(test_read_in_another_way),
		T(test_readers_do_not_starve_the_pass),
		T(test_end_while_passing),
		T(test_attempt_fails_half_way),
		M(test_attempt_fails_half_way),
		T(test_shown_before_proven),
		M(test_shown_before_proven),
		S(test_shown_before_proven),
		T(test_no_room_for_trees),
		T(test_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
