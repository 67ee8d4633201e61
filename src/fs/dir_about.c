/* SPDX-License-Identifier: Apache-2.0 */
/* One row per file; texts are made by the content when they are opened. */
#include "fs/dir_about.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file_text.h"
#include "fs/snapshot.h"
#include "oci/reference.h"
#include "util/auto.h"
#include "util/metric.h"

static int fill_status(struct content *c, const char *arg, struct str *out)
{
	(void)arg;
	return content_print_status(c, out);
}

static int fill_status_json(struct content *c, const char *arg, struct str *out)
{
	(void)arg;
	return content_print_status_json(c, out);
}

static int fill_metrics(struct content *c, const char *arg, struct str *out)
{
	(void)c;
	(void)arg;
	return metric_print_openmetrics(out);
}

static int fill_transfers(struct content *c, const char *arg, struct str *out)
{
	(void)arg;
	return content_print_transfers(c, out);
}

static int fill_errors(struct content *c, const char *arg, struct str *out)
{
	(void)arg;
	return content_print_errors(c, out);
}

static int fill_version(struct content *c, const char *arg, struct str *out)
{
	(void)c;
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
#define HOSTS_NAME "hosts"

static int about_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	(void)w;
	a->st.st_mode |= node_options(n)->allow_other ? 0500 : 0555;
	node_mount_time(n, a);
	return 0;
}

/* --- hosts/ --- */

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
	return r < 0 ? r
		     : file_made_new(dir, name, content_print_host, host, ret);
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

/* --- the directory itself --- */

static int about_lookup(struct node *dir, const char *name, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	(void)w;
	(void)ttl_s;
	if (known) {
		*ret = known;
		return 0;
	}
	if (strcmp(name, HOSTS_NAME) == 0)
		return node_new(&hosts_ops, sizeof(struct node), dir, name,
				NODE_RANK_PLAIN, ret);
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
	int r;

	(void)dir;
	(void)w;
	if (!s)
		return -ENOMEM;
	r = snapshot_add(s, HOSTS_NAME, S_IFDIR, NODE_RANK_PLAIN);
	for (size_t i = 0; i < FILES && r == 0; i++)
		r = snapshot_add(s, files[i].name, S_IFREG, NODE_RANK_PLAIN);
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
