/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of force is POSIX's for x and g, and GNU tar's for L and K.  An
 * empty pax value takes back what `g` said, so that the entry's own header
 * rules again.
 */
#include "layer/tarentry.h"

#include <errno.h>
#include <string.h>

void tarentry_init(struct tarentry *e)
{
	memset(e, 0, sizeof(*e));
	e->name.max = e->link.max = TAR_HEADER_MAX;
	pax_init(&e->pax, &e->map);
	pax_init(&e->global, NULL);
}

void tarentry_done(struct tarentry *e)
{
	str_done(&e->name);
	str_done(&e->link);
	pax_done(&e->pax);
	pax_done(&e->global);
	sparse_done(&e->map);
	vec_done(&e->xattrs);
}

void tarentry_forget(struct tarentry *e)
{
	if (e->has_pax)
		pax_clear(&e->pax);
	sparse_clear(&e->map);
	e->has_pax = e->has_name = e->has_link = false;
}

bool tarentry_waits(const struct tarentry *e)
{
	return e->has_pax || e->has_name || e->has_link;
}

static int take_long(struct str *s, bool *has, const struct str *body)
{
	*has = true;
	str_clear(s);
	return body->buf ? str_addn(s, body->buf, strnlen(body->buf, body->len))
			 : str_add(s, "");
}

int tarentry_tell(struct tarentry *e, char type, const struct str *body,
		  const char **ret_why)
{
	const char *bytes = body->buf ? body->buf : "";

	if (type == 'L')
		return take_long(&e->name, &e->has_name, body);
	if (type == 'K')
		return take_long(&e->link, &e->has_link, body);
	if (type == 'g')
		return pax_parse(&e->global, bytes, body->len, ret_why);
	/* A second one takes the place of the first. */
	pax_clear(&e->pax);
	e->has_pax = true;
	return pax_parse(&e->pax, bytes, body->len, ret_why);
}

/* The pax header that tells `key`, or NULL. */
static const struct pax *teller(const struct tarentry *e, unsigned key)
{
	if (e->pax.has & key)
		return &e->pax;
	return (e->global.has & key) && !(e->pax.empty & key) ? &e->global
							      : NULL;
}

static void fill_path(const struct tarentry *e, struct layer_entry *ret)
{
	const struct pax *p = teller(e, PAX_PATH);

	/* `path` is then a name made for readers that know no such maps. */
	if ((e->pax.has & PAX_SPARSE_NAME) && pax_sparse(&e->pax)) {
		ret->path = e->pax.sparse_name.buf;
		ret->path_len = e->pax.sparse_name.len;
	} else if (e->has_name && p != &e->pax) {
		ret->path = e->name.buf;
		ret->path_len = e->name.len;
	} else if (p) {
		ret->path = p->path.buf;
		ret->path_len = p->path.len;
	} else {
		ret->path = e->header.name;
		ret->path_len = e->header.name_len;
	}
}

static void fill_link(const struct tarentry *e, struct layer_entry *ret)
{
	const struct pax *p = teller(e, PAX_LINK);

	if (ret->type != LAYER_SYMLINK && ret->type != LAYER_HARDLINK)
		return;
	if (e->has_link && p != &e->pax) {
		ret->link = e->link.buf;
		ret->link_len = e->link.len;
	} else if (p) {
		ret->link = p->link.buf;
		ret->link_len = p->link.len;
	} else {
		ret->link = e->header.link;
		ret->link_len = e->header.link_len;
	}
}

static void fill_numbers(const struct tarentry *e, struct layer_entry *ret)
{
	const struct tarheader *h = &e->header;
	const struct pax *p;

	ret->mode = h->mode;
	p = teller(e, PAX_UID);
	ret->uid = p ? p->uid : h->uid;
	p = teller(e, PAX_GID);
	ret->gid = p ? p->gid : h->gid;
	p = teller(e, PAX_MTIME);
	ret->mtime_s = p ? p->mtime_s : h->mtime_s;
	ret->mtime_ns = p ? p->mtime_ns : 0;
	if (ret->type != LAYER_CHAR && ret->type != LAYER_BLOCK)
		return;
	p = teller(e, PAX_MAJOR);
	ret->major = p ? p->major : h->major;
	p = teller(e, PAX_MINOR);
	ret->minor = p ? p->minor : h->minor;
}

/* Those of p that `over` does not have. */
static int add_xattrs(struct tarentry *e, const struct pax *p,
		      const struct pax *over, size_t *used)
{
	struct layer_xattr x;

	for (size_t i = 0; i < p->xattrs.len; i++) {
		x.name = pax_xattr_name(p, i);
		x.value = pax_xattr_value(p, i);
		x.len = p->xattrs.v[i].len;
		if (x.len > LAYER_XATTR_MAX - *used ||
		    (over && pax_xattr_find(over, x.name)))
			continue;
		if (vec_push(&e->xattrs, x) < 0)
			return -ENOMEM;
		*used += x.len;
	}
	return 0;
}

static int fill_xattrs(struct tarentry *e, struct layer_entry *ret)
{
	size_t used = 0;
	int r;

	e->xattrs.len = 0;
	r = add_xattrs(e, &e->pax, NULL, &used);
	if (r == 0)
		r = add_xattrs(e, &e->global, &e->pax, &used);
	ret->xattrs = e->xattrs.len ? e->xattrs.v : NULL;
	ret->xattrs_len = e->xattrs.len;
	return r;
}

/*
 * Letters that nobody knows are files (POSIX); so are M and N of old GNU tars,
 * for what is stored of them.  A directory of v7 is a file with a slash.
 */
enum layer_type tarentry_type(const struct tarentry *e)
{
	struct layer_entry name = {0};

	switch (e->header.type) {
	case '1':
		return LAYER_HARDLINK;
	case '2':
		return LAYER_SYMLINK;
	case '3':
		return LAYER_CHAR;
	case '4':
		return LAYER_BLOCK;
	case '5':
	case 'D': /* an incremental dump's: its data are a list of names */
		return LAYER_DIR;
	case '6':
		return LAYER_FIFO;
	case 0:
		fill_path(e, &name);
		if (name.path_len && name.path[name.path_len - 1] == '/')
			return LAYER_DIR;
		return LAYER_FILE;
	default:
		return LAYER_FILE;
	}
}

/* A size is often told of a link or a directory, too: it means nothing. */
uint64_t tarentry_stored_bytes(const struct tarentry *e)
{
	const struct pax *p = teller(e, PAX_SIZE);

	if (tarentry_type(e) != LAYER_FILE && e->header.type != 'D')
		return 0;
	return p ? p->size_bytes : e->header.size_bytes;
}

int tarentry_fill(struct tarentry *e, struct layer_entry *ret)
{
	ret->type = tarentry_type(e);
	fill_path(e, ret);
	fill_link(e, ret);
	fill_numbers(e, ret);
	return fill_xattrs(e, ret);
}
