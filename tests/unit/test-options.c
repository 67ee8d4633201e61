/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "config/optionline.h"
#include "config/options.h"
#include "config/source.h"
#include "util/auto.h"
#include "util/str.h"

/* Arguments are divided by blanks; '' is an empty one. */
static int parse(const char *line, struct options *o)
{
	static char copy[4096], empty[] = "";
	char *argv[64] = {empty}, *rest = copy, *word;
	int argc = 1;

	snprintf(copy, sizeof(copy), "registryfs %s", line);
	strsep(&rest, " ");
	while ((word = strsep(&rest, " "))) {
		if (*word)
			argv[argc++] = strcmp(word, "''") == 0 ? empty : word;
	}
	return options_parse(argc, argv, o);
}

static void add_list(struct str *s, const char *name,
		     const struct string_list *l)
{
	for (size_t i = 0; i < l->len; i++)
		assert_int_equal(str_addf(s, "%s=%s ", name, l->v[i]), 0);
}

static void add_text(struct str *s, const char *name, const char *value)
{
	if (value)
		assert_int_equal(str_addf(s, "%s=%s ", name, value), 0);
}

static void add_number(struct str *s, const char *name, uint64_t value,
		       uint64_t usual)
{
	if (value != usual)
		assert_int_equal(str_addf(s, "%s=%llu ", name,
					  (unsigned long long)value),
				 0);
}

/* What differs from the defaults. */
static void describe(const struct options *o, struct str *s)
{
	char platform[3 * PLATFORM_PART_MAX];

	add_text(s, "source", o->source);
	add_text(s, "cache_dir", o->cache_dir);
	add_text(s, "authfile", o->authfile);
	add_text(s, "cert_dir", o->cert_dir);
	add_text(s, "mirror", o->mirror);
	add_list(s, "allow", &o->allow);
	add_list(s, "plain_http", &o->plain_http);
	add_list(s, "insecure", &o->insecure);
	add_number(s, "foreground", o->foreground, 0);
	add_number(s, "debug", o->debug, 0);
	add_number(s, "help", o->help, 0);
	add_number(s, "version", o->version, 0);
	add_number(s, "allow_other", o->allow_other, 0);
	add_number(s, "offline", o->offline, 0);
	add_number(s, "nolist", o->nolist, 0);
	add_number(s, "colon_plus", o->colon_plus, 0);
	add_number(s, "cache_size", o->cache_size, 10ULL << 30);
	add_number(s, "cache_min_free", o->cache_min_free, 1ULL << 30);
	add_number(s, "tag_ttl", o->tag_ttl_s, 60);
	add_number(s, "timeout", o->timeout_s, 20);
	add_number(s, "retries", o->retries, 5);
	add_number(s, "prefetch", o->prefetch, 64ULL << 20);
	add_number(s, "layer_entries", o->layer_entries, 4ULL << 20);
	add_number(s, "layer_ratio", o->layer_ratio, 256);
	add_number(s, "layer_size", o->layer_size, 256ULL << 30);
	add_number(s, "max_threads", o->max_threads, 512);
	add_number(s, "verify", o->verify, VERIFY_LAZY);
	add_number(s, "log_level", o->log_level, LOG_LEVEL_WARNING);
	platform_name(&o->platform, platform);
	if (o->has_platform)
		add_text(s, "platform", platform);
	add_number(s, "ro", o->read_only, 0);
	add_number(s, "allow_delete", o->allow_delete, 0);
	add_number(s, "copy_referrers", o->copy_referrers, 0);
	add_number(s, "create_repository", o->create_repository, 1);
	add_number(s, "spool_size", o->spool_size, 64ULL << 30);
	if (o->fuse_opts && strcmp(o->fuse_opts, "nosuid,nodev") != 0)
		add_text(s, "fuse", o->fuse_opts);
}

static void check(const char *line, const char *expected)
{
	struct options o;
	autostr text = {.max = 0};
	int r = parse(line, &o);

	if (r < 0)
		fail_msg("\"%s\" was refused: %d", line, r);
	describe(&o, &text);
	if (text.len > 0)
		text.buf[text.len - 1] = '\0';
	if (strcmp(text.buf ? text.buf : "", expected) != 0)
		fail_msg("\"%s\": \"%s\", not \"%s\"", line, text.buf,
			 expected);
	options_done(&o);
}

