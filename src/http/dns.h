/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Why a name did not resolve: libcurl does not tell NXDOMAIN from trouble. */
#include "http/transfer.h"

/*
 * Finishes `t`, which is detached, with HTTP_FAIL_DNS or HTTP_FAIL_DNS_AGAIN
 * from a thread of its own, taking over the caller's reference.
 */
void resolve_verdict(struct http_transfer *t);
