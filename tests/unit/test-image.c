/* SPDX-License-Identifier: Apache-2.0 */
#include "content/image.h"

#include "content-fixture.h"

#define ATTESTATION "application/vnd.in-toto+json"
#define FOREIGN "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
#define LAYER "application/vnd.oci.image.layer.v1.tar+gzip"
#define CREATED "org.opencontainers.image.created"

static struct fixture *f;
static unsigned blobs; /* made so far */

static int setup(void **state)
{
	f = fixture_new(true);
	blobs = 0;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(f);
	return 0;
}

/* --- making images --- */

struct part {
	struct digest digest;
	size_t size;
	const char *type, *platform; /* "os/arch" or NULL */
};

static int add_part(struct str *s, const struct part *p)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(&p->digest, text);
	str_addf(s, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu",
		 p->type, text, p->size);
	if (p->platform)
		str_addf(s,
			 ",\"platform\":{\"os\":\"%.*s\",\"architecture\":"
			 "\"%s\"}",
			 (int)strcspn(p->platform, "/"), p->platform,
			 strchr(p->platform, '/') + 1);
	return str_addc(s, '}');
}

static struct part blob(const char *type, const char *body)
{
	struct part p = {.type = type, .size = strlen(body)};

	put_blob(f, &f->here, REPO, body, p.size, &p.digest);
	return p;
}

static struct part layer(const char *type)
{
	char *body = keep(f, str_printf("layer %u", blobs++));

	return blob(type, body);
}

/* Not in the registry. */
static struct part absent(const char *type, const char *platform)
{
	struct part p = {.type = type, .size = 500, .platform = platform};
	char body[32];

	snprintf(body, sizeof(body), "absent %u", blobs++);
	digest_of(HASH_SHA256, body, strlen(body), &p.digest);
	return p;
}

/* With one diff_id. */
static struct part config(const char *created)
{
	char *body = keep(
		f,
		str_printf("{%s%s%s\"architecture\":\"amd64\",\"os\":\"linux\","
			   "\"n\":%u,\"rootfs\":{\"type\":\"layers\","
			   "\"diff_ids\":[\"sha256:44136fa355b3678a1146ad16f7e8"
			   "649e94fb4fc21fe77e8310c060f61caaff8a\"]}}",
			   created ? "\"created\":\"" : "",
			   created ? created : "", created ? "\"," : "",
			   blobs++));

	return blob(MEDIATYPE_OCI_CONFIG, body);
}

static struct part put_document(const char *type, struct str *s)
{
	struct part p = {.type = type, .size = s->len};

	put_manifest(f, &f->here, REPO, type, keep(f, str_steal(s)), &p.digest);
	return p;
}

static struct part manifest(struct part conf, const struct part *layers,
			    size_t n, const char *created)
{
	struct str s = {.max = 1 << 20};

	str_add(&s, "{\"schemaVersion\":2,\"mediaType\":"
		    "\"" MEDIATYPE_OCI_MANIFEST "\",\"config\":");
	add_part(&s, &conf);
	str_add(&s, ",\"layers\":[");
	for (size_t i = 0; i < n; i++) {
		str_add(&s, i ? "," : "");
		add_part(&s, &layers[i]);
	}
	str_add(&s, "]");
	if (created)
		str_addf(&s, ",\"annotations\":{\"" CREATED "\":\"%s\"}",
			 created);
	str_add(&s, "}");
	return put_document(MEDIATYPE_OCI_MANIFEST, &s);
}

/* The children, `times` times over. */
static struct part make_index(const struct part *children, size_t n,
			      unsigned times)
{
	struct str s = {.max = 1 << 20};

	str_add(&s, "{\"schemaVersion\":2,\"mediaType\":"
		    "\"" MEDIATYPE_OCI_INDEX "\",\"manifests\":[");
	for (size_t i = 0; i < n * times; i++) {
		str_add(&s, i ? "," : "");
		add_part(&s, &children[i % n]);
	}
	str_add(&s, "]}");
	return put_document(MEDIATYPE_OCI_INDEX, &s);
}

