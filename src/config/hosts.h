/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How to reach a registry host: scheme, CAs, client certificates (certs.d of
 * containers and docker, registries.md C.5), plain_http and insecure.
 * Any thread.
 */
#include <stdbool.h>

#include "config/options.h"

struct host_conf {
	char *host;	 /* as in names: "docker.io", "h:5000" */
	char *api_host;	 /* where the API is: docker.io: registry-1.docker.io */
	bool plain_http; /* asked for: http only */
	/* https, then http: loopback for which nothing is configured */
	bool try_https_first;
	bool insecure; /* TLS is not verified: asked, or loopback without CA */
	bool is_loopback; /* by name: localhost, *.localhost, 127/8, ::1 */
	char *ca_file; /* bundle of the system's CAs and certs.d's, or NULL */
	char *client_cert, *client_key; /* or NULL */
};

struct hosts;
int hosts_new(const struct options *o, struct hosts **ret);
void hosts_free(struct hosts *h); /* removes the temporary CA bundles */
/* -EINVAL: certs.d is broken (a .cert without .key…), logged with the file. */
int hosts_find(struct hosts *h, const char *host, struct host_conf *ret);
void host_conf_done(struct host_conf *c);
