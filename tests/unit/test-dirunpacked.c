/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of nodes inside a layer, over a layer that is made up here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "content/unpacked.h"
#include "fs/dir_unpacked.h"
#include "fs/file_unpacked.h"
#include "fs/fs_private.h"
#include "util/auto.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NAMES 1300 /* more than two pages */
#define LARGEST_PAGE 512
#define NAME_ROOM 16

/* --- the made-up layer: fNNNN is inode 10 + NNNN, then `more` --- */

struct unpacked {
	int refs;
	bool damaged, final, at_hand;
	size_t names;
	struct tree_inode odd; /* what "odd" is */
	unsigned finds, gets, lists, skips;
	size_t most; /* names asked for at once */
	const char *link;
};

static struct unpacked layer;

struct unpacked *unpacked_ref(struct unpacked *u)
{
	u->refs++;
	return u;
}

void unpacked_unref(struct unpacked *u)
{
	u->refs--;
}

bool unpacked_at_hand(struct unpacked *u)
{
	return u->at_hand;
}

int unpacked_get(struct unpacked *u, uint64_t ino, struct wait *w,
		 struct tree_inode *ret, bool *ret_final)
{
	u->gets++;
	*ret = (struct tree_inode){
		.ino = ino, .mode = S_IFREG | 0640, .nlink = 1};
	if (ino == TREE_ROOT)
		ret->mode = S_IFDIR | 0700;
	if (ino == u->odd.ino)
		*ret = u->odd;
	if (ret_final)
		*ret_final = u->final;
	return 0;
}

int unpacked_find(struct unpacked *u, uint64_t dir, const char *name,
		  struct wait *w, struct tree_inode *ret, bool *ret_final)
{
	unsigned long long n;

	u->finds++;
	if (strcmp(name, "odd") == 0)
		return unpacked_get(u, u->odd.ino, w, ret, ret_final);
	if (strcmp(name, "twin") == 0)
		return unpacked_get(u, 10, w, ret, ret_final);
	if (name[0] != 'f' || str_to_u64(name + 1, NAMES, &n) < 0)
		return -ENOENT;
	return unpacked_get(u, 10 + n, w, ret, ret_final);
}

int unpacked_list(struct unpacked *u, uint64_t dir, const char *after,
		  uint64_t skip, size_t max, struct wait *w,
		  struct tree_name **ret, size_t *ret_len)
{
	unsigned long long first = skip;
	struct tree_name *names;
	char *block;
	size_t n;

	if (after) {
		assert_int_equal(str_to_u64(after + 1, NAMES, &first), 0);
		assert_int_equal(++first, skip);
	} else {
		u->skips++;
	}
	u->lists++;
	if (max > u->most)
		u->most = max;
	n = first < u->names ? u->names - first : 0;
	if (n > max)
		n = max;
	if (n == 0 && u->damaged)
		return -EBADMSG;
	names = calloc(n + 1, sizeof(*names));
	block = malloc(n * NAME_ROOM + 1);
	for (size_t i = 0; i < n; i++) {
		/* As tree_names_free expects them: all in one. */
		names[i].name = block + i * NAME_ROOM;
		snprintf(names[i].name, NAME_ROOM, "f%04llu", first + i);
		names[i].ino = 10 + first + i;
		names[i].mode = S_IFREG | 0644;
	}
	if (n == 0)
		free(block);
	*ret = names;
	*ret_len = n;
	return 0;
}

int unpacked_list_inodes(struct unpacked *u, uint64_t dir, const char *after,
			 size_t max, struct wait *w, struct tree_name **ret,
			 struct tree_inode **ret_inodes, size_t *ret_len)
{
	uint64_t skip = after ? strtoull(after + 1, NULL, 10) + 1 : 0;

