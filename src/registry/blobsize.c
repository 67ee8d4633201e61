/* SPDX-License-Identifier: Apache-2.0 */
/* How large a blob is: by HEAD, or, where HEAD is not answered, by the total
 * that comes with its first byte. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/header.h"
#include "registry/call.h"
#include "registry/fetch.h"
#include "registry/mirror.h"
#include "registry/object.h"
#include "util/auto.h"

/* The size that the answer to bytes=0-0 gives away. */
static bool size_of_part(const struct call *c, uint64_t *ret)
{
	const char *range = call_header(c, "content-range", 0);
	const char *length = call_header(c, "content-length", 0);
	struct content_range cr;
	unsigned long long n;

	switch (call_status(c)) {
	case 206:
		if (!range || header_parse_content_range(range, &cr) < 0 ||
		    cr.first != 0 || cr.last != 0 || cr.total == UINT64_MAX)
			return false;
		*ret = cr.total;
		return true;
	case 200:
		if (!length || str_to_u64(length, DESCRIPTOR_SIZE_MAX, &n) < 0)
			return false;
		*ret = n;
		return true;
	case 416: /* nothing has no first byte */
		*ret = 0;
		return range && strcmp(range, "bytes */0") == 0;
	default:
		return false;
	}
}

static bool size_of_head(const struct call *c, uint64_t *ret)
{
	const char *length = call_header(c, "content-length", 0);
	const char *type = call_header(c, "content-type", 0);
	unsigned long long n;

	if (call_status(c) != 200 || !length ||
	    (type && strncasecmp(type, "text/html", 9) == 0) ||
	    str_to_u64(length, DESCRIPTOR_SIZE_MAX, &n) < 0)
		return false;
	*ret = n;
	return true;
}

static int ask_size(struct registry *r, const char *repository,
		    const struct object *o, const char *method, struct wait *w,
		    struct call **ret)
{
	autofree char *key = str_printf("%s %s", method, o->path);
	const struct call_spec spec = {.method = method,
				       .path = o->path,
				       .repository = repository,
				       .scope = o->scope,
				       .object = o->name,
				       .remember = key,
				       .range = *method == 'G' ? "bytes=0-0"
							       : NULL,
				       .max_body_bytes = DESCRIPTOR_SIZE_MAX};

	return key ? call_run(r, &spec, w, ret) : -ENOMEM;
}

/* Old storage refuses HEAD (registries.md D.1); some registries, too. */
static bool is_head_useless(const struct call *c)
{
	int status = call_status(c);

	if (!call_is_home(c))
		return status != 429 && status < 500;
	return status < 400 || status == 400 || status == 405 || status == 501;
}

static int size_by_get(struct registry *r, const char *repository,
		       const struct object *o, struct wait *w,
		       uint64_t *ret_size_bytes)
{
	struct call *c;
	int e = ask_size(r, repository, o, "GET", w, &c);

	if (e < 0)
		return e;
	if (!size_of_part(c, ret_size_bytes))
		e = call_status(c) < 300
			    ? call_broken(c, -EIO, "does not tell its size")
			    : call_fault(c, w);
	call_close(c);
	return e;
}

static int head_there(struct registry *r, const char *repository,
		      const struct digest *d, struct wait *w,
		      uint64_t *ret_size_bytes)
{
	char digest[DIGEST_TEXT_MAX];
	struct object o;
	struct call *c;
	bool get = false;
	int e;

	digest_format(d, digest);
	e = object_init(&o, repository, "blobs", digest);
	if (e < 0)
		return e;
	e = ask_size(r, repository, &o, "HEAD", w, &c);
	if (e == 0) {
		if (!size_of_head(c, ret_size_bytes)) {
			get = is_head_useless(c);
			e = get ? 0 : call_fault(c, w);
		}
		call_close(c);
	}
	if (get)
		e = size_by_get(r, repository, &o, w, ret_size_bytes);
	object_done(&o);
	return e;
}

int fetch_blob_head(struct registry *r, const char *repository,
		    const struct digest *d, struct wait *w,
		    uint64_t *ret_size_bytes)
{
	char digest[DIGEST_TEXT_MAX];
	struct round o;
	int e;

	digest_format(d, digest);
	e = round_begin_for(&o, r, repository, digest);

	if (e == 0) {
		do {
			round_enter(&o, w);
			e = head_there(o.registry, o.repository, d, w,
				       ret_size_bytes);
			round_leave(&o);
		} while (e < 0 && round_go_on(&o, e, w));
	}
	round_done(&o);
	return e;
}
