/* SPDX-License-Identifier: Apache-2.0 */
/* One row per file; texts are made when they are opened. */
#include "fs/dir_about.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dir_pending.h"
#include "fs/file_cache.h"
#include "fs/file_text.h"
#include "fs/snapshot.h"
#include "oci/reference.h"
#include "push/outbox.h"
#include "util/auto.h"
#include "util/metric.h"

/* Some of them say first what comes in, then what goes out. */
typedef int (*print_in)(struct content *c, struct str *out);
typedef int (*print_out)(struct outbox *o, struct str *out);

static int print_both(struct node *n, print_in in, print_out go_out,
		      struct str *out)
{
	struct outbox *o = node_outbox(n);
	int r;

	r = in(node_content(n), out);
	return r == 0 && o ? go_out(o, out) : r;
}

static int fill_status(struct node *n, const char *arg, struct str *out)
{
	(void)arg;
	return print_both(n, content_print_status, outbox_print_status, out);
}

/* One object: the outgoing part is its last member. */
static int fill_status_json(struct node *n, const char *arg, struct str *out)
{
	struct outbox *o = node_outbox(n);
	int r;

	(void)arg;
	r = content_print_status_json(node_content(n), out);
	if (r < 0 || !o || !str_suffix(out->buf, "}\n"))
		return r;
	str_truncate(out, out->len - 2);
	r = str_addc(out, ',');
	if (r == 0)
		r = outbox_print_json(o, out);
	return r < 0 ? r : str_add(out, "}\n");
}

static int fill_metrics(struct node *n, const char *arg, struct str *out)
{
	(void)n;
	(void)arg;
	return metric_print_openmetrics(out);
}

static int fill_transfers(struct node *n, const char *arg, struct str *out)
{
	(void)arg;
	return print_both(n, content_print_transfers, outbox_print_transfers,
			  out);
}

static int fill_errors(struct node *n, const char *arg, struct str *out)
{
	(void)arg;
	return content_print_errors(node_content(n), out);
}

static int fill_version(struct node *n, const char *arg, struct str *out)
{
	(void)n;
	(void)arg;
	return str_add(out, "registryfs " PACKAGE_VERSION "\n");
}

static const struct about_file {
	const char *name;
	file_made_fill fill;
} files[] = {
	{"status", fill_status},   {"status.json", fill_status_json},
	{"metrics", fill_metrics}, {"transfers", fill_transfers},
	{"errors", fill_errors},   {"version", fill_version},
};
#define FILES (sizeof(files) / sizeof(files[0]))

static int about_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	(void)w;
	a->st.st_mode |= node_options(n)->allow_other ? 0500 : 0555;
	node_mount_time(n, a);
	return 0;
}

/* --- hosts/ --- */

static int fill_host(struct node *n, const char *arg, struct str *out)
{
	return content_print_host(node_content(n), arg, out);
}

static int hosts_lookup(struct node *dir, const char *name, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	char host[REFERENCE_HOST_MAX + 1];
	autostr text = {0};
	int r;

	(void)w;
	*ttl_s = NODE_TTL_NEGATIVE;
	if (known) {
		*ret = known;
		return 0;
	}
	if (reference_parse_host(name, host) < 0)
		return -ENOENT;
	r = content_print_host(node_content(dir), host, &text);
	return r < 0 ? r : file_made_new(dir, name, fill_host, host, ret);
}

static int hosts_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	struct string_list hosts = {0};
	int r;

	(void)w;
	if (!s)
		return -ENOMEM;
	r = content_hosts(node_content(dir), &hosts);
	for (size_t i = 0; i < hosts.len && r == 0; i++) {
		name_spell(node_options(dir), hosts.v[i]);
		r = snapshot_add(s, hosts.v[i], S_IFREG, NODE_RANK_PLAIN);
	}
	string_list_done(&hosts);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

static const struct node_ops hosts_ops = {
	.type = S_IFDIR,
	.getattr = about_getattr,
	.lookup = hosts_lookup,
	.opendir = hosts_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
};

static int hosts_dir_new(struct node *parent, const char *name,
			 struct node **ret)
{
	return node_new(&hosts_ops, sizeof(struct node), parent, name,
			NODE_RANK_PLAIN, ret);
}

/* --- the directory itself --- */

static const struct about_dir {
	const char *name;
	int (*make)(struct node *parent, const char *name, struct node **ret);
} dirs[] = {
	{"hosts", hosts_dir_new},
	{"pending", dir_pending_new},
};
#define DIRS (sizeof(dirs) / sizeof(dirs[0]))

static int about_lookup(struct node *dir, const char *name, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	(void)w;
	(void)ttl_s;
	if (known) {
		*ret = known;
		return 0;
	}
	for (size_t i = 0; i < DIRS; i++)
		if (strcmp(name, dirs[i].name) == 0)
			return dirs[i].make(dir, name, ret);
	if (file_cache_is(name))
		return file_cache_new(dir, name, ret);
	for (size_t i = 0; i < FILES; i++) {
		if (strcmp(name, files[i].name) != 0)
			continue;
		return file_made_new(dir, name, files[i].fill, "", ret);
	}
	return -ENOENT;
}

static int about_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	int r = 0;

	(void)dir;
	(void)w;
	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < DIRS && r == 0; i++)
		r = snapshot_add(s, dirs[i].name, S_IFDIR, NODE_RANK_PLAIN);
	for (size_t i = 0; i < FILES && r == 0; i++)
		r = snapshot_add(s, files[i].name, S_IFREG, NODE_RANK_PLAIN);
	if (r == 0)
		r = snapshot_add(s, FILE_CACHE_NAME, S_IFREG, NODE_RANK_PLAIN);
	if (r == 0)
		r = snapshot_add(s, FILE_CACHE_JSON_NAME, S_IFREG,
				 NODE_RANK_PLAIN);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

static const struct node_ops about_ops = {
	.type = S_IFDIR,
	.getattr = about_getattr,
	.lookup = about_lookup,
	.opendir = about_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
};

int dir_about_lookup(struct node *parent, const char *name, struct node *known,
		     struct node **ret)
{
	if (parent->parent || strcmp(name, DIR_ABOUT_NAME) != 0)
		return -ENOENT;
	if (known) {
		*ret = known;
		return 0;
	}
	return node_new(&about_ops, sizeof(struct node), parent, name,
			NODE_RANK_PLAIN, ret);
}