	assert_int_equal(
		unpacked_list(u, dir, after, skip, max, w, ret, ret_len), 0);
	*ret_inodes = calloc(max, sizeof(**ret_inodes));
	for (size_t i = 0; i < *ret_len; i++)
		(*ret_inodes)[i] = (struct tree_inode){.ino = (*ret)[i].ino,
						       .mode = S_IFREG | 0604};
	return 0;
}

int unpacked_readlink(struct unpacked *u, uint64_t ino, struct wait *w,
		      struct str *out)
{
	return str_add(out, u->link);
}

int unpacked_getxattr(struct unpacked *u, uint64_t ino, const char *name,
		      struct wait *w, struct str *out)
{
	if (strcmp(name, "security.capability") != 0)
		return -ENODATA;
	return str_addn(out, "\1\0\0\2", 4);
}

int unpacked_listxattr(struct unpacked *u, uint64_t ino, struct wait *w,
		       struct str *out)
{
	return str_addn(out, "security.capability", 20);
}

int unpacked_raw_name(struct unpacked *u, uint64_t ino, struct wait *w,
		      struct str *out)
{
	return ino == 10 ? str_addn(out, "a\0b", 3) : -ENODATA;
}

int unpacked_layer(struct unpacked *u, const struct tree_inode *i,
		   struct digest *ret)
{
	digest_of(HASH_SHA256, "{}", 2, ret);
	return 0;
}

int unpacked_about(struct unpacked *u, struct wait *w, struct str *out)
{
	return str_add(out, "read by: archive\n");
}

int unpacked_open_file(struct unpacked *u, uint64_t ino, struct wait *w,
		       struct unpacked_file **ret)
{
	return -ENOENT;
}

ssize_t unpacked_read(struct unpacked_file *f, void *buf, size_t len,
		      uint64_t off, struct wait *w)
{
	return 0;
}

bool unpacked_file_proven(struct unpacked_file *f)
{
	return true;
}

void unpacked_close_file(struct unpacked_file *f)
{
}

/* --- a mount of it --- */

struct mount {
	struct fs fs;
	struct options options;
	struct inodes *t;
	struct node *root, *top;
	struct wait w;
};

static const struct node_ops root_ops = {.type = S_IFDIR};

static int setup(void **state)
{
	static struct mount m;
	struct digest d;

	layer = (struct unpacked){.names = NAMES, .final = true};
	m = (struct mount){.fs = {.uid = 4321, .options = &m.options}};
	digest_of(HASH_SHA256, "x", 1, &d);
	wait_init(&m.w, 5000, 0);
	assert_int_equal(inodes_new(&m.t), 0);
	assert_int_equal(node_new(&root_ops, sizeof(struct node), NULL, "",
				  NODE_RANK_PLAIN, &m.root),
			 0);
	m.root->fs = &m.fs;
	inodes_add_root(m.t, m.root);
	assert_int_equal(dir_unpacked_new(m.root, "top", &layer, &d, &m.top),
			 0);
	m.top = inode_enter(m.t, m.top);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	struct mount *m = *state;

	inode_put(m->t, m->top);
	inodes_free(m->t);
	return layer.refs;
}

struct names {
	struct dir_sink sink;
	size_t len, max;
	char first[16], last[16];
	uint64_t next, ino, hint;
	const void *found;
};

/* One look-up as the mount makes it; the node is entered once. */
static int look(struct mount *m, const char *name, const struct names *listed,
		struct node_look *l, struct node **ret)
{
	int r;

	*l = (struct node_look){.name = name,
				.hint = listed ? listed->hint : 0,
				.found = listed ? listed->found : NULL,
				.ttl_s = NODE_TTL_FOREVER};
	if (!l->found)
		l->known = inode_known(m->t, m->top, name);
	r = m->top->ops->look(m->top, l, &m->w, ret);
	if (l->known && (r < 0 || *ret != l->known))
		inode_put(m->t, l->known);
	if (r == 0)
		*ret = inode_enter(m->t, *ret);
	return r;
}

