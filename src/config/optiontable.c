/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row says where a value goes, how it is written and how far it may go; a
 * setter is shared by all rows of a kind.  Every value is checked here, when
 * it is read, because only then file and line are known.
 */
#include "config/optiontable.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/endpoint.h"
#include "config/hosts.h"
#include "config/pattern.h"
#include "config/userdirs.h"
#include "util/auto.h"

AUTOPTR_DEFINE(endpoint, endpoint_free)

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define PIB (1ULL << 50)
#define DAY_S 86400

/* What a setter is given besides the place. */
struct setting {
	const struct option_row *row;
	const char *value;
	bool from_file;
	struct str *why;
};

struct option_row {
	const char *name;
	char letter; /* short form, or 0 */
	bool is_flag;
	bool not_in_file;
	int (*set)(const struct setting *s, struct options *o, void *place);
	size_t offset; /* of the place */
	unsigned long long min, max;
	const char *argument; /* for --help; NULL: none */
	const char *help;     /* NULL: not shown */
};

static int bad(const struct setting *s, const char *reason)
{
	int r = str_add(s->why, reason);

	return r < 0 ? r : -EINVAL;
}

static int set_flag(const struct setting *s, struct options *o, void *place)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};
	bool *flag = place;

	(void)o;
	if (!s->value) {
		*flag = true;
		return 0;
	}
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		if (strcasecmp(s->value, yes[i]) == 0 ||
		    strcasecmp(s->value, no[i]) == 0) {
			*flag = strcasecmp(s->value, yes[i]) == 0;
			return 0;
		}
	}
	return bad(s, "is yes or no");
}

static int set_debug(const struct setting *s, struct options *o, void *place)
{
	int r;

	r = set_flag(s, o, place);
	if (r == 0 && o->debug)
		o->foreground = true;
	return r;
}

static int set_writable(const struct setting *s, struct options *o, void *place)
{
	bool flag = false;
	int r;

	(void)place;
	r = set_flag(s, o, &flag);
	if (r == 0)
		o->read_only = !flag;
	return r;
}

static int set_path(const struct setting *s, struct options *o, void *place)
{
	char **path = place;
	char *absolute = NULL;
	int r;

	(void)o;
	if (s->from_file && s->value[0] != '/' && !str_prefix(s->value, "~/"))
		return bad(s, "is an absolute path (or begins with ~/)");
	r = userdirs_absolute(s->value, &absolute);
	if (r == -ENOENT)
		return bad(s, "needs a home or a current directory");
	if (r < 0)
		return r;
	free(*path);
	*path = absolute;
	return 0;
}

static int out_of_range(const struct setting *s)
{
	int r;

	r = str_addf(s->why, "is a number from %llu to %llu", s->row->min,
		     s->row->max);
	return r < 0 ? r : -EINVAL;
}

static int set_count(const struct setting *s, struct options *o, void *place)
{
	unsigned int *count = place;
	unsigned long long n;

	(void)o;
	if (str_to_u64(s->value, s->row->max, &n) < 0 || n < s->row->min)
		return out_of_range(s);
	*count = (unsigned int)n;
	return 0;
}

/* Seconds; or with s, m, h, d. */
static int set_seconds(const struct setting *s, struct options *o, void *place)
{
	static const struct {
		char letter;
		unsigned int seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', DAY_S}};
	size_t len = strlen(s->value);
	autofree char *digits = strdup(s->value);
	unsigned int *seconds = place;
	unsigned long long n, unit = 1;

	(void)o;
	if (!digits)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (digits[len - 1] != units[i].letter)
			continue;
		unit = units[i].seconds;
		digits[len - 1] = '\0';
		break;
	}
	if (str_to_u64(digits, s->row->max / unit, &n) < 0 ||
	    n * unit < s->row->min)
		return out_of_range(s);
	*seconds = (unsigned int)(n * unit);
	return 0;
}

