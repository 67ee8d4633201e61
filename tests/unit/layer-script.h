/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Layers in words, and trees as words, for tests of what becomes of a layer.
 *
 * A script has one entry a line: a letter, a blank, the path, and for links a
 * blank and the target; `--` begins the next layer.  Letters: f file, s sparse
 * file, d directory, l symlink, h hard link, c and b devices, p fifo.  Every
 * attribute of an entry follows from its number, counted from 1 through all
 * layers, so a listing need only tell the number: `f a/b 3`.  0 is implied.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "content/merge.h"
#include "content/treebuild.h"
#include "content/xattrpack.h"
#include "layer/entry.h"
#include "store/tree.h"
#include "util/vec.h"

#define LAYERS_MAX 8
/* Aborts, and says with what script. */
#define must(x) ((x) ? (void)0 : must_fail_(__FILE__, __LINE__, #x))

static const char *script_current;
static size_t script_current_len;

__attribute__((unused, noreturn)) static void
must_fail_(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	if (script_current)
		fprintf(stderr, "%.*s\n", (int)script_current_len,
			script_current);
	abort();
}

/* An entry and what it lends. */
struct scripted {
	struct layer_entry e;
	size_t layer;
	unsigned int number;
	struct layer_piece pieces[2];
	struct layer_xattr xattr;
	char value[16];
};

/* False: no such letter.  Path and link are not set here. */
__attribute__((unused)) static bool
scripted_init(struct scripted *s, char letter, unsigned int number)
{
	static const char letters[] = "fdlhcbps";
	static const enum layer_type types[] = {
		LAYER_FILE, LAYER_DIR,	 LAYER_SYMLINK, LAYER_HARDLINK,
		LAYER_CHAR, LAYER_BLOCK, LAYER_FIFO,	LAYER_FILE};
	const char *at = letter ? strchr(letters, letter) : NULL;

	if (!at)
		return false;
	memset(s, 0, sizeof(*s));
	s->number = number;
	s->e.type = types[at - letters];
	s->e.mode = number * 37 & 07777;
	s->e.uid = number;
	s->e.gid = number + 1000;
	s->e.mtime_s = -(int64_t)number;
	s->e.mtime_ns = number;
	s->e.major = number;
	s->e.minor = number + 1;
	if (s->e.type == LAYER_FILE)
		s->e.size_bytes = number + 10;
	s->e.data_off = 512 * (uint64_t)number;
	if (letter == 's') {
		s->e.in_pieces = true;
		s->pieces[0] = (struct layer_piece){
			.off = 1, .bytes = 2, .src_off = number};
		s->pieces[1] = (struct layer_piece){.off = 7,
						    .bytes = 3,
						    .src_off = 4,
						    .src_end = 9,
						    .inner_off = 1,
						    .has_digest = true,
						    .digest = {9, 8}};
		s->e.pieces = s->pieces;
		s->e.pieces_len = 2;
	}
	if (number % 3 == 0) {
		snprintf(s->value, sizeof(s->value), "%u", number);
		s->xattr = (struct layer_xattr){"user.number", s->value,
						strlen(s->value)};
		s->e.xattrs = &s->xattr;
		s->e.xattrs_len = 1;
	}
	return true;
}

typedef void (*scripted_fn)(void *arg, const struct scripted *s);

/* Returns how many layers there are. */
__attribute__((unused)) static size_t script_run(const char *text, size_t len,
						 scripted_fn fn, void *arg)
{
	const char *end = text + len, *eol;
	unsigned int number = 0;
	size_t layer = 0;

	for (const char *at = text; at < end; at = eol + 1) {
		struct scripted s;
		char *line, *link;
		size_t n;

		eol = memchr(at, '\n', (size_t)(end - at));
		if (!eol)
			eol = end;
		n = (size_t)(eol - at);
		if (n >= 2 && memcmp(at, "--", 2) == 0) {
			if (++layer == LAYERS_MAX)
				return layer;
			continue;
		}
		if (n < 2 || at[1] != ' ' ||
		    !scripted_init(&s, at[0], number + 1))
			continue;
		number++;
		line = calloc(1, n + 1);
		must(line);
		memcpy(line, at + 2, n - 2);
		s.layer = layer;
		s.e.path = line;
		s.e.path_len = n - 2;
		link = memchr(line, ' ', n - 2);
		if (link) {
			s.e.path_len = (size_t)(link - line);
			*link++ = '\0';
			s.e.link = link;
			s.e.link_len = n - 2 - (size_t)(link - line);
		}
		fn(arg, &s);
		free(line);
	}
	return layer + 1;
}