static struct node *find(struct mount *m, const char *name, struct node_look *l)
{
	struct node *n;

	assert_int_equal(look(m, name, NULL, l, &n), 0);
	return n;
}

/* --- listing --- */

static bool take(struct dir_sink *sink, const char *name, mode_t type,
		 uint64_t ino, uint64_t next_off)
{
	struct names *s = (struct names *)sink;

	if (s->len == s->max)
		return false;
	snprintf(s->len++ ? s->last : s->first, 16, "%s", name);
	s->next = next_off;
	s->ino = ino;
	s->hint = sink->hint;
	s->found = sink->found;
	return true;
}

static int list(struct mount *m, void *h, uint64_t off, size_t max,
		struct names *ret)
{
	*ret = (struct names){.sink.add = take, .max = max, .next = off};
	return m->top->ops->readdir(m->top, h, off, &m->w, &ret->sink);
}

static int list_plus(struct mount *m, void *h, uint64_t off, size_t max,
		     struct names *ret)
{
	*ret = (struct names){.sink = {.add = take, .plus = true}, .max = max};
	return m->top->ops->readdir(m->top, h, off, &m->w, &ret->sink);
}

static void *open_list(struct mount *m)
{
	void *h;

	assert_int_equal(m->top->ops->opendir(m->top, &m->w, &h), 0);
	return h;
}

/* In buffers of any size: every name once, each page read once. */
static void listed_in_pages(void **state)
{
	static const size_t sizes[] = {1, 7, 100, 512, 513, 5000};
	struct mount *m = *state;

	for (size_t k = 0; k < COUNT(sizes); k++) {
		void *h = open_list(m);
		uint64_t off = 0, expect = 0;
		struct names got;

		layer.lists = layer.skips = 0;
		for (;;) {
			char want[16];

			assert_int_equal(list(m, h, off, sizes[k], &got), 0);
			if (got.len == 0)
				break;
			snprintf(want, sizeof(want), "f%04d",
				 (int)(expect + got.len - 3));
			if (got.len > 1 && expect + got.len > 2)
				assert_string_equal(got.last, want);
			expect += got.len;
			off = got.next;
		}
		assert_int_equal(expect, NAMES + 2);
		assert_int_equal(layer.skips, 1);
		assert_int_equal(layer.lists, 4);
		m->top->ops->closedir(m->top, h);
	}
	assert_true(layer.most <= LARGEST_PAGE);
}

static void seeks(void **state)
{
	static const struct {
		uint64_t off;
		const char *first;
	} t[] = {{702, "f0700"}, {2, "f0000"},	 {1301, "f1299"}, {1302, ""},
		 {0, "."},	 {703, "f0701"}, {99999, ""},	  {1, ".."}};
	struct mount *m = *state;
	void *h = open_list(m);
	struct names got;

	for (size_t i = 0; i < COUNT(t); i++) {
		assert_int_equal(list(m, h, t[i].off, 3, &got), 0);
		assert_string_equal(got.first, t[i].first);
	}
	m->top->ops->closedir(m->top, h);
}

/* What is known comes first, then the error, each time it is asked for. */
static void damaged_directory(void **state)
{
	struct mount *m = *state;
	void *h = open_list(m);
	struct names got;
	uint64_t off;

	layer.names = 5;
	layer.damaged = true;
	assert_int_equal(list(m, h, 0, 100, &got), -EBADMSG);
	assert_int_equal(got.len, 7);
	assert_string_equal(got.last, "f0004");
	off = got.next;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(list(m, h, off, 100, &got), -EBADMSG);
		assert_int_equal(got.len, 0);
	}
	assert_int_equal(list(m, h, 2, 100, &got), -EBADMSG);
	assert_int_equal(got.len, 5);
	m->top->ops->closedir(m->top, h);
}

/* --- look-up --- */

