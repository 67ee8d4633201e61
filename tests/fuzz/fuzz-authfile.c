/* SPDX-License-Identifier: Apache-2.0 */
/* First byte: which kind of file; '!' what a credential helper printed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/authfile.h"
#include "config/helperanswer.h"
#include "util/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct credential *c)
{
	char identity[17];

	credential_identity(c, identity);
	if (c->kind != CREDENTIAL_NONE && (!c->secret || !*c->secret))
		abort();
}

static void find(const struct authfile *f, const char *host, const char *name)
{
	struct authfile_match m;

	if (authfile_find(f, host, name, &m) < 0)
		return;
	if (m.credential)
		check(m.credential);
	if (m.broken && m.credential)
		abort();
}

static void parse_file(const char *text, size_t len, int legacy)
{
	autostrings hosts = {.v = NULL};
	struct authfile *f;
	const char *reason;

	if (authfile_parse(text, len, legacy, "fuzz", &f, &reason) < 0)
		return;
	find(f, "a.io", "b/c");
	find(f, "a.io", "");
	find(f, "docker.io", "library/x");
	find(f, "h:5000", "x");
	if (authfile_hosts(f, &hosts) == 0) {
		for (size_t i = 0; i < hosts.len; i++)
			find(f, hosts.v[i], "x/y");
	}
	for (size_t i = 0; i < authfile_headers(f)->len; i++) {
		if (strpbrk(authfile_headers(f)->v[i], "\r\n"))
			abort();
	}
	authfile_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	const char *reason;
	char *text;

	log_set_level(LOG_LEVEL_ERROR);
	if (size == 0)
		return 0;
	text = calloc(1, size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	if (data[0] != '!') {
		parse_file(text, size - 1, data[0] == 'L');
	} else {
		if (helperanswer_parse(text, size - 1, 0, &c, &reason) == 0)
			check(&c);
		credential_done(&c);
		helperanswer_parse(text, size - 1, 1, &c, &reason);
	}
	free(text);
	return 0;
}
