/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts are entered without asking; listed are those configured or seen. */
#include "fs/dir_root.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/hostname.h"
#include "fs/dir_about.h"
#include "fs/dir_repo.h"
#include "fs/file_text.h"
#include "fs/fs_private.h"
#include "fs/snapshot.h"
#include "oci/reference.h"
#include "util/auto.h"

static int root_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	(void)w;
	a->st.st_mode |= NODE_DIR_MODE;
	node_mount_time(n, a);
	return 0;
}

static int root_lookup(struct node *dir, const char *name, struct node *known,
		       struct wait *w, struct node **ret, double *ttl_s)
{
	char host[REFERENCE_HOST_MAX + 1];
	int r;

	(void)w;
	(void)ttl_s;
	if (name[0] == '.')
		return dir_about_lookup(dir, name, known, ret);
	if (reference_parse_host(name, host) < 0)
		return -ENOENT;
	if (known) {
		*ret = known;
		return 0;
	}
	if (strcmp(hostname_canonical(host), host) != 0)
		return link_new(dir, name, hostname_canonical(host), NULL, ret);
	r = content_allowed(node_content(dir), host, "");
	return r < 0 ? r : dir_repo_new(dir, name, host, "", ret);
}

static int root_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	struct string_list hosts = {0};
	int r;

	if (!s)
		return -ENOMEM;
	r = snapshot_add(s, DIR_ABOUT_NAME, S_IFDIR, NODE_RANK_PLAIN);
	if (r == 0)
		r = content_hosts_listed(node_content(dir), w, &hosts);
	for (size_t i = 0; i < hosts.len && r == 0; i++) {
		name_spell(node_options(dir), hosts.v[i]);
		r = snapshot_add(s, hosts.v[i], S_IFDIR, NODE_RANK_PLAIN);
	}
	string_list_done(&hosts);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

static const struct node_ops root_ops = {
	.type = S_IFDIR,
	.getattr = root_getattr,
	.lookup = root_lookup,
	.opendir = root_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	.volatile_list = true,
};

int dir_root_new(struct fs *fs, struct node **ret)
{
	const char *source = fs->options->source;
	autofree char *host = NULL;
	struct node *n;
	const char *path;
	int r;

	if (source) {
		path = strchr(source, '/');
		host = path ? strndup(source, (size_t)(path - source))
			    : strdup(source);
		if (!host)
			return -ENOMEM;
		r = dir_repo_new(NULL, "", host, path ? path + 1 : "", &n);
	} else {
		r = node_new(&root_ops, sizeof(struct node), NULL, "",
			     NODE_RANK_PLAIN, &n);
	}
	if (r < 0)
		return r;
	n->fs = fs;
	*ret = n;
	return 0;
}
