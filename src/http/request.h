/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A transfer put into libcurl's terms, and libcurl's verdict taken out. */
#include "http/transfer.h"

CURLcode request_setup(struct http_transfer *t, const struct http_config *cfg);
/* What an ended transfer ended with; *ret_text is a readable reason. */
enum http_fail request_verdict(const struct http_transfer *t, CURLcode code,
			       const char **ret_text);
