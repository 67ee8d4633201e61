/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <dirent.h>

#include "config/hostname.h"
#include "config/hosts.h"
#include "util/fd.h"
#include "util/str.h"

#define PEM(x) "-----BEGIN CERTIFICATE-----\n" x "\n-----END CERTIFICATE-----\n"

static struct hosts *make(const char *cert_dir)
{
	struct options o = {.source = NULL};
	struct hosts *h;

	assert_int_equal(string_list_add(&o.plain_http, "plain.io"), 0);
	assert_int_equal(string_list_add(&o.plain_http, "localhost:1"), 0);
	assert_int_equal(string_list_add(&o.insecure, "*.self.io"), 0);
	if (cert_dir)
		o.cert_dir = strdup(cert_dir);
	assert_int_equal(hosts_new(&o, &h), 0);
	options_done(&o);
	return h;
}

static void loopback_names(void **state)
{
	static const struct {
		const char *host;
		bool expected;
	} t[] = {
		{"localhost", true},
		{"localhost:5000", true},
		{"a.localhost:5", true},
		{"127.0.0.1", true},
		{"127.9.8.7:80", true},
		{"[::1]", true},
		{"[::1]:5000", true},
		{"[0:0::1]:5000", true},
		{"notlocalhost", false},
		{"localhost.io", false},
		{"127.0.0.1.nip.io", false},
		{"128.0.0.1", false},
		{"[::2]:5000", false},
		{"10.0.0.1:5000", false},
		{"127.1", false},
		{"", false},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		if (hostname_is_loopback(t[i].host) != t[i].expected)
			fail_msg("%s", t[i].host);
	}
}

static void flags(void **state)
{
	static const struct {
		const char *host, *api_host;
		const char *flags; /* p t i l */
	} t[] = {
		{"docker.io", "registry-1.docker.io", "----"},
		{"ghcr.io", "ghcr.io", "----"},
		{"ghcr.io:5000", "ghcr.io:5000", "----"},
		{"plain.io", "plain.io", "p---"},
		{"plain.io:80", "plain.io:80", "----"},
		{"a.self.io", "a.self.io", "--i-"},
		{"localhost:5000", "localhost:5000", "-til"},
		{"127.0.0.2", "127.0.0.2", "-til"},
		{"localhost:1", "localhost:1", "p-il"},
	};
	struct hosts *h = make(NULL);

	for (size_t i = 0; i < COUNT(t); i++) {
		struct host_conf c;
		char got[5];

		assert_int_equal(hosts_find(h, t[i].host, &c), 0);
		snprintf(got, sizeof(got), "%c%c%c%c", c.plain_http ? 'p' : '-',
			 c.try_https_first ? 't' : '-', c.insecure ? 'i' : '-',
			 c.is_loopback ? 'l' : '-');
		assert_string_equal(got, t[i].flags);
		assert_string_equal(c.host, t[i].host);
		assert_string_equal(c.api_host, t[i].api_host);
		assert_null(c.ca_file);
		assert_null(c.client_cert);
		host_conf_done(&c);
	}
	hosts_free(h);
}

static char *slurp(const char *path)
{
	char *text = NULL;
	size_t len;

	assert_int_equal(fd_read_file(AT_FDCWD, path, 1 << 24, &text, &len), 0);
	return text;
}

static size_t count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void bundles(void **state)
{
	struct host_conf c, again;
	struct stat st;
	struct hosts *h;
	char *text, *dir;

	make_dir("run");
	setenv("XDG_RUNTIME_DIR", at("run"), 1);
	put("system.pem", PEM("system"));
	setenv("SSL_CERT_FILE", at("system.pem"), 1);
	put("certs/h:5000/b.crt", PEM("bbb"));
	put("certs/h:5000/a.crt", PEM("aaa"));
	put("certs/h:5000/x.cert", "cert");
	put("certs/h:5000/x.key", "key");
	put("certs/h:5000/README", "no certificate");
	h = make(at("certs"));
	assert_int_equal(count_entries(at("run")), 0);

	assert_int_equal(hosts_find(h, "h:5000", &c), 0);
	text = slurp(c.ca_file);
	assert_string_equal(text,
			    PEM("system") "\n" PEM("aaa") "\n" PEM("bbb") "\n");
	free(text);
	assert_string_equal(c.client_cert, at("certs/h:5000/x.cert"));
	assert_string_equal(c.client_key, at("certs/h:5000/x.key"));

	/* in a private directory */
	assert_true(str_prefix(c.ca_file, at("run/")));
	dir = strndup(c.ca_file, (size_t)(strrchr(c.ca_file, '/') - c.ca_file));
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	free(dir);

	/* the same as long as nothing changed; then another one */
	assert_int_equal(hosts_find(h, "h:5000", &again), 0);
	assert_string_equal(again.ca_file, c.ca_file);
	host_conf_done(&again);
	put("certs/h:5000/a.crt", PEM("new"));
	assert_int_equal(hosts_find(h, "h:5000", &again), 0);
	assert_string_not_equal(again.ca_file, c.ca_file);
	text = slurp(again.ca_file);
	assert_non_null(strstr(text, "new"));
	assert_null(strstr(text, "aaa"));
	free(text);
	assert_int_equal(access(c.ca_file, R_OK), 0);

	/* made again when somebody took the directory away */
	assert_int_equal(unlink(again.ca_file), 0);
	host_conf_done(&again);
	assert_int_equal(hosts_find(h, "h:5000", &again), 0);
	assert_int_equal(access(again.ca_file, R_OK), 0);
	host_conf_done(&again);
	host_conf_done(&c);

	assert_int_equal(hosts_find(h, "other.io", &c), 0);
	assert_null(c.ca_file);
	host_conf_done(&c);
	hosts_free(h);
	assert_int_equal(count_entries(at("run")), 0);
	unsetenv("SSL_CERT_FILE");
	unsetenv("XDG_RUNTIME_DIR");
}

