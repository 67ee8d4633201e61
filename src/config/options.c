/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line is read first, for it may name the configuration file;
 * then the file is applied, then the command line over it.  A list given on
 * the command line replaces the file's.
 */
#include "config/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/commandline.h"
#include "config/optionline.h"
#include "config/optiontable.h"
#include "config/source.h"
#include "config/trustfile.h"
#include "config/userdirs.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/hash.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20)
#define CACHE_NAME_MAX 80

static int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *fmt, ...)
{
	va_list ap;

	fputs("registryfs: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -EINVAL;
}

void options_times(const struct options *o, struct option_times *ret)
{
	unsigned int s = o->timeout_s;

	*ret = (struct option_times){
		.connect = s * 250,
		.tls = s * 500,
		.first_byte = s * 750,
		.stall = s * 1500,
		.meta_budget = s * 1000,
		.read_budget = s * 3000,
		.commit_budget = s * 6000,
		.retry_base = s * 25,
		.retry_cap = s * 1500,
	};
}

void options_done(struct options *o)
{
	free(o->source);
	free(o->mountpoint);
	free(o->fuse_opts);
	free(o->config);
	free(o->cache_dir);
	free(o->authfile);
	free(o->cert_dir);
	free(o->mirror);
	string_list_done(&o->allow);
	string_list_done(&o->plain_http);
	string_list_done(&o->insecure);
	*o = (struct options){.source = NULL};
}

static void set_defaults(struct options *o)
{
	*o = (struct options){
		.cache_size = (uint64_t)10 << 30,
		.cache_min_free = (uint64_t)1 << 30,
		.spool_size = (uint64_t)64 << 30,
		.tag_ttl_s = 60,
		.verify = VERIFY_LAZY,
		.timeout_s = 20,
		.retries = 5,
		.prefetch = (uint64_t)64 << 20,
		.layer_entries = (uint64_t)4 << 20,
		.layer_ratio = 256,
		.layer_size = (uint64_t)256 << 30,
		.max_threads = 512,
		.create_repository = true,
		.log_level = LOG_LEVEL_WARNING,
	};
	platform_host(&o->platform);
}

/* One line of the file; what is wrong is said in `why`. */
static int apply_line(const char *line, size_t n, struct options *o,
		      struct str *why)
{
	const struct option_row *row;
	struct optionline l = {.name = NULL};
	const char *reason = "";
	int r;

	r = optionline_parse(line, n, &l, &reason);
	if (r == -EINVAL)
		r = str_add(why, "the line ") < 0 || str_add(why, reason) < 0
			    ? -ENOMEM
			    : -EINVAL;
	if (r < 0 || !l.name)
		return r;
	row = option_find(l.name, strlen(l.name));
	r = str_addf(why, "%s ", l.name);
	if (r == 0 && !row)
		r = str_add(why, "is not an option") < 0 ? -ENOMEM : -EINVAL;
	else if (r == 0)
		r = option_set(row, l.value, true, o, why);
	optionline_done(&l);
	return r;
}

static int apply_text(const char *path, const char *text, size_t len,
		      struct options *o)
{
	const char *end = text + len;
	unsigned int number = 1;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3; /* as some editors begin a file */
	for (; text < end; number++) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);
		autostr why = {.max = 0};
		int r;

		r = apply_line(text, n, o, &why);
		if (r == -EINVAL)
			return complain("%s:%u: %s", path, number, why.buf);
		if (r < 0)
			return r;
		text += n + 1;
	}
	return 0;
}

/* -ENOENT is for the caller to judge. */
static int apply_file(const char *path, struct options *o)
{
	autofree char *text = NULL;
	const char *reason;
	char *copy;
	size_t len;
	int r;

	r = trustfile_read_conf(path, CONFIG_FILE_MAX, &text, &len, &reason);
	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0)
		return complain("%s: the configuration file %s: %s", path,
				reason, strerror(-r));
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	o->config = copy;
	return apply_text(path, text, len, o);
}

static int apply_default_file(struct options *o)
{
	autofree char *config = NULL;
	autofree char *path = NULL;
	int r = -ENOENT;

	if (geteuid() == 0)
		r = apply_file("/etc/registryfs.conf", o);
	if (r != -ENOENT)
		return r;
	r = userdirs_config(&config);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	path = str_printf("%s/registryfs/config", config);
	if (!path)
		return -ENOMEM;
	r = apply_file(path, o);
	return r == -ENOENT ? 0 : r;
}

static int apply_config(const struct commandline *c, struct options *o)
{
	const struct commandline_item *item = commandline_find(c, "config");
	autofree char *path = NULL;
	int r;

	if (!item || !item->value || !*item->value)
		return apply_default_file(o);
	r = userdirs_absolute(item->value, &path);
	if (r == 0)
		r = apply_file(path, o);
	if (r == -ENOENT)
		return complain("config=%s: there is no such file",
				item->value);
	return r;
}

static int apply_item(const struct commandline_item *item, struct options *o)
{
	const char *value = item->value;
	autostr why = {.max = 0};
	int r;

	r = option_set(item->row, value, false, o, &why);
	if (r != -EINVAL)
		return r;
	if (!value)
		return complain("%s %s", option_name(item->row), why.buf);
	return complain("%s %s (%s=%.200s)", option_name(item->row), why.buf,
			option_name(item->row), value);
}

static int apply_commandline(const struct commandline *c, struct options *o)
{
	int r = 0;

	for (size_t i = 0; i < c->len; i++) {
		struct string_list *l = option_list(c->v[i].row, o);

		if (l)
			string_list_done(l);
	}
	for (size_t i = 0; r == 0 && i < c->len; i++)
		r = apply_item(&c->v[i], o);
	return r;
}

