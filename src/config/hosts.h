/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How to reach a registry host: scheme, CAs, client certificates (certs.d of
 * containers and docker, registries.md C.5), plain_http and insecure; and by
 * which ways what it has may be read: containerd's hosts.toml, containers'
 * registries.conf (C.6, C.7).  Any thread.
 */
#include <stdbool.h>

#include "config/options.h"
#include "oci/reference.h"

struct host_conf {
	char *host;	 /* as in names: "docker.io", "h:5000" */
	char *api_host;	 /* where the API is: docker.io: registry-1.docker.io */
	bool plain_http; /* asked for: http only */
	/* https, then http: loopback for which nothing is configured, or
	 * insecure in registries.conf */
	bool try_https_first;
	bool insecure; /* TLS is not verified: asked, or loopback without CA */
	bool is_loopback; /* by name: localhost, *.localhost, 127/8, ::1 */
	char *ca_file; /* bundle of the system's CAs and certs.d's, or NULL */
	char *client_cert, *client_key; /* or NULL */
	char *path;		    /* what the API begins with; NULL: "/v2" */
	struct string_list headers; /* "Name: value", sent along; secrets */
};

struct endpoint;
struct hosts;
int hosts_new(const struct options *o, struct hosts **ret);
void hosts_free(struct hosts *h); /* removes the temporary CA bundles */
/* -EINVAL: certs.d is broken (a .cert without .key…), logged with the file,
 * once. */
int hosts_find(struct hosts *h, const char *host, struct host_conf *ret);
void host_conf_done(struct host_conf *c);

/*
 * Where the registry of a name really is.  With `mirror` that is one place for
 * all names, and nothing else may be asked.
 */
struct seat {
	const struct endpoint *endpoint; /* NULL: at the name itself */
	char *prefix; /* what its repositories begin with there, or NULL */
};
/* -EINVAL: no repository of this host can be there. */
int hosts_seat(struct hosts *h, const char *host, struct seat *ret);
void seat_done(struct seat *s);
/* `mirror`, or NULL; *ret_path is what is before the hosts' names there. */
const struct endpoint *hosts_mirror(const struct hosts *h,
				    const char **ret_path);
/* "[http[s]://]HOST[:PORT][/PATH]"; *ret_path "" or "path".  -EINVAL with the
 * end of a sentence. */
int mirror_parse(const char *text, struct endpoint **ret, char **ret_path,
		 const char **ret_why);
/* The host that a directory "h_5000" there stands for. */
int mirror_host(const char *component, char ret[REFERENCE_HOST_MAX + 1]);

/* One place where a repository can be read, and what it is called there. */
struct route_step {
	const struct endpoint *endpoint; /* NULL: the host of the name itself */
	char *repository;
	/* What its name begins with there, and what that stands for; "" */
	const char *there, *here;
};

/* In the order in which they are to be asked; only the last one's "there is no
 * such thing" is final.  Never empty. */
struct route {
	struct route_step *v;
	size_t len, cap;
};

/* Endpoints live as long as `h`.  By tag only those are asked that may say
 * what a tag is. */
int hosts_route(struct hosts *h, const char *host, const char *repository,
		bool by_digest, struct route *ret);
void route_done(struct route *r);
/* As hosts_find, for an endpoint. */
int hosts_endpoint(struct hosts *h, const struct endpoint *e,
		   struct host_conf *ret);
/* Where ("FILE:LINE") it is written that this repository, or with "" the whole
 * host, must not be touched; NULL: nowhere. */
const char *hosts_blocked(const struct hosts *h, const char *host,
			  const char *repository);
