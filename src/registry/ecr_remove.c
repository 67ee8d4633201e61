/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECR refuses DELETE (405); its API takes a tag away by name, without the
 * others of the same digest, and a manifest by digest.  (When the last tag
 * goes, ECR lets the manifest go with it.)
 */
#include <errno.h>
#include <string.h>

#include "registry/ecr.h"
#include "registry/host.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/json.h"

static int write_body(const struct registry *r, const char *repository,
		      const char *tag, const char *digest, struct str *body)
{
	int e = str_addf(body, "{\"registryId\":\"%s\",\"repositoryName\":",
			 r->ecr->place.account);

	if (e == 0)
		e = json_add_string(body, repository);
	if (e == 0)
		e = str_addf(body, ",\"imageIds\":[{\"%s\":",
			     tag ? "imageTag" : "imageDigest");
	if (e == 0)
		e = json_add_string(body, tag ? tag : digest);
	return e < 0 ? e : str_add(body, "}]}");
}

/* It answers 200 to what it did not do, too. */
static int judge(const struct json *answer, struct outcome *out)
{
	const struct json *first = json_at(json_find(answer, "failures"), 0);
	const char *code = json_text(json_find(first, "failureCode"));
	const char *text = json_text(json_find(first, "failureReason"));

	if (!first || (code && strcmp(code, "ImageNotFound") == 0))
		return 0;
	if (code)
		fault_copy(out->code, sizeof(out->code), code);
	return outcome_set(out, -EPERM, "BatchDeleteImage: %.60s, %.300s",
			   code ? code : "refused", text ? text : "");
}

int ecr_remove(struct registry *r, const char *repository, const char *tag,
	       const char *digest, struct wait *w, struct outcome *out)
{
	struct ecr_ask ask = {.action = "BatchDeleteImage"};
	autoawskeys keys = {.id = NULL};
	autostr body = {.max = 4096};
	struct json *answer = NULL;
	int e;

	if (!r->ecr || r->ecr->place.is_public)
		return -EOPNOTSUPP;
	memset(out, 0, sizeof(*out));
	e = ecr_keys(r, &keys);
	if (e == -ENOENT || e == -EACCES)
		return -EOPNOTSUPP;
	if (e == 0)
		e = write_body(r, repository, tag, digest, &body);
	if (e < 0)
		return outcome_set(out, e, "%s", strerror(-e));
	ask.keys = &keys;
	ask.body = body.buf;
	e = ecr_call(r, &ask, w, &answer, out);
	if (e < 0)
		return e;
	e = judge(answer, out);
	json_free(answer);
	return e;
}
