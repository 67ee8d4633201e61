/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* hosts.c: one host by itself; hostroute.c: what other tools' files say of it
 * and of the ways to it. */
#include <pthread.h>

#include "config/hosts.h"
#include "config/pattern.h"
#include "config/registriesconf.h"

struct cabundle;
struct map;

struct pattern_list {
	struct pattern *v;
	size_t len, cap;
};

struct hosts {
	struct pattern_list plain_http, insecure;
	struct string_list cert_dirs; /* roots, in the order of search */
	struct cabundle *bundles;

	struct registriesconf registries; /* immutable */
	struct string_list toml_dirs;	  /* roots of hosts.toml */
	bool has_lock;
	pthread_mutex_t lock; /* protects tomls, told */
	struct map *tomls;    /* host -> struct hoststoml, read once */
	struct map *told;     /* host -> char *, what is wrong with its files */

	struct endpoint *mirror; /* of everything, or NULL */
	char *mirror_path;	 /* "" or "team/x"; NULL without */
};

struct hoststoml;

int hosts_init_routes(struct hosts *h, const char *cert_dir);
void hosts_forget_routes(struct hosts *h);
/* Without what hosts.toml and registries.conf say. */
int hosts_find_usual(struct hosts *h, const char *host, struct host_conf *ret);
/* Logs what is wrong, unless that is what was so before; NULL: nothing is. */
void hosts_tell(struct hosts *h, const char *host, const char *why);
/* What those files say of the host itself. */
int hosts_add_own(struct hosts *h, struct host_conf *c);
/* The host's hosts.toml, empty if there is none; its canonical name. */
int hosts_toml(struct hosts *h, const char *host, const struct hoststoml **ret);
/* `mirror`, or NULL.  -EINVAL: told on stderr. */
int hosts_set_mirror(struct hosts *h, const char *text);
void hosts_forget_mirror(struct hosts *h);
