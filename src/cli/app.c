/* SPDX-License-Identifier: Apache-2.0 */
/* Building and taking down; see the header. */
#include "cli/app.h"

int app_open(const struct options *o, struct app *ret)
{
	struct registries_config rc = {.retries = o->retries,
				       .offline = o->offline,
				       .create_repository =
					       o->create_repository};
	struct http_config hc = {.offline = o->offline,
				 .user_agent = "registryfs/" PACKAGE_VERSION};
	int r;

	options_times(o, &rc.times);
	hc.connect_ms = rc.times.connect;
	hc.tls_ms = rc.times.tls;
	hc.first_byte_ms = rc.times.first_byte;
	hc.stall_ms = rc.times.stall;

	r = dockerauth_new(o->authfile, &ret->auth);
	if (r == 0)
		r = awscred_new(&ret->aws);
	if (r == 0)
		r = hosts_new(o, &ret->hosts);
	if (r == 0)
		r = allow_new(o, ret->auth, &ret->allow);
	if (r == 0)
		allow_add_blocked(ret->allow, ret->hosts);
	if (r == 0)
		r = fault_log_new(&ret->faults);
	if (r == 0)
		r = http_new(&hc, &ret->http);
	if (r < 0)
		return r;
	rc.http = ret->http;
	rc.auth = ret->auth;
	rc.aws = ret->aws;
	rc.hosts = ret->hosts;
	rc.allow = ret->allow;
	rc.faults = ret->faults;
	return registries_new(&rc, &ret->registries);
}

void app_close(struct app *a)
{
	registries_free(a->registries);
	http_free(a->http);
	fault_log_free(a->faults);
	allow_free(a->allow);
	hosts_free(a->hosts);
	awscred_free(a->aws);
	dockerauth_free(a->auth);
}
