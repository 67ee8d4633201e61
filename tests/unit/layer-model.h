/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What layers and their merging mean, told without trees: a layer is a list of
 * paths, and of a lower layer's paths those stay that nothing above takes away.
 * Slow, and as plain as the image-spec's sentences; names over 255 bytes are
 * not its business.  Numbers as in layer-script.h.
 */
#include "layer-script.h"

struct model_node {
	char letter; /* of layer-script.h; '?': a hard link to nothing */
	unsigned int number; /* 0: implied */
	bool whiteout;	     /* implied, where one was */
	char *link;	     /* of '?': the target's path */
	size_t layer, node;  /* of a merged one: where it comes from */
};

struct model_name {
	char *path; /* "": the root */
	size_t node;
};

struct model {
	VEC(struct model_node) nodes;
	VEC(struct model_name) names;
};

struct model_stack {
	struct model layers[LAYERS_MAX], merged;
	size_t len;
};

#define MODEL_NONE SIZE_MAX

static inline char *model_copy_(const char *s)
{
	char *copy = strdup(s);

	must(copy);
	return copy;
}

static inline size_t model_add_node_(struct model *m, char letter,
				     unsigned int number)
{
	struct model_node n = {.letter = letter, .number = number};

	must(vec_push(&m->nodes, n) == 0);
	return m->nodes.len - 1;
}

static inline void model_add_(struct model *m, const char *path, size_t node)
{
	struct model_name n = {model_copy_(path), node};

	must(vec_push(&m->names, n) == 0);
}

static inline size_t model_find_(const struct model *m, const char *path)
{
	for (size_t i = 0; i < m->names.len; i++) {
		if (strcmp(m->names.v[i].path, path) == 0)
			return m->names.v[i].node;
	}
	return MODEL_NONE;
}

static inline bool model_is_dir_(const struct model *m, size_t node)
{
	return node != MODEL_NONE && m->nodes.v[node].letter == 'd';
}

/* Is it the path, or beneath it? */
static inline bool model_within_(const char *path, const char *top)
{
	size_t n = strlen(top);

	return n == 0 || (strncmp(path, top, n) == 0 &&
			  (path[n] == '\0' || path[n] == '/'));
}

static inline void model_remove_(struct model *m, const char *top)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->names.len; i++) {
		if (model_within_(m->names.v[i].path, top))
			free(m->names.v[i].path);
		else
			m->names.v[kept++] = m->names.v[i];
	}
	m->names.len = kept;
}

static inline void model_init_(struct model *m)
{
	memset(m, 0, sizeof(*m));
	model_add_(m, "", model_add_node_(m, 'd', 0));
}

static inline void model_done_(struct model *m)
{
	for (size_t i = 0; i < m->nodes.len; i++)
		free(m->nodes.v[i].link);
	for (size_t i = 0; i < m->names.len; i++)
		free(m->names.v[i].path);
	vec_done(&m->nodes);
	vec_done(&m->names);
}

/* NULL: to be left out. */
static inline char *model_path_(const char *path, size_t len)
{
	struct str s = {0};

	if (len > LAYER_PATH_MAX || memchr(path, 0, len))
		return NULL;
	for (size_t at = 0, end; at < len; at = end + 1) {
		for (end = at; end < len && path[end] != '/';)
			end++;
		if (end == at || (end == at + 1 && path[at] == '.'))
			continue;
		if (end == at + 2 && path[at] == '.' && path[at + 1] == '.') {
			str_done(&s);
			return NULL;
		}
		if (s.len > 0)
			must(str_addc(&s, '/') == 0);
		must(str_addn(&s, path + at, end - at) == 0);
	}
	return s.buf ? s.buf : model_copy_("");
}

/* --- a layer --- */