static int add_size(struct str *out, unsigned long long size)
{
	static const char units[] = "\0KMGT";
	size_t unit = 0;

	while (unit < 4 && size && size % KIB == 0) {
		size /= KIB;
		unit++;
	}
	return unit ? str_addf(out, "%llu%c", size, units[unit])
		    : str_addf(out, "%llu", size);
}

/* `noun` is what the row counts: bytes, or other things. */
static int set_scaled(const struct setting *s, const char *malformed,
		      const char *noun, uint64_t *place)
{
	unsigned long long n;
	int r;

	r = str_to_size(s->value, &n);
	if (r == -EINVAL)
		return bad(s, malformed);
	if (r < 0 || n < s->row->min || n > s->row->max) {
		r = str_addf(s->why, "is a %s from ", noun);
		if (r == 0)
			r = add_size(s->why, s->row->min);
		if (r == 0)
			r = str_add(s->why, " to ");
		if (r == 0)
			r = add_size(s->why, s->row->max);
		return r < 0 ? r : -EINVAL;
	}
	*place = n;
	return 0;
}

static int set_size(const struct setting *s, struct options *o, void *place)
{
	(void)o;
	return set_scaled(s, "is a number of bytes, or with K, M, G or T",
			  "size", place);
}

static int set_number(const struct setting *s, struct options *o, void *place)
{
	(void)o;
	return set_scaled(s, "is a number, or with K, M, G or T", "number",
			  place);
}