static void command_line(void **state)
{
	static const struct {
		const char *line, *expected;
	} t[] = {
		{"/m", ""},
		{"docker.io /m", "source=docker.io"},
		{"-f /m", "foreground=1"},
		{"/m -d", "foreground=1 debug=1"},
		{"-fd /m", "foreground=1 debug=1"},
		{"-h", "help=1"},
		{"-V", "version=1"},
		{"--help --offline", "help=1 offline=1"},
		{"--offline /m", "offline=1"},
		{"--offline=no /m", ""},
		{"-o offline=on,nolist=1 /m", "offline=1 nolist=1"},
		{"-o offline,offline=false /m", ""},
		{"--tag-ttl=5 /m", "tag_ttl=5"},
		{"--tag_ttl 5 /m", "tag_ttl=5"},
		{"-o tag-ttl=0 /m", "tag_ttl=0"},
		{"-o tag_ttl=2m /m", "tag_ttl=120"},
		{"-o tag_ttl=1d /m", "tag_ttl=86400"},
		{"-otimeout=1,retries=20 /m", "timeout=1 retries=20"},
		{"-o timeout=1h /m", "timeout=3600"},
		{"-o cache_size=1M,cache_min_free=0,prefetch=1G /m",
		 "cache_size=1048576 cache_min_free=0 prefetch=1073741824"},
		{"-o layer_entries=1,layer_ratio=1,layer_size=1M /m",
		 "layer_entries=1 layer_ratio=1 layer_size=1048576"},
		{"-o layer-entries=5K,layer-ratio=1000 --layer-size=1T /m",
		 "layer_entries=5120 layer_ratio=1000 "
		 "layer_size=1099511627776"},
		{"-o max_threads=64,verify=strict,log_level=debug /m",
		 "max_threads=64 verify=1 log_level=3"},
		{"-o colon=+ /m", "colon_plus=1"},
		{"-o colon=+,colon=: /m", ""},
		{"-o platform=linux/arm/v7 /m", "platform=linux-arm-v7"},
		{"-o cache_dir=/a/b,authfile=/c,cert_dir=/d /m",
		 "cache_dir=/a/b authfile=/c cert_dir=/d"},
		{"-o cache_dir=/a\\,b /m", "cache_dir=/a,b"},
		{"-o cache_dir=/a\\054b /m", "cache_dir=/a,b"},
		{"-o allow=a.io,allow=b.io/x/** --allow c.io,d.io /m",
		 "allow=a.io allow=b.io/x/** allow=c.io allow=d.io"},
		{"-o allow=a.io\\,b.io /m", "allow=a.io allow=b.io"},
		{"-o plain_http=h:1,insecure=*.x /m",
		 "plain_http=h:1 insecure=*.x"},
		{"https://Reg.Example.com/team/ /m",
		 "source=reg.example.com/team"},
		{"http://h:5000/a /m", "source=h:5000/a plain_http=h:5000"},
		{"http://h:5000 /m -o plain_http=x.y",
		 "source=h:5000 plain_http=x.y plain_http=h:5000"},
		/* as mount(8) calls */
		{"'' /m -o rw,dev,suid", ""},
		{"none /m -o rw,noexec,nosuid,nodev", "fuse=nosuid,nodev,"
						      "noexec"},
		{"all /m -o ro,_netdev,nofail,user,users,noauto,auto,defaults",
		 "ro=1 fuse=ro,nosuid,nodev"},
		/* writing */
		{"/m -o rw", ""},
		{"/m -o ro", "ro=1 fuse=ro,nosuid,nodev"},
		{"/m --ro", "ro=1 fuse=ro,nosuid,nodev"},
		{"/m -o ro,rw", ""},
		{"/m -o rw,ro", "ro=1 fuse=ro,nosuid,nodev"},
		{"/m -o rw=no", "ro=1 fuse=ro,nosuid,nodev"},
		{"/m -o ro=no", ""},
		{"/m -o allow_delete,copy-referrers",
		 "allow_delete=1 copy_referrers=1"},
		{"/m --allow-delete --copy_referrers=no", "allow_delete=1"},
		{"/m -o create_repository", ""},
		{"/m --create-repository=no", "create_repository=0"},
		{"/m -o spool_size=64M", "spool_size=67108864"},
		{"/m --spool-size=1T", "spool_size=1099511627776"},
		{"registryfs /m -o comment=a,x-systemd.automount,user=jo,dev",
		 ""},
		{"/m -o ro,allow_other,max_read=1,a\\,b",
		 "allow_other=1 ro=1 fuse=ro,nosuid,nodev,allow_other,"
		 "default_permissions,max_read=1,a\\,b"},
		{"/m -o noexec,noexec,default_permissions,allow_other",
		 "allow_other=1 fuse=nosuid,nodev,allow_other,"
		 "default_permissions,noexec"},
		{"-o foreground -- /m", "foreground=1"},
	};

	for (size_t i = 0; i < COUNT(t); i++)
		check(t[i].line, t[i].expected);
}