static struct part simple(const char *platform)
{
	struct part l = layer(LAYER);
	struct part m = manifest(config(NULL), &l, 1, NULL);

	m.platform = platform;
	return m;
}

static struct image *open_image(const struct part *p)
{
	struct image *i;

	assert_int_equal(image_open(f->repo, &p->digest, NULL, &i), 0);
	return i;
}

/* --- looking at them --- */

/* Parts in order, one letter each: l c m i r. */
static void holds(struct image *i, const char *want)
{
	static const char letters[] = {[PART_LAYER] = 'l',
				       [PART_CONFIG] = 'c',
				       [PART_MANIFEST] = 'm',
				       [PART_INDEX] = 'i',
				       [PART_ROOT] = 'r'};
	const struct image_entry *e;
	char have[64] = "";
	size_t n;

	assert_int_equal(image_entries(i, &f->c.w, &e, &n), 0);
	assert_true(n < sizeof(have));
	for (size_t k = 0; k < n; k++)
		have[k] = letters[e[k].part];
	assert_string_equal(have, want);
}

static bool entry_of(struct image *i, const struct part *p,
		     struct image_entry *ret)
{
	const struct image_entry *e;
	size_t n;

	assert_int_equal(image_entries(i, &f->c.w, &e, &n), 0);
	for (size_t k = 0; k < n; k++)
		if (digest_equal(&e[k].digest, &p->digest)) {
			*ret = e[k];
			return true;
		}
	return false;
}

static int64_t seconds(struct image *i)
{
	struct timespec t = {.tv_sec = 1};

	image_time_known(i, &t);
	assert_int_equal(t.tv_sec, 1);
	assert_int_equal(image_learn_time(i, &f->c.w), 0);
	image_time_known(i, &t);
	return t.tv_sec;
}

static unsigned documents(void)
{
	return asked(&f->c.s, "GET /v2/" REPO "/manifests/");
}

static void test_plain(void **state)
{
	struct part l[2] = {layer(LAYER), layer(LAYER)};
	struct part c = config(NULL), m = manifest(c, l, 2, NULL);
	struct image *i = open_image(&m);
	const struct manifest *root, *chosen;
	struct image_entry e;

	holds(i, "llcr");
	assert_int_equal(documents(), 1);
	assert_int_equal(asked(&f->c.s, "/blobs/"), 0);
	assert_int_equal(image_root(i, &f->c.w, &root), 0);
	assert_int_equal(image_platform(i, &f->c.w, &chosen), 0);
	assert_ptr_equal(root, chosen);
	assert_true(entry_of(i, &l[1], &e));
	assert_int_equal(e.size_bytes, l[1].size);
	assert_string_equal(e.mediatype, LAYER);
	image_unref(i);
}

/* A nested index, an attestation, and what is to be left out. */
static void test_index(void **state)
{
	struct part deep = simple("linux/amd64");
	struct part inner = make_index(&deep, 1, 1);
	struct part proof_layer = layer(ATTESTATION);
	struct part proof = manifest(config(NULL), &proof_layer, 1, NULL);
	struct part children[6], root;
	const struct manifest *m;
	struct image_entry e;
	struct image *i;

	inner.platform = "linux/amd64";
	proof.platform = "unknown/unknown";
	children[0] = inner;
	children[1] = simple("linux/arm64");
	children[2] = proof;
	children[3] = absent(MEDIATYPE_OCI_MANIFEST, "linux/s390x");
	children[4] = absent("application/x-strange", "linux/amd64");
	children[5] = inner;
	root = make_index(children, COUNT(children), 1);
	i = open_image(&root);

	assert_int_equal(image_platform(i, &f->c.w, &m), 0);
	assert_true(digest_equal(&m->digest, &deep.digest));
	assert_int_equal(documents(), 3);
	holds(i, "lllcccmmmir");
	assert_true(entry_of(i, &proof, &e));
	assert_int_equal(e.part, PART_MANIFEST);
	assert_true(entry_of(i, &proof_layer, &e));
	assert_false(entry_of(i, &children[3], &e));
	assert_false(entry_of(i, &children[4], &e));
	/* The root, four that are there, one that is not; each once. */
	assert_int_equal(documents(), 6);
	image_unref(i);
}

