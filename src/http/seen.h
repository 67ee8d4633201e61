/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* For the engine: notes what http_seen tells of a transfer's connection. */
#include <curl/curl.h>

struct http_transfer;

/* Adds to the options of t->easy; only for transfers that look. */
CURLcode seen_setup(struct http_transfer *t);
void seen_connected(struct http_transfer *t, const char *address, int port);