static void refused(void **state)
{
	static const struct {
		const char *line, *says;
	} t[] = {
		{"", "MOUNTPOINT is missing"},
		{"-f", "MOUNTPOINT is missing"},
		{"docker.io ''", "MOUNTPOINT"},
		{"a.io /m x", "x is one argument too many"},
		{"-s /m", "-s is not an option"},
		{"-fs /m", "-fs is not an option"},
		{"--bogus /m", "--bogus is not an option"},
		{"/m -o", "-o needs words"},
		{"/m --tag_ttl", "needs a value"},
		{"/m -o tag_ttl", "needs a value"},
		{"/m -o tag_ttl=", "needs a value"},
		{"/m -o tag_ttl=86401", "number from 0 to 86400"},
		{"/m -o tag_ttl=2d", "number from 0 to 86400"},
		{"/m -o tag_ttl=-1", "number from 0 to 86400"},
		{"/m -o tag_ttl=m", "number from 0 to 86400"},
		{"/m -o timeout=0", "number from 1 to 3600"},
		{"/m -o timeout=3601", "number from 1 to 3600"},
		{"/m -o retries=0", "number from 1 to 20"},
		{"/m -o retries=21", "number from 1 to 20"},
		{"/m -o retries=1x", "number from 1 to 20"},
		{"/m -o max_threads=63", "number from 64 to 4096"},
		{"/m -o max_threads=4097", "number from 64 to 4096"},
		{"/m -o max_threads=99999999999999999999", "from 64 to 4096"},
		{"/m -o cache_size=x", "number of bytes"},
		{"/m -o cache_size=1023K", "size from 1M to 1024T"},
		{"/m -o cache_size=1025T", "size from 1M to 1024T"},
		{"/m -o prefetch=2G", "size from 0 to 1G"},
		{"/m -o layer_entries=0", "number from 1 to 1G"},
		{"/m -o layer_entries=many", "is a number, or with K, M"},
		{"/m -o layer_ratio=0", "number from 1 to 1G"},
		{"/m -o layer_ratio=2G", "number from 1 to 1G"},
		{"/m -o layer_size=1K", "size from 1M to 1024T"},
		{"/m -o layer_size=-1", "number of bytes"},
		{"/m -o offline=perhaps", "is yes or no"},
		{"/m -o verify=full", "lazy or strict"},
		{"/m -o log_level=loud", "error, warning, info or debug"},
		{"/m -o colon=x", "is + or :"},
		{"/m -o platform=linux", "linux/arm64"},
		{"/m -o allow=a.io/UP", "no repository can have"},
		{"/m -o plain_http=a.io/b", "is not HOST[:PORT]"},
		{"/m -o insecure=a_b.io", "does not begin with a registry"},
		{"/m -o a\\000b", "NUL"},
		{"/m -o rw=perhaps", "rw is yes or no"},
		{"/m -o ro=2", "ro is yes or no"},
		{"/m -o allow_delete=all", "allow_delete is yes or no"},
		{"/m -o copy_referrers=x", "copy_referrers is yes or no"},
		{"/m -o spool_size=63M", "size from 64M to 1024T"},
		{"/m -o spool_size=0", "size from 64M to 1024T"},
		{"/m -o spool_size", "spool_size needs a value"},
		{"/m -o mirror=ftp://x", "mirror is no address"},
		{"/m -o mirror=x/UP", "no repository can be in"},
		{"/m -o mirror=x/a?b", "mirror is no address"},
		{"/m -o mirror=x/a//b", "mirror is no address"},
		{"/m -o mirror", "mirror needs a value"},
		{"alpine /m", "SOURCE 'alpine' is not a registry"},
		{"a.io/x:1 /m", "names an image"},
		{"a.io/x@sha256:00 /m", "names an image"},
		{"a.io/X /m", "no repository can have"},
		{"ftp://a.io /m", "is not a registry"},
		{"https:// /m", "is not a registry"},
		{"u:p@a.io /m", "is not a registry"},
		{"a.io//b /m", "no repository can have"},
		{"/m --config=/nonexistent/x", "there is no such file"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct options o;
		int r;

		capture_begin();
		r = parse(t[i].line, &o);
		options_done(&o);
		assert_says(capture_end(), t[i].says);
		if (r != -EINVAL)
			fail_msg("\"%s\": %d", t[i].line, r);
	}
}

static void sources(void **state)
{
	static const struct {
		const char *s, *expected;
		bool plain_http;
	} t[] = {
		{"", NULL, false},
		{"registryfs", NULL, false},
		{"none", NULL, false},
		{"all", NULL, false},
		{"docker.io", "docker.io", false},
		{"index.docker.io/library", "docker.io/library", false},
		{"docker://ghcr.io/a/b", "ghcr.io/a/b", false},
		{"localhost", "localhost", false},
		{"LOCALHOST:5000/a", "localhost:5000/a", false},
		{"h+5000/a", "h:5000/a", false},
		{"[::1]:5000/", "[::1]:5000", false},
		{"https://h/a", "h:443/a", false},
		{"http://h", "h:80", true},
		{"http://a.io//", "a.io", true},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		bool plain = !t[i].plain_http;
		const char *reason = NULL;
		char *ret = NULL;

		assert_int_equal(source_parse(t[i].s, &ret, &plain, &reason),
				 0);
		if (t[i].expected)
			assert_string_equal(ret, t[i].expected);
		else
			assert_null(ret);
		assert_int_equal(plain, t[i].plain_http);
		free(ret);
	}
}

static void mountpoints(void **state)
{
	static const struct {
		const char *s, *expected; /* beneath the home */
	} t[] = {
		{"m", "m"},
		{"./m/", "m"},
		{"d/../m", "m"},
		{"d//./m", "d/m"},
		{"link/m", "d/m"},
		{"link", "link"},
		{"none/m", "none/m"},
		{"d/e/..", "d"},
		{"dangling", "dangling"},
	};
	char *ret = NULL;

	make_dir("d/e");
	assert_int_equal(symlink("d", at("link")), 0);
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	assert_int_equal(chdir(fixture_dir), 0);
	for (size_t i = 0; i < COUNT(t); i++) {
		assert_int_equal(mountpoint_absolute(t[i].s, &ret), 0);
		assert_string_equal(ret, at(t[i].expected));
		free(ret);
	}
	assert_int_equal(mountpoint_absolute("//", &ret), 0);
	assert_string_equal(ret, "/");
	free(ret);
	assert_int_equal(mountpoint_absolute("", &ret), -ENOENT);
	assert_int_equal(mountpoint_absolute("none/..", &ret), -ENOENT);
	assert_int_equal(chdir("/"), 0);
}

static void config_applied(void **state)
{
	struct options o;

	put(".config/registryfs/config",
	    "# a comment\n"
	    "\n"
	    "tag-ttl = 7\t# seconds\r\n"
	    "offline\n"
	    "  cache_dir=\"/var/a \\\"b\\\" #c\"   # quoted\n"
	    "authfile = '/x y'\n"
	    "cert_dir = ~/certs\n"
	    "retries=3\n"
	    "allow = a.io, b.io/c\n"
	    "allow = c.io\n"
	    "ro\n"
	    "allow_delete = yes\n"
	    "spool_size = 1G\n"
	    "plain_http = h:1");
	assert_int_equal(parse("/m -o retries=4,plain_http=h:2", &o), 0);
	assert_string_equal(o.config, at(".config/registryfs/config"));
	assert_int_equal(o.tag_ttl_s, 7);
	assert_true(o.offline);
	assert_string_equal(o.cache_dir, "/var/a \"b\" #c");
	assert_string_equal(o.authfile, "/x y");
	assert_string_equal(o.cert_dir, at("certs"));
	assert_true(o.read_only);
	assert_true(o.allow_delete);
	assert_int_equal(o.spool_size, 1 << 30);
	assert_string_equal(o.fuse_opts, "ro,nosuid,nodev");
	/* the command line wins; of lists too */
	assert_int_equal(o.retries, 4);
	assert_int_equal(o.plain_http.len, 1);
	assert_string_equal(o.plain_http.v[0], "h:2");
	assert_int_equal(o.allow.len, 3);
	assert_string_equal(o.allow.v[1], "b.io/c");
	options_done(&o);
	assert_int_equal(parse("/m -o rw", &o), 0);
	assert_false(o.read_only);
	assert_string_equal(o.fuse_opts, "nosuid,nodev");
	options_done(&o);

	/* a file that is named replaces the default one */
	put("other", "tag_ttl = 8\n");
	assert_int_equal(chdir(fixture_dir), 0);
	assert_int_equal(parse("--config other /m", &o), 0);
	assert_int_equal(chdir("/"), 0);
	assert_string_equal(o.config, at("other"));
	assert_int_equal(o.tag_ttl_s, 8);
	assert_false(o.offline);
	options_done(&o);
}

static void config_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} t[] = {
		{"a\nb = 1", ":1: a is not an option"},
		{"\n\ntag_ttl = x\n", ":3: tag_ttl is a number"},
		{"tag_ttl 5", ":1: the line is not \"name = value\""},
		{"[section]", ":1: the line is not \"name = value\""},
		{"authfile = \"/x", ":1: the line has no closing quote"},
		{"authfile = '/x' y", "goes on behind the closing quote"},
		{"authfile = x", ":1: authfile is an absolute path"},
		{"config = /x", ":1: config belongs on the command line"},
		{"help", ":1: help belongs on the command line"},
		{"rw = 7", ":1: rw is yes or no"},
		{"allow = ", ":1: allow needs a value"},
		{"mirror = x:y", ":1: mirror is no address"},
	};
	struct options o;
	char line[512];

	snprintf(line, sizeof(line), "-o config=%s /m", at("c"));
	for (size_t i = 0; i < COUNT(t); i++) {
		const char *said;

		put("c", t[i].text);
		capture_begin();
		assert_int_equal(parse(line, &o), -EINVAL);
		said = capture_end();
		assert_says(said, t[i].says);
		assert_says(said, at("c"));
		options_done(&o);
	}
	put("c", "\xef\xbb\xbf"
		 "offline\r\ntag_ttl = 7\r\n");
	assert_int_equal(parse(line, &o), 0);
	assert_true(o.offline && o.tag_ttl_s == 7);
	options_done(&o);
	put_mode("c", "offline", 0666);
	capture_begin();
	assert_int_equal(parse(line, &o), -EINVAL);
	assert_says(capture_end(), "writable by others");
	options_done(&o);
}