static struct part chain(unsigned depth)
{
	struct part p = simple("linux/amd64");

	while (depth-- > 0) {
		p = make_index(&p, 1, 1);
		p.platform = "linux/amd64";
	}
	return p;
}

static void test_depth(void **state)
{
	struct part good = chain(MANIFEST_DEPTH_MAX);
	struct part bad = chain(MANIFEST_DEPTH_MAX + 1);
	const struct image_entry *e;
	const struct manifest *m;
	struct image *i = open_image(&good);
	size_t n;

	holds(i, "lcmiiir");
	assert_int_equal(image_platform(i, &f->c.w, &m), 0);
	image_unref(i);
	i = open_image(&bad);
	assert_int_equal(image_entries(i, &f->c.w, &e, &n), -ELOOP);
	assert_int_equal(image_platform(i, &f->c.w, &m), -ENOENT);
	image_unref(i);
}

/* 300^4 ways to the same manifest, 300 mentions of a missing one. */
static void test_multiplying(void **state)
{
	struct part p = simple("linux/amd64"), both[2];
	struct image *i;

	for (int depth = 0; depth < 3; depth++)
		p = make_index(&p, 1, 300);
	both[0] = p;
	both[1] = absent(MEDIATYPE_OCI_MANIFEST, NULL);
	p = make_index(both, 2, 300);
	i = open_image(&p);
	holds(i, "lcmiiir");
	assert_int_equal(documents(), 6);
	image_unref(i);
}

static void test_foreign(void **state)
{
	struct part l[3] = {layer(LAYER), layer(FOREIGN), absent(FOREIGN, 0)};
	struct part m;
	struct image_entry e;
	struct image *i;
	size_t true_size = l[1].size;

	l[1].size = 12345; /* its descriptor is not to be trusted */
	m = manifest(config(NULL), l, 3, NULL);
	i = open_image(&m);
	holds(i, "llcr");
	assert_true(entry_of(i, &l[1], &e));
	assert_int_equal(e.size_bytes, true_size);
	assert_int_equal(image_find(i, &l[2].digest, &f->c.w, &e), -ENOENT);
	image_unref(i);
}

static void test_schema1(void **state)
{
	struct part a = layer(LAYER), b = layer(LAYER), m;
	char ta[DIGEST_TEXT_MAX], tb[DIGEST_TEXT_MAX];
	struct str s = {.max = 1 << 16};
	struct image_entry e;
	struct image *i;

	digest_format(&a.digest, ta);
	digest_format(&b.digest, tb);
	str_addf(&s,
		 "{\"schemaVersion\":1,\"name\":\"" REPO "\",\"tag\":\"1\","
		 "\"architecture\":\"amd64\",\"fsLayers\":[{\"blobSum\":\"%s\"}"
		 ",{\"blobSum\":\"%s\"},{\"blobSum\":\"%s\"}],\"history\":["
		 "{\"v1Compatibility\":\"{}\"},{\"v1Compatibility\":\"{}\"},"
		 "{\"v1Compatibility\":\"{}\"}]}",
		 ta, tb, ta);
	m = put_document(MEDIATYPE_DOCKER_SCHEMA1, &s);
	i = open_image(&m);
	holds(i, "llr");
	assert_true(entry_of(i, &a, &e));
	assert_int_equal(e.size_bytes, a.size);
	assert_int_equal(image_find(i, &b.digest, &f->c.w, &e), 0);
	assert_int_equal(e.size_bytes, b.size);
	assert_int_equal(asked(&f->c.s, "HEAD /v2/" REPO "/blobs/"), 2);
	assert_int_equal(seconds(i), 0);
	image_unref(i);
}

