/* SPDX-License-Identifier: Apache-2.0 */
#include "content-fixture.h"

#include "content/history.h"
#include "util/json.h"

static struct manifest *manifest_with(size_t layers)
{
	struct manifest *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->class = MEDIATYPE_MANIFEST;
	m->children = calloc(layers + 1, sizeof(*m->children));
	m->children_len = layers;
	for (size_t i = 0; i < layers; i++)
		m->children[i].size_bytes = 1000 * (i + 1);
	return m;
}

static char *format(struct manifest *m, const char *config, struct str *out)
{
	struct imageconf *conf = NULL;
	struct json_error err;

	if (config)
		assert_int_equal(imageconf_parse(config, strlen(config),
						 m->children_len, &conf, &err),
				 0);
	assert_int_equal(history_format(m, conf, out), 0);
	imageconf_free(conf);
	return out->buf;
}

#define HEAD "STEP  LAYER          SIZE  CREATED               CREATED_BY\n"
#define NONE "# the configuration has no history that fits the layers\n"

static void joins_steps_and_layers(void **state)
{
	static const struct {
		size_t layers;
		const char *config, *text;
	} t[] = {
		{2,
		 "{\"history\":["
		 "{\"created\":\"2024-05-01T09:00:00.5Z\","
		 "\"created_by\":\"ADD rootfs.tar /\"},"
		 "{\"created_by\":\"ENV A=b\",\"empty_layer\":true},"
		 "{\"created\":\"yesterday\",\"comment\":\"by hand\"}]}",
		 HEAD
		 "   0  00             1000  2024-05-01T09:00:00Z  "
		 "ADD rootfs.tar /\n"
		 "   1  -                 -  -                     ENV A=b\n"
		 "   2  01             2000  -                     by hand\n"},
		{1, "{}",
		 HEAD NONE
		 "   0  00             1000  -                     -\n"},
		{1, NULL,
		 HEAD NONE
		 "   0  00             1000  -                     -\n"},
		{1, "{\"history\":[{\"created_by\":\"a\"},{}]}",
		 HEAD NONE
		 "   0  00             1000  -                     -\n"},
		{0, NULL, HEAD},
		{0,
		 "{\"history\":[{\"created_by\":\"x\",\"empty_layer\":true}]}",
		 HEAD "   0  -                 -  -                     x\n"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct manifest *m = manifest_with(t[i].layers);
		autostr out = {.max = HISTORY_BYTES_MAX};

		assert_string_equal(format(m, t[i].config, &out), t[i].text);
		manifest_free(m);
	}
}

static void size_that_nobody_knows(void **state)
{
	struct manifest *m = manifest_with(1);
	autostr out = {.max = HISTORY_BYTES_MAX};

	m->children[0].size_bytes = DESCRIPTOR_SIZE_UNKNOWN;
	assert_non_null(strstr(format(m, NULL, &out),
			       "\n   0  00                -  -"));
	manifest_free(m);
}

/* A step cannot add lines, steer a terminal, or be mistaken for an escape. */
static void commands_are_one_line(void **state)
{
	static const struct {
		const char *json, *shown;
	} t[] = {
		{"a\\nb\\tc\\rd", "a\\nb\\tc\\rd"},
		{"\\u001b[2J", "\\x1b[2J"},
		{"\\u007f", "\\x7f"},
		{"\\u009b2J", "\\u009b2J"},
		{"\\u00e4\\u00a0", "\xc3\xa4\xc2\xa0"},
		{"\\\\n", "\\\\n"},
		{"RUN apt-get update && x", "RUN apt-get update && x"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct manifest *m = manifest_with(1);
		autostr out = {.max = HISTORY_BYTES_MAX};
		char config[256], line[256];

		snprintf(config, sizeof(config),
			 "{\"history\":[{\"created_by\":\"%s\"}]}", t[i].json);
		snprintf(line, sizeof(line), "-                     %s\n",
			 t[i].shown);
		assert_non_null(strstr(format(m, config, &out), line));
		manifest_free(m);
	}
}

static void bounded(void **state)
{
	enum { STEPS = 200, LONG = 20000 };
	struct manifest *m = manifest_with(0);
	struct imageconf_step *steps = calloc(STEPS, sizeof(*steps));
	struct imageconf conf = {.steps = steps, .steps_len = STEPS};
	autofree char *command = malloc(LONG + 1);
	autostr out = {.max = HISTORY_BYTES_MAX};
	char *end;

	memset(command, 'x', LONG);
	command[LONG] = '\0';
	for (size_t i = 0; i < STEPS; i++) {
		steps[i].created_by = command;
		steps[i].layer = -1;
	}
	assert_int_equal(history_format(m, &conf, &out), 0);
	assert_true(out.len <= HISTORY_BYTES_MAX);
	assert_true(out.len > HISTORY_BYTES_MAX - LONG);
	end = strstr(out.buf, "\n# ");
	assert_non_null(end);
	assert_non_null(strstr(end, " more are left out\n"));
	/* Each was cut, and says so. */
	assert_non_null(strstr(out.buf, "xxx...\n"));
	conf.steps_len = 1;
	str_clear(&out);
	assert_int_equal(history_format(m, &conf, &out), 0);
	assert_true(out.len < LONG);
	free(steps);
	manifest_free(m);
}

#define CONFIG                                                                 \
	"{\"history\":[{\"created_by\":\"COPY a /\"}],\"rootfs\":{"            \
	"\"type\":\"layers\",\"diff_ids\":[\"sha256:"                          \
	"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"]}" \
	"}"