/* --- trees --- */

struct listed {
	char *path;
	uint64_t dir;
	struct tree_inode i;
};

struct listing {
	VEC(struct listed)
	names; /* the root first; a directory before what is
		  in it */
};

__attribute__((unused)) static void listing_done(struct listing *l)
{
	for (size_t i = 0; i < l->names.len; i++)
		free(l->names.v[i].path);
	vec_done(&l->names);
}

static inline void list_dir_(struct tree *t, size_t at, struct listing *l)
{
	struct listed dir = l->names.v[at];
	struct tree_name *names = NULL;
	char after[TREE_NAME_MAX + 1] = "";
	size_t len = 5;

	while (len == 5) {
		must(tree_list(t, dir.i.ino, after[0] ? after : NULL, 5, &names,
			       &len) == 0);
		for (size_t k = 0; k < len; k++) {
			struct listed n = {.dir = dir.i.ino};
			struct tree_inode found;

			must(strcmp(names[k].name, after) > 0);
			must(snprintf(after, sizeof(after), "%s",
				      names[k].name) < (int)sizeof(after));
			must(asprintf(&n.path, "%s%s%s", at ? dir.path : "",
				      at ? "/" : "", after) > 0);
			must(tree_get(t, names[k].ino, &n.i) == 0);
			must(tree_find(t, dir.i.ino, after, &found) == 0);
			must(found.ino == names[k].ino && n.i.ino == found.ino);
			must((names[k].mode & S_IFMT) == (n.i.mode & S_IFMT));
			must(vec_push(&l->names, n) == 0);
		}
		tree_names_free(names, len);
	}
}

__attribute__((unused)) static void listing_read(struct tree *t,
						 struct listing *ret)
{
	struct listed root = {.path = strdup(".")};

	memset(ret, 0, sizeof(*ret));
	must(root.path && tree_get(t, TREE_ROOT, &root.i) == 0);
	must(root.i.ino == TREE_ROOT && S_ISDIR(root.i.mode));
	must(vec_push(&ret->names, root) == 0);
	for (size_t i = 0; i < ret->names.len; i++) {
		if (S_ISDIR(ret->names.v[i].i.mode))
			list_dir_(t, i, ret);
	}
}

static inline char letter_(const struct tree_inode *i)
{
	switch (i->mode & S_IFMT) {
	case S_IFREG:
		return i->flags & TREE_PIECES ? 's' : 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	default:
		return '?';
	}
}

static inline int by_path_(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static inline const char *first_name_(const struct listing *l, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (l->names.v[i].i.ino == l->names.v[at].i.ino)
			return l->names.v[i].path;
	}
	return NULL;
}

/*
 * One line for each name, by bytes: letter, path, number of the entry; for
 * several names `xN` and, after the first, `=FIRST`; ` -> TEXT` of a symlink,
 * ` ? TARGET` where that is missing; `@LAYER` if `merged`.
 */
__attribute__((unused)) static char *tree_words(struct tree *t, bool merged)
{
	struct listing l;
	struct str s = {0};

	listing_read(t, &l);
	qsort(l.names.v, l.names.len, sizeof(*l.names.v), by_path_);
	for (size_t n = 0; n < l.names.len; n++) {
		const struct listed *at = &l.names.v[n];
		const char *first = first_name_(&l, n);
		struct str link = {0};
		bool dangling = at->i.flags & TREE_DANGLING;

		must(str_addf(&s, "%c %s %u", letter_(&at->i), at->path,
			      at->i.uid) == 0);
		if (!S_ISDIR(at->i.mode) && at->i.nlink > 1)
			must(str_addf(&s, " x%u", at->i.nlink) == 0);
		if (first)
			must(str_addf(&s, " =%s", first) == 0);
		if (dangling || S_ISLNK(at->i.mode)) {
			must(tree_get_link(t, at->i.ino, &link) == 0);
			must(str_addf(&s, " %s %s", dangling ? "?" : "->",
				      link.buf) == 0);
		}
		if (merged)
			must(str_addf(&s, " @%u", at->i.layer) == 0);
		must(str_addc(&s, '\n') == 0);
		str_done(&link);
	}
	listing_done(&l);
	return str_steal(&s);
}