/* Several patterns may stand in one value, divided by commas or blanks. */
static int set_patterns(const struct setting *s, struct options *o, void *place)
{
	bool with_path = s->row->offset == offsetof(struct options, allow);
	autofree char *copy = strdup(s->value);
	char *rest = copy, *word;
	int r;

	(void)o;
	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&rest, ", \t"))) {
		struct pattern p;
		const char *why = "";

		if (!*word)
			continue;
		r = pattern_parse(word, with_path, &p, &why);
		if (r == -EINVAL)
			return bad(s, why);
		if (r < 0)
			return r;
		pattern_done(&p);
		r = string_list_add_once(place, word);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_platform(const struct setting *s, struct options *o, void *place)
{
	if (platform_parse(s->value, place) < 0)
		return bad(s, "is OS/ARCHITECTURE[/VARIANT], such as "
			      "linux/arm64");
	o->has_platform = true;
	return 0;
}

static int set_verify(const struct setting *s, struct options *o, void *place)
{
	(void)place;
	if (strcmp(s->value, "lazy") != 0 && strcmp(s->value, "strict") != 0)
		return bad(s, "is lazy or strict");
	o->verify = s->value[0] == 'l' ? VERIFY_LAZY : VERIFY_STRICT;
	return 0;
}

static int set_log_level(const struct setting *s, struct options *o,
			 void *place)
{
	(void)place;
	if (log_level_parse(s->value, &o->log_level) < 0)
		return bad(s, "is error, warning, info or debug");
	return 0;
}

static int set_colon(const struct setting *s, struct options *o, void *place)
{
	(void)place;
	if (strcmp(s->value, "+") != 0 && strcmp(s->value, ":") != 0)
		return bad(s, "is + or :");
	o->colon_plus = s->value[0] == '+';
	return 0;
}

static int set_mirror(const struct setting *s, struct options *o, void *place)
{
	autoptr(endpoint) e = NULL;
	autofree char *path = NULL;
	const char *why = "";
	char **mirror = place;
	char *copy;
	int r;

	(void)o;
	r = mirror_parse(s->value, &e, &path, &why);
	if (r < 0)
		return r == -EINVAL ? bad(s, why) : r;
	copy = strdup(s->value);
	if (!copy)
		return -ENOMEM;
	free(*mirror);
	*mirror = copy;
	return 0;
}

#define AT(member) .offset = offsetof(struct options, member)
#define FLAG(member) .is_flag = true, .set = set_flag, AT(member)

/* clang-format off */
static const struct option_row table[] = {
	{.name = "help", .letter = 'h', .not_in_file = true, FLAG(help),
	 .help = "print this and exit"},
	{.name = "version", .letter = 'V', .not_in_file = true, FLAG(version),
	 .help = "print the version and exit"},
	{.name = "foreground", .letter = 'f', FLAG(foreground),
	 .help = "do not go into the background"},
	{.name = "debug", .letter = 'd', .is_flag = true, .set = set_debug,
	 AT(debug), .help = "trace what the kernel asks; implies -f"},
	{.name = "config", .not_in_file = true, .set = set_path, AT(config),
	 .argument = "FILE",
	 .help = "lines of \"name = value\" with these same names; default:\n"
		 "/etc/registryfs.conf (root), ~/.config/registryfs/config"},
	{.name = "allow", .set = set_patterns, AT(allow),
	 .argument = "PATTERN",
	 .help = "only HOST[/PATH]; '*' within a component, HOST or PATH/**\n"
		 "for all beneath; may be repeated"},
	{.name = "offline", FLAG(offline),
	 .help = "serve what is cached, ask nobody"},
	{.name = "nolist", FLAG(nolist),
	 .help = "do not list the repositories of registries"},
	{.name = "tag_ttl", .set = set_seconds, AT(tag_ttl_s), .max = DAY_S,
	 .argument = "SECONDS",
	 .help = "how long a tag is believed before it is asked again;\n"
		 "also 5m, 1h; default 60"},
	{.name = "platform", .set = set_platform, AT(platform),
	 .argument = "OS/ARCH[/VARIANT]",
	 .help = "shown of multi-platform images; default: this machine's"},
	{.name = "verify", .set = set_verify, .argument = "lazy|strict",
	 .help = "strict: serve no byte before a digest covered it;\n"
		 "default lazy"},
	{.name = "colon", .set = set_colon, .argument = "+|:",
	 .help = "+: list names with '+' instead of ':'"},
	{.name = "authfile", .set = set_path, AT(authfile),
	 .argument = "FILE",
	 .help = "credentials, instead of those of docker and podman"},
	{.name = "cert_dir", .set = set_path, AT(cert_dir), .argument = "DIR",
	 .help = "DIR/HOST[:PORT]/*.crt *.cert *.key, instead of certs.d of\n"
		 "containers and docker"},
	{.name = "plain_http", .set = set_patterns, AT(plain_http),
	 .argument = "HOST[:PORT]",
	 .help = "speak http to it; '*' matches; may be repeated"},
	{.name = "insecure", .set = set_patterns, AT(insecure),
	 .argument = "HOST[:PORT]",
	 .help = "do not verify its certificate; may be repeated"},
	{.name = "mirror", .set = set_mirror, AT(mirror),
	 .argument = "[http[s]://]HOST[:PORT][/PATH]",
	 .help = "everything is there, X/R as PATH/X/R, and nobody else is\n"
		 "asked: for networks that reach nothing else"},
	{.name = "cache_dir", .set = set_path, AT(cache_dir),
	 .argument = "DIR",
	 .help = "default: beneath /var/cache/registryfs (root) or\n"
		 "~/.cache/registryfs, one for each SOURCE and MOUNTPOINT"},
	{.name = "cache_size", .set = set_size, AT(cache_size), .min = MIB,
	 .max = PIB, .argument = "SIZE", .help = "at most; default 10G"},
	{.name = "cache_min_free", .set = set_size, AT(cache_min_free),
	 .max = PIB, .argument = "SIZE",
	 .help = "left free on that disk; default 1G"},
	{.name = "spool_size", .set = set_size, AT(spool_size), .min = 64 * MIB,
	 .max = PIB, .argument = "SIZE",
	 .help = "written and not yet confirmed by a registry, at most;\n"
		 "default 64G"},
	{.name = "timeout", .set = set_seconds, AT(timeout_s), .min = 1,
	 .max = 3600, .argument = "SECONDS",
	 .help = "of a look-up; other times in proportion; default 20"},
	{.name = "retries", .set = set_count, AT(retries), .min = 1,
	 .max = 20, .argument = "N", .help = "attempts in all; default 5"},
	{.name = "prefetch", .set = set_size, AT(prefetch), .max = GIB,
	 .argument = "SIZE",
	 .help = "read-ahead of one reader at most; default 64M"},
	{.name = "layer_entries", .set = set_number, AT(layer_entries),
	 .min = 1, .max = GIB, .argument = "N",
	 .help = "files in a layer or an image at most; default 4M"},
	{.name = "layer_ratio", .set = set_number, AT(layer_ratio), .min = 1,
	 .max = GIB, .argument = "N",
	 .help = "unpacked bytes for each byte of a layer at most, where that\n"
		 "is more than 1G; default 256"},
	{.name = "layer_size", .set = set_size, AT(layer_size), .min = MIB,
	 .max = PIB, .argument = "SIZE",
	 .help = "of an unpacked layer at most; default 256G"},
	{.name = "max_threads", .set = set_count, AT(max_threads), .min = 64,
	 .max = 4096, .argument = "N",
	 .help = "requests under way at most; default 512"},
	{.name = "log_level", .set = set_log_level,
	 .argument = "error|warning|info|debug", .help = "default warning"},
	{.name = "allow_other", FLAG(allow_other),
	 .help = "let other users in (with their permissions checked); then\n"
		 "only hosts with credentials, in allow=, or SOURCE"},
	{.name = "ro", FLAG(read_only), .help = "nothing can be written"},
	{.name = "rw", .is_flag = true, .set = set_writable,
	 .help = "files can be written and images published: the default"},
	{.name = "allow_delete", FLAG(allow_delete),
	 .help = "let tags, manifests and blobs be removed, tags be renamed"},
	{.name = "copy_referrers", FLAG(copy_referrers),
	 .help = "an image that is copied from a registry takes what refers to\n"
		 "it along: signatures, SBOMs"},
	{.name = "create_repository", FLAG(create_repository),
	 .argument = "yes|no",
	 .help = "a repository that a push finds missing is created, where it\n"
		 "takes the vendor's API: Amazon ECR; default yes"},
};
/* clang-format on */

static bool is_name(const char *name, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (name[i] != (s[i] == '-' ? '_' : s[i]))
			return false;
	}
	return name[n] == '\0';
}