static void test_no_platform(void **state)
{
	struct part c[2] = {simple("linux/arm64"), simple("windows/amd64")};
	struct part gone = absent(MEDIATYPE_OCI_MANIFEST, "linux/amd64");
	struct part root = make_index(c, 2, 1);
	struct part sparse = make_index(&gone, 1, 1);
	const struct manifest *m;
	struct image *i = open_image(&root);

	assert_int_equal(image_platform(i, &f->c.w, &m), -ENOENT);
	assert_int_equal(seconds(i), 0);
	assert_int_equal(documents(), 1);
	holds(i, "llccmmr");
	image_unref(i);

	i = open_image(&sparse);
	assert_int_equal(image_platform(i, &f->c.w, &m), -ENOENT);
	assert_int_equal(image_platform(i, &f->c.w, &m), -ENOENT);
	assert_int_equal(documents(), 5); /* it was asked for once */
	holds(i, "r");
	image_unref(i);
}

static void test_time(void **state)
{
	struct part l = layer(LAYER);
	struct part by_note = manifest(config("2001-01-01T00:00:00Z"), &l, 1,
				       "2024-05-06T07:08:09Z");
	struct part by_config =
		manifest(config("2001-01-01T00:00:00Z"), &l, 1, NULL);
	struct part bad_note =
		manifest(config("2001-01-01T00:00:00Z"), &l, 1, "yesterday");
	struct part by_none = manifest(config(NULL), &l, 1, NULL);
	struct part lost =
		manifest(absent(MEDIATYPE_OCI_CONFIG, NULL), &l, 1, NULL);
	const struct {
		const struct part *part;
		int64_t want;
	} cases[] = {
		{&by_note, 1714979289},
		{&by_config, 978307200},
		{&bad_note, 978307200},
		{&by_none, 0},
		{&lost, 0},
	};

	for (size_t k = 0; k < COUNT(cases); k++) {
		struct image *i = open_image(cases[k].part);

		assert_int_equal(seconds(i), cases[k].want);
		image_unref(i);
	}
}

/* What could not be asked is asked again, a little later. */
static void test_time_later(void **state)
{
	struct part l = layer(LAYER);
	struct part p = manifest(config("2001-01-01T00:00:00Z"), &l, 1, NULL);
	struct image *i = open_image(&p);
	const struct manifest *m;
	struct timespec t = {.tv_sec = 1};
	unsigned asked;

	assert_int_equal(image_root(i, &f->c.w, &m), 0);
	f->here.status = 403;
	assert_int_equal(image_learn_time(i, &f->c.w), 0);
	f->here.status = 0;
	asked = f->c.s.asked;
	assert_int_equal(image_learn_time(i, &f->c.w), 0);
	assert_int_equal(f->c.s.asked, asked);
	for (int n = 0; n < 400 && t.tv_sec == 1; n++) {
		usleep(10000);
		assert_int_equal(image_learn_time(i, &f->c.w), 0);
		image_time_known(i, &t);
	}
	assert_int_equal(t.tv_sec, 978307200);
	image_unref(i);
}

/* Through an index, the platform's. */
static void test_time_of_index(void **state)
{
	struct part l = layer(LAYER);
	struct part c[2];
	struct part root;
	struct image *i;

	c[0] = manifest(config(NULL), &l, 1, "2001-01-01T00:00:00Z");
	c[0].platform = "linux/arm64";
	c[1] = manifest(config("2024-05-06T07:08:09Z"), &l, 1, NULL);
	c[1].platform = "linux/amd64";
	root = make_index(c, 2, 1);
	i = open_image(&root);
	assert_int_equal(seconds(i), 1714979289);
	image_unref(i);
}