static void listed_names_are_found_by_number(void **state)
{
	struct mount *m = *state;
	void *h = open_list(m);
	struct node_look l;
	struct names got;
	struct node *n;

	layer.gets = 0;
	assert_int_equal(list(m, h, 2, 1, &got), 0);
	assert_int_equal(look(m, "f0000", &got, &l, &n), 0);
	assert_int_equal(layer.finds, 0);
	assert_int_equal(layer.gets, 1);
	assert_int_equal(l.attr.st.st_ino, got.ino);
	assert_int_equal(n->ino, got.ino);
	inode_put(m->t, n);
	m->top->ops->closedir(m->top, h);
}

/* Who wants attributes with the list asks no more; a known node stays. */
static void listed_with_inodes(void **state)
{
	static const uint64_t offs[] = {2, 3, 194, 500}; /* 500: a seek */
	struct mount *m = *state;
	struct node_look l;
	struct node *a, *b;
	struct names got;
	char name[16];
	void *h;

	for (size_t i = 0; i < COUNT(offs); i++) {
		h = open_list(m);
		layer.gets = layer.finds = 0;
		assert_int_equal(list_plus(m, h, 2, 200, &got), 0);
		assert_int_equal(list_plus(m, h, offs[i], 1, &got), 0);
		snprintf(name, sizeof(name), "f%04d", (int)offs[i] - 2);
		assert_string_equal(got.first, name);
		assert_int_equal(look(m, name, &got, &l, &a), 0);
		assert_int_equal(layer.finds + layer.gets, !got.found);
		assert_int_equal(l.attr.st.st_mode & 07, got.found ? 4 : 0);
		assert_int_equal(look(m, name, &got, &l, &b), 0);
		assert_ptr_equal(a, b);
		inode_put(m->t, a);
		inode_put(m->t, b);
		m->top->ops->closedir(m->top, h);
	}
}

static void hard_links_share_a_number(void **state)
{
	struct mount *m = *state;
	struct node_look a, b, c;
	struct node *n[] = {find(m, "f0000", &a), find(m, "twin", &b),
			    find(m, "f0001", &c)};

	assert_int_equal(a.attr.st.st_ino, b.attr.st.st_ino);
	assert_int_not_equal(a.attr.st.st_ino, c.attr.st.st_ino);
	assert_int_not_equal(a.attr.st.st_ino, m->top->ino);
	assert_ptr_not_equal(n[0], n[1]);
	for (size_t i = 0; i < COUNT(n); i++)
		inode_put(m->t, n[i]);
}

/* Another mount, another order: the same numbers. */
static void numbers_do_not_depend_on_visits(void **state)
{
	struct mount *m = *state;
	struct node_look l;
	struct node *n = find(m, "f0007", &l);
	uint64_t before = l.attr.st.st_ino;

	inode_put(m->t, n);
	assert_int_equal(teardown(state), 0);
	setup(state);
	m = *state;
	inode_put(m->t, find(m, "twin", &l));
	inode_put(m->t, find(m, "f0007", &l));
	assert_int_equal(l.attr.st.st_ino, before);
}

static void known_unless_replaced(void **state)
{
	struct mount *m = *state;
	struct node *a, *b, *c;
	struct node_look l;

	layer.final = false;
	layer.odd = (struct tree_inode){.ino = 5, .mode = S_IFREG};
	a = find(m, "odd", &l);
	assert_true(l.ttl_s == 0 && l.attr.ttl_s == 0);
	b = find(m, "odd", &l);
	assert_ptr_equal(a, b);
	layer.odd.ino = 6;
	layer.final = true;
	c = find(m, "odd", &l);
	assert_ptr_not_equal(a, c);
	assert_true(l.ttl_s > 1000 && l.attr.ttl_s > 1000);
	inode_put(m->t, a);
	inode_put(m->t, b);
	inode_put(m->t, c);
}

