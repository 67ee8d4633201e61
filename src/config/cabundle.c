/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle is named by a hash over the identities (inode, size, times) of the
 * files it was joined from: nothing to invalidate, equal sets are shared, and
 * a changed set has a new name, which TLS libraries that cache parsed bundles
 * by name notice.  Older ones stay, as connections may still be told to use
 * them.
 */
#include "config/cabundle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/trustfile.h"
#include "config/userdirs.h"
#include "util/auto.h"
#include "util/encode.h"
#include "util/fd.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/str.h"

#define CA_FILE_MAX ((size_t)8 << 20)
#define BUNDLE_MAX ((size_t)32 << 20)
/* Against filling a runtime directory by touching a certificate for years. */
#define BUNDLES_MAX 1024
#define NAME_LEN (2 * 16 + 4)

struct cabundle {
	pthread_mutex_t lock;
	char *dir;		  /* protected by lock; NULL until needed */
	int dirfd;		  /* protected by lock; holds a shared lock */
	struct string_list names; /* protected by lock */
};

int cabundle_new(struct cabundle **ret)
{
	struct cabundle *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	pthread_mutex_init(&b->lock, NULL);
	b->dirfd = -1;
	*ret = b;
	return 0;
}

static void remove_dir(struct cabundle *b)
{
	for (size_t i = 0; i < b->names.len; i++)
		unlinkat(b->dirfd, b->names.v[i], 0);
	string_list_done(&b->names);
	if (b->dirfd >= 0)
		close(b->dirfd);
	b->dirfd = -1;
	if (b->dir)
		rmdir(b->dir);
	free(steal(&b->dir));
}

void cabundle_free(struct cabundle *b)
{
	if (!b)
		return;
	remove_dir(b);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static int make_dir_in(struct cabundle *b, const char *parent)
{
	autofree char *dir = str_printf("%s/registryfs-ca-XXXXXX", parent);
	int fd;

	if (!dir)
		return -ENOMEM;
	if (!mkdtemp(dir))
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		rmdir(dir);
		return -errno;
	}
	/* Those who clean temporary directories leave locked ones alone. */
	(void)flock(fd, LOCK_SH | LOCK_NB);
	b->dirfd = fd;
	b->dir = steal(&dir);
	return 0;
}

/* Whoever owns the parent could put another directory in our place. */
static bool is_own_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_uid == geteuid();
}

static int make_dir(struct cabundle *b)
{
	static const char *const parents[] = {"/run", "/tmp"};
	autofree char *runtime = NULL;
	int r;

	r = userdirs_runtime(&runtime);
	if (r == 0)
		r = is_own_dir(runtime) ? make_dir_in(b, runtime) : -EPERM;
	for (size_t i = 0; r < 0 && i < sizeof(parents) / sizeof(*parents); i++)
		r = make_dir_in(b, parents[i]);
	if (r < 0)
		log_error("no place for a private directory: %s", strerror(-r));
	return r;
}

/* What OpenSSL is told by, then where the distributions keep theirs. */
static const char *system_bundle(void)
{
	static const char *const places[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/ssl/cert.pem",
	};
	const char *told = getenv("SSL_CERT_FILE");

	if (told && *told)
		return told;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (access(places[i], R_OK) == 0)
			return places[i];
	}
	return NULL;
}

static int refuse(const char *path, const char *reason, char *why)
{
	snprintf(why, CERTS_WHY_MAX, "CA file %s %s", path, reason);
	return -EINVAL;
}

