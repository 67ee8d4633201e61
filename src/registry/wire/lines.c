/* SPDX-License-Identifier: Apache-2.0 */
/* Header lines; the one place where they are put together. */
#include "registry/wire/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/encode.h"
#include "util/str.h"

int lines_add(struct lines *l, const char *name, const char *value)
{
	if (l->len == LINES_MAX)
		return -E2BIG;
	for (const char *p = value; *p; p++) {
		if ((unsigned char)*p < 0x20 && *p != '\t')
			return -EINVAL;
	}
	l->v[l->len] = str_printf("%s: %s", name, value);
	if (!l->v[l->len])
		return -ENOMEM;
	l->len++;
	return 0;
}

int lines_add_basic(struct lines *l, const struct credential *c)
{
	autostr pair = {.len = 0}, line = {.len = 0};
	int r;

	r = str_addf(&pair, "%s:%s", c->user ? c->user : "",
		     c->secret ? c->secret : "");
	if (r == 0)
		r = str_add(&line, "Basic ");
	if (r == 0)
		r = base64_encode(pair.buf, pair.len, &line);
	if (r == 0)
		r = lines_add(l, "Authorization", line.buf);
	if (pair.buf)
		explicit_bzero(pair.buf, pair.len);
	if (line.buf)
		explicit_bzero(line.buf, line.len);
	return r;
}

const char *const *lines_list(const struct lines *l)
{
	return (const char *const *)l->v;
}

void lines_done(struct lines *l)
{
	for (size_t i = 0; i < l->len; i++) {
		explicit_bzero(l->v[i], strlen(l->v[i]));
		free(l->v[i]);
		l->v[i] = NULL;
	}
	l->len = 0;
}

int form_add(struct str *form, const char *name, const char *value)
{
	int r = str_addf(form, "%s%s=", form->len ? "&" : "", name);

	return r < 0 ? r : percent_encode(value, "", form);
}