/* --- invariants --- */

static inline void check_name_(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	must(name[0] && strlen(name) <= TREE_NAME_MAX);
	must(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
}

static inline int by_ino_(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	return x->i.ino < y->i.ino ? -1 : x->i.ino > y->i.ino;
}

/* All names have inodes, all inodes names, and as many as they say. */
__attribute__((unused)) static void check_tree(struct tree *t)
{
	struct listing l;
	struct tree_inode none;
	uint64_t expected = 1;

	must(tree_sealed(t));
	listing_read(t, &l);
	for (size_t i = 0; i < l.names.len; i++) {
		uint32_t dirs = 2;

		if (i > 0)
			check_name_(l.names.v[i].path);
		if (!S_ISDIR(l.names.v[i].i.mode))
			continue;
		for (size_t k = 1; k < l.names.len; k++)
			dirs += l.names.v[k].dir == l.names.v[i].i.ino &&
				S_ISDIR(l.names.v[k].i.mode);
		must(l.names.v[i].i.nlink == dirs);
	}
	qsort(l.names.v, l.names.len, sizeof(*l.names.v), by_ino_);
	for (size_t i = 0, end; i < l.names.len; i = end) {
		const struct tree_inode *in = &l.names.v[i].i;

		for (end = i + 1;
		     end < l.names.len && l.names.v[end].i.ino == in->ino;)
			end++;
		must(S_ISDIR(in->mode) ? end == i + 1 : in->nlink == end - i);
		for (; expected < in->ino; expected++)
			must(tree_get(t, expected, &none) == -ENOENT);
		expected = in->ino + 1;
	}
	for (uint64_t more = expected; more < expected + 8; more++)
		must(tree_get(t, more, &none) == -ENOENT);
	listing_done(&l);
}

static inline void check_pieces_(struct tree *t, const struct tree_inode *i,
				 const struct layer_entry *e)
{
	struct tree_piece p;

	if (!e->in_pieces) {
		must(tree_find_piece(t, i->ino, 0, &p) == -ENOENT);
		return;
	}
	for (size_t n = 0; n < e->pieces_len; n++) {
		must(tree_find_piece(t, i->ino, e->pieces[n].off, &p) == 0);
		must(p.off == e->pieces[n].off);
		must(p.bytes == e->pieces[n].bytes);
		must(p.src_off == e->pieces[n].src_off);
		must(p.src_end == e->pieces[n].src_end);
		must(p.inner_off == e->pieces[n].inner_off);
		must(p.has_digest == e->pieces[n].has_digest);
		must(!p.has_digest ||
		     memcmp(p.digest, e->pieces[n].digest, 32) == 0);
	}
}

static inline uint64_t size_of_(const struct layer_entry *e,
				const struct tree_inode *i)
{
	if (e->type == LAYER_SYMLINK)
		return i->size_bytes; /* its text's, which the number has not */
	return e->type == LAYER_FILE ? e->size_bytes : 0;
}

/* Every attribute follows from the number (which is the uid). */
__attribute__((unused)) static void
check_inode(struct tree *t, const struct tree_inode *i, bool merged)
{
	struct scripted s;
	struct str xattrs = {0}, value = {0};
	bool device = S_ISCHR(i->mode) || S_ISBLK(i->mode);
	uint32_t mode;
	int r = tree_get_xattrs(t, i->ino, &xattrs);

	must(r == 0 || r == -ENODATA);
	if (i->uid == 0) {
		must(i->mode == (S_IFDIR | 0755) && i->gid == 0);
		/* A layer's may stand where a whiteout was. */
		must(((i->flags & TREE_IMPLIED) || !merged) && i->mtime_s == 0);
		must(xattrs.len == 0);
		return;
	}
	must(scripted_init(&s, letter_(i), i->uid));
	mode = S_ISLNK(i->mode) ? 0777 : s.e.mode;
	must((i->mode & 07777) == mode && i->gid == s.e.gid);
	must(i->mtime_s == s.e.mtime_s && i->mtime_ns == s.e.mtime_ns);
	must(i->major == (device ? s.e.major : 0));
	must(i->minor == (device ? s.e.minor : 0));
	must(!(i->flags & TREE_IMPLIED));
	/* of a file, not of a hard link that has an inode of its own */
	if (i->flags & TREE_DANGLING)
		must(i->size_bytes == 0);
	else if (i->size_bytes > 0 || !(i->flags & TREE_RAW_NAME))
		must(i->size_bytes == size_of_(&s.e, i));
	if (S_ISREG(i->mode) && i->size_bytes > 0 && !(i->flags & TREE_PIECES))
		must(i->data_off == s.e.data_off);
	if (!merged)
		check_pieces_(t, i, &s.e);
	must((xattrs.len > 0) == (s.e.xattrs_len > 0));
	if (s.e.xattrs_len > 0) {
		must(xattrs_find(xattrs.buf, xattrs.len, "user.number",
				 &value) == 0);
		must(strcmp(value.buf, s.value) == 0);
	}
	str_done(&xattrs);
	str_done(&value);
}

/* --- a stack of layers --- */

struct stack {
	struct store *store;
	struct tree *layers[LAYERS_MAX], *merged;
	struct treebuild *builds[LAYERS_MAX];
	size_t len;
};

static inline void stack_add_(void *arg, const struct scripted *s)
{
	struct stack *k = arg;

	for (; k->len <= s->layer; k->len++) {
		char key[32];

		snprintf(key, sizeof(key), "layer-%zu", k->len);
		must(tree_create(k->store, key, true, &k->layers[k->len]) == 0);
		must(treebuild_new(k->layers[k->len], 100000,
				   &k->builds[k->len]) == 0);
	}
	must(treebuild_add(k->builds[s->layer], &s->e) == 0);
}

/* Builds, seals and merges what a script says. */
__attribute__((unused)) static void
stack_build(struct stack *k, struct store *store, const char *text, size_t len)
{
	struct wait w;

	memset(k, 0, sizeof(*k));
	k->store = store;
	script_current = text;
	script_current_len = len;
	script_run(text, len, stack_add_, k);
	for (size_t i = 0; i < k->len; i++) {
		treebuild_free(k->builds[i]);
		must(tree_seal(k->layers[i]) == 0);
	}
	wait_init(&w, 60000, 0);
	must(tree_create(store, "merged", true, &k->merged) == 0);
	must(merge_trees(k->layers, k->len, 1000000, &w, k->merged) == 0);
	must(tree_seal(k->merged) == 0);
}

__attribute__((unused)) static void stack_done(struct stack *k)
{
	for (size_t i = 0; i < k->len; i++)
		tree_close(k->layers[i]);
	tree_close(k->merged);
	script_current = NULL;
}

/* What holds for every stack, sealed as it is. */
__attribute__((unused)) static void stack_check(struct stack *k)
{
	struct listing l;

	for (size_t n = 0; n < k->len; n++) {
		check_tree(k->layers[n]);
		listing_read(k->layers[n], &l);
		for (size_t i = 0; i < l.names.len; i++)
			check_inode(k->layers[n], &l.names.v[i].i, false);
		listing_done(&l);
	}
	check_tree(k->merged);
	listing_read(k->merged, &l);
	for (size_t i = 0; i < l.names.len; i++) {
		const struct tree_inode *in = &l.names.v[i].i;
		struct tree_inode from;

		must(!strstr(l.names.v[i].path, "/.wh."));
		must(strncmp(l.names.v[i].path, ".wh.", 4) != 0);
		check_inode(k->merged, in, true);
		if (k->len == 0)
			continue;
		must(in->layer < k->len);
		must(tree_get(k->layers[in->layer], in->src_ino, &from) == 0);
		must(from.mode == in->mode && from.uid == in->uid);
		must(from.flags == in->flags);
		must(from.data_off == in->data_off);
	}
	listing_done(&l);
}