static struct image *publish(struct fixture *f, const char *config)
{
	struct digest conf, layer, root;
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	struct image *i;
	char *body;

	digest_of(HASH_SHA256, config, strlen(config), &conf);
	digest_of(HASH_SHA256, "layer", 5, &layer);
	digest_format(&conf, a);
	digest_format(&layer, b);
	body = str_printf(
		"{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{"
		"\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu},"
		"\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer."
		"v1.tar+gzip\",\"digest\":\"%s\",\"size\":5}]}",
		MEDIATYPE_OCI_MANIFEST, MEDIATYPE_OCI_CONFIG, a, strlen(config),
		b);
	put_manifest(f, &f->here, REPO, MEDIATYPE_OCI_MANIFEST, keep(f, body),
		     &root);
	assert_int_equal(image_open(f->repo, &root, NULL, &i), 0);
	return i;
}

static int fetch(struct image *i, struct str *out)
{
	struct wait w;

	wait_init(&w, 5000, 0);
	return history_fetch(i, &w, out);
}

static void fetched_from_the_configuration(void **state)
{
	struct fixture *f = fixture_new(true);
	struct image *i = publish(f, CONFIG);
	autostr out = {.max = HISTORY_BYTES_MAX};

	put_blob(f, &f->here, REPO, CONFIG, strlen(CONFIG), NULL);
	assert_int_equal(fetch(i, &out), 0);
	assert_string_equal(out.buf, HEAD "   0  00                5  -"
					  "                     COPY a /\n");
	assert_int_equal(asked(&f->c.s, "/blobs/"), 1);
	image_unref(i);
	fixture_free(f);
}

/* None, or none that can be read: the layers are known all the same. */
static void configuration_that_is_no_use(void **state)
{
	static const char *const texts[] = {NULL, "no json"};

	for (size_t k = 0; k < COUNT(texts); k++) {
		struct fixture *f = fixture_new(true);
		struct image *i = publish(f, texts[k] ? texts[k] : "{}");
		autostr out = {.max = HISTORY_BYTES_MAX};

		if (texts[k])
			put_blob(f, &f->here, REPO, texts[k], strlen(texts[k]),
				 NULL);
		assert_int_equal(fetch(i, &out), 0);
		assert_string_equal(out.buf,
				    HEAD NONE "   0  00                5  -"
					      "                     -\n");
		image_unref(i);
		fixture_free(f);
	}
}

/* What could not be asked for is not "has none". */
static void registry_that_fails(void **state)
{
	struct fixture *f = fixture_new(true);
	struct image *i = publish(f, CONFIG);
	autostr out = {.max = HISTORY_BYTES_MAX};
	const struct manifest *m;
	struct wait w;

	wait_init(&w, 5000, 0);
	assert_int_equal(image_platform(i, &w, &m), 0);
	f->here.status = 403;
	assert_int_equal(fetch(i, &out), -EACCES);
	assert_int_equal(out.len, 0);
	image_unref(i);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins_steps_and_layers),
		cmocka_unit_test(size_that_nobody_knows),
		cmocka_unit_test(commands_are_one_line),
		cmocka_unit_test(bounded),
		cmocka_unit_test(fetched_from_the_configuration),
		cmocka_unit_test(configuration_that_is_no_use),
		cmocka_unit_test(registry_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