/* Whatever is in its place: one line that names it. */
static void config_is_no_file(void **state)
{
	static const char *const says[] = {"is not a regular file",
					   "is too large", "cannot be opened",
					   ":2: the line"};
	autofree char *large = malloc((10 << 20) + 1);
	struct options o;
	char line[512];

	(void)state;
	memset(large, '#', 10 << 20);
	large[10 << 20] = '\0';
	for (size_t i = 0; i < COUNT(says); i++) {
		const char *said;
		FILE *f;

		fixture_clean(NULL);
		snprintf(line, sizeof(line), "-o config=%s /m", at("c"));
		if (i == 0)
			make_dir("c");
		else if (i < 3)
			put_mode("c", i == 1 ? large : "", i == 1 ? 0600 : 0);
		if (i == 3) {
			put("c", "");
			f = fopen(at("c"), "w");
			assert_non_null(f);
			fwrite("offline\n\0\1\0=\n", 1, 13, f);
			fclose(f);
		}
		capture_begin();
		assert_int_equal(parse(line, &o), -EINVAL);
		said = capture_end();
		assert_says(said, says[i]);
		assert_says(said, at("c"));
		options_done(&o);
	}
}

static void words(void **state)
{
	static const struct {
		const char *s, *expected; /* one word per line */
	} t[] = {
		{"", ""},
		{",,", ""},
		{"a", "a\n"},
		{"a,b=c", "a\nb=c\n"},
		{"a\\,b,c", "a,b\nc\n"},
		{"a\\\\,b", "a\\\nb\n"},
		{"a\\", "a\\\n"},
		{"\\141\\400", "a400\n"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostrings list = {.v = NULL};
		autostrings again = {.v = NULL};
		autostr text = {.max = 0};
		autostr escaped = {.max = 0};
		const char *reason;

		assert_int_equal(optionwords_split(t[i].s, &list, &reason), 0);
		for (size_t k = 0; k < list.len; k++) {
			str_addf(&text, "%s\n", list.v[k]);
			optionwords_add(&escaped, list.v[k]);
		}
		assert_string_equal(text.buf ? text.buf : "", t[i].expected);
		if (!list.len)
			continue;
		assert_int_equal(
			optionwords_split(escaped.buf, &again, &reason), 0);
		assert_int_equal(again.len, list.len);
		for (size_t k = 0; k < list.len; k++)
			assert_string_equal(again.v[k], list.v[k]);
	}
}

static void times(void **state)
{
	struct options o = {.timeout_s = 20};
	struct option_times t;

	options_times(&o, &t);
	assert_int_equal(t.connect, 5000);
	assert_int_equal(t.tls, 10000);
	assert_int_equal(t.first_byte, 15000);
	assert_int_equal(t.stall, 30000);
	assert_int_equal(t.meta_budget, 20000);
	assert_int_equal(t.read_budget, 60000);
	assert_int_equal(t.commit_budget, 120000);
	assert_int_equal(t.retry_base, 500);
	assert_int_equal(t.retry_cap, 30000);
	o.timeout_s = 2;
	options_times(&o, &t);
	assert_int_equal(t.connect, 500);
	assert_int_equal(t.read_budget, 6000);
}

static char *cache_dir(const char *line)
{
	struct options o;
	char *ret = NULL;

	assert_int_equal(parse(line, &o), 0);
	assert_int_equal(options_cache_dir(&o, &ret), 0);
	options_done(&o);
	return ret;
}

static void cache_dirs(void **state)
{
	char *a = cache_dir("h:5000/team /m"), *b = cache_dir("h:5000/team /n");
	char *c = cache_dir("/m"), *d = cache_dir("-o cache_dir=/x/y /m");
	char *e = cache_dir("-o mirror=x.test /m");
	char *again = cache_dir("H+5000/team/ //m/");

	assert_true(str_prefix(a, at(".cache/registryfs/h_5000_team-")));
	assert_true(str_prefix(c, at(".cache/registryfs/all-")));
	assert_string_not_equal(a, b);
	assert_string_not_equal(c, e);
	assert_string_equal(a, again);
	assert_string_equal(d, "/x/y");
	setenv("XDG_CACHE_HOME", "/xdg", 1);
	free(c);
	c = cache_dir("/m");
	assert_true(str_prefix(c, "/xdg/registryfs/all-"));
	unsetenv("XDG_CACHE_HOME");
	free(a);
	free(b);
	free(c);
	free(d);
	free(e);
	free(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(command_line, fixture_clean),
		cmocka_unit_test_teardown(refused, fixture_clean),
		cmocka_unit_test(sources),
		cmocka_unit_test_teardown(mountpoints, fixture_clean),
		cmocka_unit_test_teardown(config_applied, fixture_clean),
		cmocka_unit_test_teardown(config_refused, fixture_clean),
		cmocka_unit_test_teardown(config_is_no_file, fixture_clean),
		cmocka_unit_test(words),
		cmocka_unit_test(times),
		cmocka_unit_test(cache_dirs),
	};
	int r;

	fixture_start();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return r;
}