static void attributes_are_the_images(void **state)
{
	static const struct {
		struct tree_inode i;
		mode_t mode;
		nlink_t nlink;
	} t[] = {
		{{.mode = S_IFREG | 06755, .nlink = 3}, S_IFREG | 06755, 3},
		{{.mode = S_IFDIR | 01777}, S_IFDIR | 01777, 1},
		{{.mode = S_IFLNK | 0777, .nlink = 1}, S_IFLNK | 0777, 1},
		{{.mode = S_IFCHR | 0600, .nlink = 1}, S_IFCHR | 0600, 1},
		{{.mode = S_IFBLK | 0600, .nlink = 1}, S_IFBLK | 0600, 1},
		{{.mode = S_IFIFO, .nlink = 1}, S_IFIFO, 1},
	};
	struct mount *m = *state;

	for (size_t k = 0; k < COUNT(t); k++) {
		struct node_attr again;
		struct node_look l;
		struct node *n;

		layer.odd = t[k].i;
		layer.odd.ino = 5 + k;
		layer.odd.uid = 65534;
		layer.odd.gid = 12;
		layer.odd.mtime_s = -1;
		layer.odd.mtime_ns = 5;
		layer.odd.size_bytes = UINT64_MAX;
		layer.odd.major = 8;
		layer.odd.minor = 300;
		n = find(m, "odd", &l);
		assert_int_equal(l.attr.st.st_mode, t[k].mode);
		assert_int_equal(l.attr.st.st_nlink, t[k].nlink);
		assert_int_equal(l.attr.st.st_uid, 65534);
		assert_int_equal(l.attr.st.st_gid, 12);
		assert_int_equal(l.attr.st.st_mtim.tv_sec, -1);
		assert_int_equal(l.attr.st.st_mtim.tv_nsec, 5);
		assert_int_equal(l.attr.st.st_size, INT64_MAX);
		if (S_ISCHR(t[k].mode) || S_ISBLK(t[k].mode))
			assert_int_equal(l.attr.st.st_rdev, makedev(8, 300));
		else
			assert_int_equal(l.attr.st.st_rdev, 0);
		node_attr_init(n, &again);
		assert_int_equal(n->ops->getattr(n, &m->w, &again), 0);
		assert_memory_equal(&again.st, &l.attr.st, sizeof(again.st));
		inode_put(m->t, n);
	}
}

/* Who goes in wants to know; and the change time is the same before. */
static void going_in_is_a_look(void **state)
{
	struct mount *m = *state;
	struct node_attr before, after;
	void *h;

	layer.at_hand = false;
	m->fs.mounted.tv_sec = 77;
	node_attr_init(m->top, &before);
	assert_int_equal(m->top->ops->getattr(m->top, &m->w, &before), 0);
	layer.gets = 0;
	assert_int_equal(m->top->ops->enter(m->top, &m->w), 0);
	assert_int_equal(layer.gets, 1);
	assert_int_equal(m->top->ops->opendir(m->top, &m->w, &h), 0);
	assert_int_equal(layer.gets, 2);
	m->top->ops->closedir(m->top, h);
	layer.at_hand = true;
	node_attr_init(m->top, &after);
	assert_int_equal(m->top->ops->getattr(m->top, &m->w, &after), 0);
	assert_int_equal(before.st.st_ctim.tv_sec, 77);
	assert_int_equal(after.st.st_ctim.tv_sec, 77);
}

/* To ask what the top is fetches nothing, unless it decides who gets in. */
static void top_is_not_looked_into(void **state)
{
	static const struct {
		bool at_hand, enforced;
		mode_t mode;
		unsigned gets;
	} t[] = {{false, false, S_IFDIR | 0755, 0},
		 {true, false, S_IFDIR | 0700, 1},
		 {false, true, S_IFDIR | 0700, 1}};
	struct mount *m = *state;

	for (size_t i = 0; i < COUNT(t); i++) {
		struct node_attr a;

		layer.gets = 0;
		layer.at_hand = t[i].at_hand;
		m->fs.enforced = t[i].enforced;
		node_attr_init(m->top, &a);
		assert_int_equal(m->top->ops->getattr(m->top, &m->w, &a), 0);
		assert_int_equal(a.st.st_mode, t[i].mode);
		assert_int_equal(layer.gets, t[i].gets);
		assert_int_equal(a.st.st_uid, 0);
		assert_int_equal(a.ttl_s > 0, t[i].gets > 0);
	}
}