/* Who configured certificates means TLS, on loopback too. */
static void loopback_with_certs(void **state)
{
	struct host_conf c;
	struct hosts *h;

	put("certs/localhost:5000/ca.crt", PEM("x"));
	h = make(at("certs"));
	assert_int_equal(hosts_find(h, "localhost:5000", &c), 0);
	assert_true(c.is_loopback);
	assert_false(c.insecure);
	assert_false(c.try_https_first);
	assert_false(c.plain_http);
	assert_non_null(c.ca_file);
	host_conf_done(&c);
	hosts_free(h);
}

static void first_directory_only(void **state)
{
	struct hosts *h = make(NULL);
	struct host_conf c;

	put(".config/containers/certs.d/docker.io/a.cert", "x");
	put(".config/containers/certs.d/docker.io/a.key", "x");
	assert_int_equal(hosts_find(h, "docker.io", &c), 0);
	assert_string_equal(c.client_cert,
			    at(".config/containers/certs.d/docker.io/a.cert"));
	host_conf_done(&c);
	hosts_free(h);

	/* cert_dir= replaces the list */
	make_dir("certs");
	h = make(at("certs"));
	assert_int_equal(hosts_find(h, "docker.io", &c), 0);
	assert_null(c.client_cert);
	host_conf_done(&c);
	hosts_free(h);
}

static void broken(void **state)
{
	static const struct {
		const char *file, *text;
		mode_t mode;
		const char *says;
	} t[] = {
		{"certs/h.io/a.cert", "x", 0600, "no a.key"},
		{"certs/h.io/a.key", "x", 0600, "no a.cert"},
		{"certs/h.io/a.crt", "DER", 0600, "not in PEM"},
		{"certs/h.io/a.crt", PEM("x"), 0666, "writable by others"},
		{"certs/h.io/a.crt", PEM("x"), 0000, "cannot be opened"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct host_conf c;
		struct hosts *h;

		put_mode(t[i].file, t[i].text, t[i].mode);
		h = make(at("certs"));
		capture_begin();
		assert_int_equal(hosts_find(h, "h.io", &c), -EINVAL);
		assert_says(capture_end(), t[i].says);
		/* Once, not per look-up; again when it was mended. */
		capture_begin();
		assert_int_equal(hosts_find(h, "h.io", &c), -EINVAL);
		assert_string_equal(capture_end(), "");
		unlink(at(t[i].file));
		capture_begin();
		assert_int_equal(hosts_find(h, "h.io", &c), 0);
		assert_string_equal(capture_end(), "");
		host_conf_done(&c);
		put_mode(t[i].file, t[i].text, t[i].mode);
		capture_begin();
		assert_int_equal(hosts_find(h, "h.io", &c), -EINVAL);
		assert_says(capture_end(), t[i].says);
		hosts_free(h);
		unlink(at(t[i].file));
	}
}

static void bad_names(void **state)
{
	struct hosts *h = make(NULL);
	struct host_conf c;

	assert_int_equal(hosts_find(h, "", &c), -EINVAL);
	assert_int_equal(hosts_find(h, "..", &c), -EINVAL);
	assert_int_equal(hosts_find(h, "a/b", &c), -EINVAL);
	hosts_free(h);
}

static void bad_options(void **state)
{
	struct options o = {.source = NULL};
	struct hosts *h;

	assert_int_equal(string_list_add(&o.insecure, "a.io/b"), 0);
	capture_begin();
	assert_int_equal(hosts_new(&o, &h), -EINVAL);
	assert_says(capture_end(), "insecure=a.io/b is not HOST[:PORT]");
	options_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loopback_names),
		cmocka_unit_test(flags),
		cmocka_unit_test_teardown(bundles, fixture_clean),
		cmocka_unit_test_teardown(loopback_with_certs, fixture_clean),
		cmocka_unit_test_teardown(first_directory_only, fixture_clean),
		cmocka_unit_test_teardown(broken, fixture_clean),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(bad_options),
	};
	int r;

	fixture_start();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return r;
}
