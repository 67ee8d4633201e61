/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which kind of document is this?  The rules against CVE-2021-41190. */
struct json;
struct json_error;

/*
 * The exact media type of the document `doc` (an object) that came as `given`;
 * a static string of a document class.  -EBADMSG if what was given, what the
 * document says of itself and its shape do not agree.
 */
int doctype_decide(const struct json *doc, const char *given, const char **ret,
		   struct json_error *err);