static void test_find(void **state)
{
	struct part l = layer(LAYER), c = config(NULL);
	struct part mine = manifest(c, &l, 1, NULL);
	struct part children[2], root, none = absent(LAYER, NULL);
	struct image_entry e;
	struct image *i;

	mine.platform = "linux/amd64";
	children[0] = simple("linux/arm64");
	children[1] = mine;
	root = make_index(children, 2, 1);
	i = open_image(&root);
	assert_int_equal(image_find(i, &root.digest, &f->c.w, &e), 0);
	assert_int_equal(e.part, PART_ROOT);
	assert_int_equal(e.size_bytes, root.size);
	assert_int_equal(image_find(i, &children[0].digest, &f->c.w, &e), 0);
	assert_int_equal(e.part, PART_MANIFEST);
	assert_int_equal(documents(), 1);
	assert_int_equal(image_find(i, &c.digest, &f->c.w, &e), 0);
	assert_int_equal(e.part, PART_CONFIG);
	assert_int_equal(e.size_bytes, c.size);
	assert_int_equal(image_find(i, &l.digest, &f->c.w, &e), 0);
	assert_int_equal(e.part, PART_LAYER);
	assert_int_equal(documents(), 2);
	assert_int_equal(image_find(i, &none.digest, &f->c.w, &e), -ENOENT);
	assert_int_equal(documents(), 3);
	image_unref(i);
}

static void *entries_main(void *arg)
{
	struct image *i = arg;
	const struct image_entry *e;
	struct wait w;
	size_t n = 0;

	wait_init(&w, 5000, 0);
	if (image_entries(i, &w, &e, &n) < 0 || image_learn_time(i, &w) < 0)
		n = 0;
	return (void *)(uintptr_t)n;
}

static void test_together(void **state)
{
	struct part c[3] = {simple("linux/amd64"), simple("linux/arm64"),
			    simple("linux/s390x")};
	struct part root = make_index(c, 3, 1);
	struct image *i = open_image(&root);
	pthread_t threads[16];
	void *n;

	for (size_t k = 0; k < COUNT(threads); k++)
		pthread_create(&threads[k], NULL, entries_main, i);
	for (size_t k = 0; k < COUNT(threads); k++) {
		pthread_join(threads[k], &n);
		assert_int_equal((uintptr_t)n, 10);
	}
	assert_int_equal(documents(), 4);
	image_unref(i);
}

/* A part that cannot be had is an error, and no shorter list. */
static void test_trouble(void **state)
{
	struct part c = simple("linux/amd64"), root = make_index(&c, 1, 1);
	struct image *i = open_image(&root);
	const struct image_entry *e;
	const struct manifest *m;
	size_t n;

	assert_int_equal(image_root(i, &f->c.w, &m), 0);
	f->here.status = 403;
	assert_int_equal(image_entries(i, &f->c.w, &e, &n), -EACCES);
	assert_int_equal(image_platform(i, &f->c.w, &m), -EACCES);
	image_unref(i);
}

static char referrers[1024];

static bool answer_referrers(struct site *site, const struct request *q,
			     struct reply *p)
{
	if (!strstr(q->target, "/referrers/"))
		return false;
	add_head(p, "Content-Type: " MEDIATYPE_OCI_INDEX);
	say(p, 200, referrers);
	return true;
}

static void test_referrers(void **state)
{
	struct part root = simple(NULL), signature = simple(NULL);
	struct image *i = open_image(&root);
	const struct descriptor *v;
	autostr s = {.max = 1024};
	size_t n;

	str_add(&s, "{\"schemaVersion\":2,\"mediaType\":"
		    "\"" MEDIATYPE_OCI_INDEX "\",\"manifests\":[");
	add_part(&s, &signature);
	str_add(&s, "]}");
	snprintf(referrers, sizeof(referrers), "%s", s.buf);
	f->here.hook = answer_referrers;
	for (int k = 0; k < 2; k++) {
		assert_int_equal(image_referrers(i, &f->c.w, &v, &n), 0);
		assert_int_equal(n, 1);
		assert_true(digest_equal(&v[0].digest, &signature.digest));
		assert_int_equal(
			image_find_referrer(i, &signature.digest, &f->c.w), 0);
		assert_int_equal(image_find_referrer(i, &root.digest, &f->c.w),
				 -ENOENT);
	}
	assert_int_equal(asked(&f->c.s, "/referrers/"), 1);
	image_unref(i);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_plain),	     T(test_index),	T(test_depth),
		T(test_multiplying), T(test_foreign),	T(test_schema1),
		T(test_no_platform), T(test_time),	T(test_time_of_index),
		T(test_time_later),  T(test_find),	T(test_together),
		T(test_trouble),     T(test_referrers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