static int set_source(const char *text, struct options *o)
{
	const char *reason = "";
	bool plain_http = false;
	char *host;
	int r;

	r = source_parse(text, &o->source, &plain_http, &reason);
	if (r == -EINVAL)
		return complain("SOURCE '%s' %s", text, reason);
	if (r < 0 || !plain_http)
		return r;
	host = strndup(o->source, strcspn(o->source, "/"));
	r = host ? string_list_add_once(&o->plain_http, host) : -ENOMEM;
	free(host);
	return r;
}

static int set_places(const struct commandline *c, struct options *o)
{
	const char *last;
	int r = 0;

	if (c->positionals == 0)
		return complain("MOUNTPOINT is missing (see --help)");
	last = c->positional[c->positionals - 1];
	if (c->positionals == 2)
		r = set_source(c->positional[0], o);
	if (r < 0)
		return r;
	r = mountpoint_absolute(last, &o->mountpoint);
	if (r < 0 && r != -ENOMEM)
		return complain("MOUNTPOINT '%s': %s", last, strerror(-r));
	return r;
}

/*
 * Devices and set-uid programs of images are never effective; with other users
 * in, the kernel checks permissions.
 */
static int set_fuse_opts(const struct commandline *c, struct options *o)
{
	static const char *const always[] = {"nosuid", "nodev"};
	static const char *const shared[] = {"allow_other",
					     "default_permissions"};
	autostrings words = {.v = NULL};
	autostr text = {.max = 0};
	int r = 0;

	if (o->read_only)
		r = string_list_add(&words, "ro");
	for (size_t i = 0; r == 0 && i < sizeof(always) / sizeof(*always); i++)
		r = string_list_add(&words, always[i]);
	for (size_t i = 0; r == 0 && o->allow_other && i < 2; i++)
		r = string_list_add(&words, shared[i]);
	for (size_t i = 0; r == 0 && i < c->fuse.len; i++)
		r = string_list_add_once(&words, c->fuse.v[i]);
	for (size_t i = 0; r == 0 && i < words.len; i++)
		r = optionwords_add(&text, words.v[i]);
	if (r < 0)
		return r;
	o->fuse_opts = str_steal(&text);
	return o->fuse_opts ? 0 : -ENOMEM;
}

static int apply(const struct commandline *c, struct options *o)
{
	int r;

	if (commandline_find(c, "help") || commandline_find(c, "version"))
		return apply_commandline(c, o);
	r = apply_config(c, o);
	if (r == 0)
		r = apply_commandline(c, o);
	if (r == 0)
		r = set_places(c, o);
	return r < 0 ? r : set_fuse_opts(c, o);
}

int options_parse(int argc, char **argv, struct options *ret)
{
	struct commandline c = {.v = NULL};
	autostr why = {.max = 0};
	int r;

	set_defaults(ret);
	r = commandline_parse(argc, argv, &c, &why);
	if (r == -EINVAL)
		return complain("%s", why.buf);
	if (r < 0)
		return r;
	r = apply(&c, ret);
	commandline_done(&c);
	return r;
}

int options_print_help(void)
{
	puts("Usage: registryfs [options] [SOURCE] MOUNTPOINT\n"
	     "       mount -t fuse.registryfs SOURCE MOUNTPOINT -o word,...\n"
	     "\n"
	     "Mounts container registries as a directory tree.  SOURCE is\n"
	     "HOST[:PORT][/NAMESPACE]; without it (or as \"none\") every\n"
	     "registry is a directory named after its host.\n"
	     "\n"
	     "Options, behind -o as they stand, or each as --word[=value];\n"
	     "'-' and '_' are alike.  Other words behind -o are handed on to\n"
	     "FUSE.\n");
	return option_print(stdout);
}

/* Readable, and different for different mounts. */
static char *cache_name(const struct options *o)
{
	const char *source = o->source ? o->source : "all";
	uint8_t digest[HASH_MAX];
	char hex[2 * 8 + 1];
	struct hash h;
	char *name;

	hash_init(&h, HASH_SHA256);
	hash_update(&h, source, strlen(source) + 1);
	hash_update(&h, o->mountpoint, strlen(o->mountpoint));
	if (o->mirror)
		hash_update(&h, o->mirror, strlen(o->mirror) + 1);
	hash_final(&h, digest);
	hex_encode(digest, 8, hex);
	name = str_printf("%.*s-%s", CACHE_NAME_MAX, source, hex);
	for (char *s = name; s && *s; s++) {
		if (strchr("/:[]", *s))
			*s = '_';
	}
	return name;
}

int options_cache_dir(const struct options *o, char **ret)
{
	autofree char *base = NULL;
	autofree char *name = NULL;
	char *dir;
	int r = 0;

	if (o->cache_dir)
		return userdirs_absolute(o->cache_dir, ret);
	if (geteuid() == 0)
		base = strdup("/var/cache");
	else
		r = userdirs_cache(&base);
	if (r < 0)
		return r;
	name = cache_name(o);
	if (!base || !name)
		return -ENOMEM;
	dir = str_printf("%s/registryfs/%s", base, name);
	if (!dir)
		return -ENOMEM;
	*ret = dir;
	return 0;
}

/* Whoever mounts there by mistake has no system left to unmount with. */
int options_check_place(const struct options *o)
{
	static const char *const system[] = {
		"/",	 "/bin",  "/boot", "/dev",  "/etc", "/lib", "/lib64",
		"/proc", "/root", "/run",  "/sbin", "/sys", "/usr", "/var"};

	for (size_t i = 0; i < sizeof(system) / sizeof(*system); i++)
		if (strcmp(o->mountpoint, system[i]) == 0)
			return complain("MOUNTPOINT '%s': the system itself is "
					"there",
					o->mountpoint);
	return 0;
}