static int name_of(const struct string_list *files, char ret[NAME_LEN + 1],
		   char *why)
{
	uint8_t digest[HASH_MAX];
	struct hash h;

	hash_init(&h, HASH_SHA256);
	for (size_t i = 0; i < files->len; i++) {
		/* no padding between the numbers */
		uint64_t n[7];
		struct trustfile_id id;

		if (trustfile_stat(files->v[i], &id) < 0)
			return refuse(files->v[i], "is not there", why);
		n[0] = id.dev;
		n[1] = id.ino;
		n[2] = (uint64_t)id.size;
		n[3] = (uint64_t)id.mtime.tv_sec;
		n[4] = (uint64_t)id.mtime.tv_nsec;
		n[5] = (uint64_t)id.ctime.tv_sec;
		n[6] = (uint64_t)id.ctime.tv_nsec;
		hash_update(&h, n, sizeof(n));
		hash_update(&h, files->v[i], strlen(files->v[i]) + 1);
	}
	hash_final(&h, digest);
	hex_encode(digest, 16, ret);
	memcpy(ret + 32, ".pem", sizeof(".pem"));
	return 0;
}

/* Who may write the system's is not for us to judge; certs.d is ours. */
static int read_ca(const char *path, bool is_system, char **ret,
		   size_t *ret_len, char *why)
{
	const char *reason = "cannot be read";
	int r;

	if (is_system)
		r = fd_read_file(AT_FDCWD, path, CA_FILE_MAX, ret, ret_len);
	else
		r = trustfile_read_conf(path, CA_FILE_MAX, ret, ret_len,
					&reason);
	return r == -ENOMEM || r >= 0 ? r : refuse(path, reason, why);
}

static int append(const char *path, bool is_system, struct str *out, char *why)
{
	autofree char *buf = NULL;
	size_t len;
	int r;

	r = read_ca(path, is_system, &buf, &len, why);
	if (r < 0)
		return r;
	if (!strstr(buf, "-----BEGIN "))
		return refuse(path, "is not in PEM format", why);
	r = str_addn(out, buf, len);
	if (r == 0)
		r = str_addc(out, '\n');
	return r == -EFBIG ? refuse(path, "makes it too large", why) : r;
}

/* The system's bundle, if there is one, is the first of `files`. */
static int build(struct cabundle *b, const struct string_list *files,
		 bool has_system, const char *name, char *why)
{
	autostr text = {.max = BUNDLE_MAX};
	int r = 0;

	for (size_t i = 0; r == 0 && i < files->len; i++)
		r = append(files->v[i], has_system && i == 0, &text, why);
	if (r < 0)
		return r;
	/* Gone with its parent (a session that ended): a new one elsewhere. */
	if (b->dir && access(b->dir, F_OK) < 0)
		remove_dir(b);
	if (!b->dir) {
		r = make_dir(b);
		if (r < 0)
			return r;
	}
	if (b->names.len >= BUNDLES_MAX)
		return refuse(files->v[0], "changed too often", why);
	r = string_list_add_once(&b->names, name);
	if (r == 0)
		r = fd_replace_file(b->dirfd, name, text.buf, text.len);
	if (r < 0)
		log_error("%s/%s cannot be written: %s", b->dir, name,
			  strerror(-r));
	return r;
}

static int get(struct cabundle *b, const struct string_list *files,
	       bool has_system, char **ret, char *why)
{
	char name[NAME_LEN + 1];
	char *path;
	int r;

	r = name_of(files, name, why);
	if (r < 0)
		return r;
	if (!b->dir || faccessat(b->dirfd, name, R_OK, 0) < 0) {
		r = build(b, files, has_system, name, why);
		if (r < 0)
			return r;
	}
	path = str_printf("%s/%s", b->dir, name);
	if (!path)
		return -ENOMEM;
	*ret = path;
	return 0;
}

int cabundle_get(struct cabundle *b, const struct string_list *cas,
		 char **ret_path, char ret_why[CERTS_WHY_MAX])
{
	const char *system = system_bundle();
	autostrings files = {.v = NULL};
	int r = 0;

	if (system)
		r = string_list_add(&files, system);
	else
		log_warning("the system's CA bundle was not found");
	for (size_t i = 0; r == 0 && i < cas->len; i++)
		r = string_list_add(&files, cas->v[i]);
	if (r < 0)
		return r;
	autolock(&b->lock);
	return get(b, &files, system != NULL, ret_path, ret_why);
}
