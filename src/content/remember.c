/* SPDX-License-Identifier: Apache-2.0 */
/* Kept among the store's lists; the referrers as an index would name them. */
#include "content/remember.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "registry/referrers.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/json.h"

#define TEXT_MAX ((size_t)8 << 20)

/* NULL: no memory, or nobody to ask as. */
static char *make_key(const char *kind, struct repo *r, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX], identity[17];

	if (repo_identity(r, identity) < 0)
		return NULL;
	digest_format(d, text);
	return str_printf("%s %s %s/%s@%s", kind, identity, r->host, r->name,
			  text);
}

void remember_referrers(struct repo *r, const struct digest *subject,
			const struct descriptor *v, size_t len)
{
	autofree char *key = make_key("referrers", r, subject);
	autostr text = {.max = TEXT_MAX};
	int e = str_add(&text, "{\"manifests\":[");

	for (size_t i = 0; i < len && e == 0; i++) {
		if (i > 0)
			e = str_addc(&text, ',');
		if (e == 0)
			e = descriptor_print(&v[i], &text);
	}
	if (e == 0)
		e = str_add(&text, "]}");
	if (key && e == 0)
		(void)list_put(r->content->store, key, text.buf, text.len);
}

static int parse_referrers(const char *bytes, size_t len,
			   struct descriptor **ret, size_t *ret_len)
{
	autofree struct descriptor *v = NULL;
	const struct json *list = NULL;
	struct json *j = NULL;
	size_t n = 0;
	int r;

	r = json_parse(bytes, len, TEXT_MAX, &j, NULL);
	if (r == 0)
		r = json_opt_array(j, "manifests", &list, NULL);
	if (r == 0) {
		v = calloc(json_len(list) + 1, sizeof(*v));
		r = v ? 0 : -ENOMEM;
	}
	while (r == 0 && n < json_len(list)) {
		r = descriptor_from_json(json_at(list, n), &v[n], NULL);
		n += r == 0;
	}
	json_free(j);
	if (r < 0) {
		referrers_free(steal(&v), n);
		return r;
	}
	*ret = steal(&v);
	*ret_len = n;
	return 0;
}

int recall_referrers(struct repo *r, const struct digest *subject,
		     struct descriptor **ret, size_t *ret_len)
{
	autofree char *key = make_key("referrers", r, subject), *bytes = NULL;
	size_t len;
	int e;

	if (!key)
		return -ENOENT;
	e = list_get(r->content->store, key, NULL, &bytes, &len);
	if (e == 0)
		e = parse_referrers(bytes, len, ret, ret_len);
	return e == -ENOMEM || e == 0 ? e : -ENOENT;
}

void remember_absent(struct repo *r, const struct digest *d)
{
	autofree char *key = make_key("absent", r, d);

	if (key)
		(void)list_put(r->content->store, key, "", 0);
}

bool recall_absent(struct repo *r, const struct digest *d)
{
	autofree char *key = NULL, *bytes = NULL;
	size_t len;

	if (!r->content->options->offline)
		return false;
	key = make_key("absent", r, d);
	return key && list_get(r->content->store, key, NULL, &bytes, &len) == 0;
}