const struct option_row *option_find(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (is_name(table[i].name, name, n))
			return &table[i];
	}
	return NULL;
}

const struct option_row *option_find_letter(char letter)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (letter && table[i].letter == letter)
			return &table[i];
	}
	return NULL;
}

const char *option_name(const struct option_row *row)
{
	return row->name;
}

bool option_is_flag(const struct option_row *row)
{
	return row->is_flag;
}

static void *place_of(const struct option_row *row, struct options *o)
{
	return (char *)o + row->offset;
}

struct string_list *option_list(const struct option_row *row, struct options *o)
{
	return row->set == set_patterns ? place_of(row, o) : NULL;
}

int option_set(const struct option_row *row, const char *value, bool from_file,
	       struct options *o, struct str *why)
{
	struct setting s = {row, value, from_file, why};

	if (from_file && row->not_in_file)
		return bad(&s, "belongs on the command line");
	if (!row->is_flag && (!value || !*value))
		return bad(&s, "needs a value");
	return row->set(&s, o, place_of(row, o));
}

/* The names people type have '-', those behind -o and in files '_'. */
static void print_row(FILE *f, const struct option_row *row)
{
	const char *line = row->help;

	fprintf(f, "    ");
	if (row->letter)
		fprintf(f, "-%c, ", row->letter);
	fprintf(f, "%s%s%s\n", row->name, row->argument ? "=" : "",
		row->argument ? row->argument : "");
	while (*line) {
		int n = (int)strcspn(line, "\n");

		fprintf(f, "            %.*s\n", n, line);
		line += n + (line[n] == '\n');
	}
}

int option_print(FILE *f)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (table[i].help)
			print_row(f, &table[i]);
	}
	return fflush(f) == 0 && !ferror(f) ? 0 : -EIO;
}