static inline void model_parents_(struct model *m, const char *path)
{
	char *copy = model_copy_(path);

	for (char *s = strchr(copy, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		size_t old = model_find_(m, copy);

		if (!model_is_dir_(m, old)) {
			/* A whiteout remains one. */
			const char *name = strrchr(copy, '/');
			bool kept = old != MODEL_NONE &&
				    !strncmp(name ? name + 1 : copy, ".wh.", 4);
			size_t node = model_add_node_(m, 'd', 0);

			m->nodes.v[node].whiteout = kept;
			model_remove_(m, copy);
			model_add_(m, copy, node);
		}
		*s = '/';
	}
	free(copy);
}

static inline void model_link_(struct model *m, const char *path,
			       const char *target, unsigned int number)
{
	size_t node;

	if (strcmp(path, target) == 0 && model_find_(m, path) != MODEL_NONE)
		return;
	model_parents_(m, path);
	model_remove_(m, path);
	node = model_find_(m, target);
	if (node == MODEL_NONE || model_is_dir_(m, node)) {
		node = model_add_node_(m, '?', number);
		m->nodes.v[node].link = model_copy_(*target ? target : ".");
	}
	model_add_(m, path, node);
}

static inline char model_letter_(const struct layer_entry *e)
{
	static const char letters[] = {
		[LAYER_FILE] = 'f',    [LAYER_DIR] = 'd',
		[LAYER_SYMLINK] = 'l', [LAYER_CHAR] = 'c',
		[LAYER_BLOCK] = 'b',   [LAYER_FIFO] = 'p',
		[LAYER_HARDLINK] = '?'};

	return e->in_pieces ? 's' : letters[e->type];
}

static inline void model_entry_(void *arg, const struct scripted *s)
{
	struct model_stack *k = arg;
	struct model *m;
	char *path, *target = NULL;
	char letter = model_letter_(&s->e);
	size_t node;

	for (; k->len <= s->layer; k->len++)
		model_init_(&k->layers[k->len]);
	m = &k->layers[s->layer];
	path = model_path_(s->e.path, s->e.path_len);
	if (s->e.type == LAYER_HARDLINK)
		target = model_path_(s->e.link ? s->e.link : "", s->e.link_len);
	if (!path || (!*path && letter != 'd') || (letter == '?' && !target)) {
		free(path);
		free(target);
		return;
	}
	node = model_find_(m, path);
	if (letter == '?') {
		model_link_(m, path, target, s->number);
	} else if (letter == 'd' && model_is_dir_(m, node)) {
		m->nodes.v[node].number = s->number;
	} else {
		model_parents_(m, path);
		model_remove_(m, path);
		model_add_(m, path, model_add_node_(m, letter, s->number));
	}
	free(path);
	free(target);
}

/* --- merging --- */

static inline bool model_shown_(const char *path)
{
	return strncmp(path, ".wh.", 4) != 0 && !strstr(path, "/.wh.");
}

/* Has the layer an entry of this name in the directory that the first n bytes
 * of path are? */
static inline bool model_has_(const struct model *layer, const char *path,
			      size_t n, const char *prefix, const char *name,
			      size_t name_len)
{
	char *s = NULL;
	size_t node;
	bool has;

	must(asprintf(&s, "%.*s%s%s%.*s", (int)n, path, n ? "/" : "", prefix,
		      (int)name_len, name) >= 0);
	node = model_find_(layer, s);
	has = node != MODEL_NONE && (layer->nodes.v[node].number != 0 ||
				     layer->nodes.v[node].whiteout);
	free(s);
	return has;
}

/* Does what is at `path` below stay, for all that the layer says of it and of
 * the directories it is in? */
static inline bool model_stays_(const struct model *layer, const char *path,
				bool is_dir)
{
	size_t at = 0;

	while (path[at]) {
		size_t dir = at ? at - 1 : 0;
		size_t end = at + strcspn(path + at, "/");
		char *own = strndup(path, end);
		size_t node;

		must(own);
		node = model_find_(layer, own);
		free(own);
		if (model_has_(layer, path, dir, ".wh.", path + at, end - at) ||
		    model_has_(layer, path, dir, ".wh..wh..opq", "", 0))
			return false;
		if (node != MODEL_NONE &&
		    (!model_is_dir_(layer, node) || (!path[end] && !is_dir)))
			return false;
		at = path[end] ? end + 1 : end;
	}
	return true;
}

/* The merged node of each of the layer's. */
static inline size_t *model_nodes_(struct model *m, const struct model *layer,
				   size_t number)
{
	size_t *ret = calloc(layer->nodes.len, sizeof(*ret));

	must(ret);
	for (size_t i = 0; i < layer->nodes.len; i++) {
		struct model_node n = layer->nodes.v[i];

		ret[i] = MODEL_NONE;
		if (n.letter == '?')
			ret[i] = model_find_(m, n.link);
		if (model_is_dir_(m, ret[i]))
			ret[i] = MODEL_NONE;
		if (ret[i] != MODEL_NONE)
			continue;
		n.link = n.link ? model_copy_(n.link) : NULL;
		n.layer = number;
		n.node = i;
		must(vec_push(&m->nodes, n) == 0);
		ret[i] = m->nodes.len - 1;
	}
	return ret;
}

static inline void model_merge_(struct model *m, const struct model *layer,
				size_t number)
{
	size_t *nodes = model_nodes_(m, layer, number), kept = 0;

	for (size_t i = 0; i < m->names.len; i++) {
		struct model_name *n = &m->names.v[i];

		if (model_stays_(layer, n->path, model_is_dir_(m, n->node)))
			m->names.v[kept++] = *n;
		else
			free(n->path);
	}
	m->names.len = kept;
	for (size_t i = 0; i < layer->names.len; i++) {
		const struct model_name *n = &layer->names.v[i];
		size_t old = model_find_(m, n->path);
		const struct model_node *from = &m->nodes.v[nodes[n->node]];

		if (!model_shown_(n->path))
			continue;
		if (old == MODEL_NONE)
			model_add_(m, n->path, nodes[n->node]);
		else if (from->number > 0)
			m->nodes.v[old] = *from; /* a directory */
	}
	free(nodes);
}

/* --- comparing --- */

/* inos: for each node its inode, found here. */
static inline void model_compare_(const struct model *m, struct tree *t,
				  uint64_t *inos)
{
	struct listing l;

	listing_read(t, &l);
	must(l.names.len == m->names.len);
	for (size_t i = 0; i < l.names.len; i++) {
		const struct tree_inode *in = &l.names.v[i].i;
		size_t at = model_find_(m, i ? l.names.v[i].path : "");
		const struct model_node *n;
		struct str link = {0};
		uint32_t names = 0;

		must(at != MODEL_NONE);
		n = &m->nodes.v[at];
		must(letter_(in) == (n->letter == '?' ? 'f' : n->letter));
		must(in->uid == n->number);
		must(!(in->flags & TREE_DANGLING) == (n->letter != '?'));
		must(!(in->flags & TREE_IMPLIED) ==
		     (n->number != 0 || n->whiteout));
		if (n->letter == '?') {
			must(tree_get_link(t, in->ino, &link) == 0);
			must(strcmp(link.buf, n->link) == 0);
			str_done(&link);
		}
		for (size_t k = 0; k < m->names.len; k++)
			names += m->names.v[k].node == at;
		must(n->letter == 'd' || in->nlink == names);
		must(inos[at] == 0 || inos[at] == in->ino);
		inos[at] = in->ino;
	}
	listing_done(&l);
}

static inline void model_compare_sources_(const struct model *m, struct tree *t,
					  const uint64_t *inos,
					  uint64_t *const *layer_inos)
{
	for (size_t i = 0; i < m->names.len; i++) {
		const struct model_node *n = &m->nodes.v[m->names.v[i].node];
		struct tree_inode in;

		must(tree_get(t, inos[m->names.v[i].node], &in) == 0);
		must(in.layer == n->layer);
		must(in.src_ino == layer_inos[n->layer][n->node]);
	}
}

/* The stack, built from this script, is what the model says. */
__attribute__((unused)) static void model_check(struct stack *k,
						const char *text, size_t len)
{
	struct model_stack ms = {.len = 0};
	uint64_t *layer_inos[LAYERS_MAX] = {0}, *inos;

	script_run(text, len, model_entry_, &ms);
	must(ms.len == k->len);
	model_init_(&ms.merged);
	for (size_t i = 0; i < ms.len; i++) {
		layer_inos[i] = calloc(ms.layers[i].nodes.len, sizeof(*inos));
		must(layer_inos[i]);
		model_compare_(&ms.layers[i], k->layers[i], layer_inos[i]);
		model_merge_(&ms.merged, &ms.layers[i], i);
	}
	inos = calloc(ms.merged.nodes.len, sizeof(*inos));
	must(inos);
	model_compare_(&ms.merged, k->merged, inos);
	if (ms.len > 0)
		model_compare_sources_(&ms.merged, k->merged, inos, layer_inos);
	free(inos);
	for (size_t i = 0; i < ms.len; i++) {
		free(layer_inos[i]);
		model_done_(&ms.layers[i]);
	}
	model_done_(&ms.merged);
}
