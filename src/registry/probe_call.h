/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What probes have in common. */
#include "registry/call.h"
#include "registry/probe.h"

/* call_run that records nothing: 0 with the answer in `p`, and *ret if there
 * is one, else NULL.  -ENOMEM, -EINTR. */
int probe_call(struct registry *r, const struct call_spec *s, struct wait *w,
	       struct probe *p, struct call **ret);
/* The answer makes no sense.  0. */
int probe_broken(struct probe *p, const char *why);
