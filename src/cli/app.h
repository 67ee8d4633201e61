/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The objects below the content, built in order and taken down in reverse:
 * what a mount and `registryfs check` have in common.
 */
#include "config/allow.h"
#include "config/awscred.h"
#include "config/dockerauth.h"
#include "config/hosts.h"
#include "config/options.h"
#include "http/http.h"
#include "registry/registry.h"

struct app {
	struct http *http;
	struct dockerauth *auth;
	struct awscred *aws;
	struct hosts *hosts;
	struct allow *allow;
	struct fault_log *faults;
	struct registries *registries;
};

/* Starts the network thread.  On failure app_close is still to be called. */
int app_open(const struct options *o, struct app *ret);
void app_close(struct app *a);