static void no_such_name(void **state)
{
	struct mount *m = *state;
	struct node_look l;
	struct node *n;

	assert_int_equal(look(m, "nothing", NULL, &l, &n), -ENOENT);
	assert_true(l.ttl_s > 1000);
}

/* --- attributes by name, links --- */

static int xattr(struct mount *m, struct node *n, const char *name,
		 struct str *out)
{
	str_clear(out);
	return n->ops->getxattr(n, &m->w, name, out);
}

#define D                                                                      \
	"sha256:"                                                              \
	"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define X                                                                      \
	"sha256:"                                                              \
	"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

static void xattrs(void **state)
{
	struct mount *m = *state;
	struct node_look l;
	struct node *n = find(m, "f0000", &l);
	autostr out = {.max = 4096};

	assert_int_equal(xattr(m, n, "security.selinux", &out), -ENODATA);
	assert_int_equal(xattr(m, n, "security.capability", &out), 0);
	assert_int_equal(out.len, 4);
	assert_memory_equal(out.buf, "\1\0\0\2", 4);
	assert_int_equal(xattr(m, n, "user.registryfs.name", &out), 0);
	assert_int_equal(out.len, 3);
	assert_int_equal(xattr(m, m->top, "user.registryfs.name", &out),
			 -ENODATA);
	assert_int_equal(xattr(m, n, "user.registryfs.layer", &out), 0);
	assert_string_equal(out.buf, D);
	assert_int_equal(xattr(m, n, "user.oci.digest", &out), -ENODATA);
	assert_int_equal(xattr(m, m->top, "user.oci.digest", &out), 0);
	assert_string_equal(out.buf, X);
	assert_int_equal(xattr(m, m->top, "user.registryfs.about", &out), 0);
	assert_string_equal(out.buf, "read by: archive\n");
	str_clear(&out);
	/* Ours are not listed: a copy has what the image has. */
	assert_int_equal(m->top->ops->listxattr(m->top, &m->w, &out), 0);
	assert_int_equal(out.len, 20);
	inode_put(m->t, n);
}

static void links(void **state)
{
	static char text[8192];
	static const struct {
		size_t len;
		int r;
	} t[] = {{1, 0},
		 {4095, 0},
		 {4096, -ENAMETOOLONG},
		 {8000, -ENAMETOOLONG}};
	struct mount *m = *state;
	struct node_look l;
	struct node *n;

	layer.odd = (struct tree_inode){.ino = 5, .mode = S_IFLNK};
	layer.link = text;
	n = find(m, "odd", &l);
	for (size_t i = 0; i < COUNT(t); i++) {
		autostr out = {.max = PATH_MAX};

		memset(text, '\xff', t[i].len);
		text[t[i].len] = '\0';
		assert_int_equal(n->ops->readlink(n, &m->w, &out), t[i].r);
		if (t[i].r == 0)
			assert_string_equal(out.buf, text);
	}
	inode_put(m->t, n);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(listed_in_pages),
		TEST(seeks),
		TEST(damaged_directory),
		TEST(listed_names_are_found_by_number),
		TEST(listed_with_inodes),
		TEST(hard_links_share_a_number),
		TEST(numbers_do_not_depend_on_visits),
		TEST(known_unless_replaced),
		TEST(attributes_are_the_images),
		TEST(going_in_is_a_look),
		TEST(top_is_not_looked_into),
		TEST(no_such_name),
		TEST(xattrs),
		TEST(links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
