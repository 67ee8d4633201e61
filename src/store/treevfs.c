/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last eight bytes of a page, which SQLite leaves to us, hold a sum over
 * the others and the page's place.  It finds what a disk or a crash did, not
 * what somebody did on purpose; against that all that is read is checked for
 * bounds.  Native byte order: on another machine it is a damaged file.
 */
#include "store/treevfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "util/fd.h"

#define VFS_NAME "registryfs-tree"
#define LANES 4
/* So much may be written before the free space is looked at again. */
#define LOOK_BYTES ((uint64_t)16 << 20)
/* SQLite reads these parts of the first page on their own. */
#define HEADER_BYTES 100
#define VERSION_OFF 24
#define VERSION_BYTES 16

struct treefile {
	sqlite3_file base;
	int fd;
	bool sealed;
	uint64_t min_free;
	uint64_t unchecked_bytes; /* written since free space was looked at */
};

static int vfs_errno(int error, int otherwise)
{
	if (error == -ENOSPC || error == -EDQUOT || error == -EFBIG)
		return SQLITE_FULL;
	return otherwise;
}

/* Every step is a bijection of the word, so no single wrong word passes. */
uint64_t treevfs_sum(const uint8_t *page, uint64_t off)
{
	static const uint64_t odd = 0x9e3779b97f4a7c15u;
	uint64_t lane[LANES] = {off + 1, off + 2, off + 3, off + 4}, sum = off;

	for (size_t i = 0; i < TREE_PAGE_BYTES; i += sizeof(lane)) {
		uint64_t word[LANES];

		memcpy(word, page + i, sizeof(word));
		/* Where the sum itself is. */
		if (i == TREE_PAGE_BYTES - sizeof(lane))
			word[LANES - 1] = 0;
		for (size_t l = 0; l < LANES; l++) {
			lane[l] = (lane[l] ^ word[l]) * odd;
			lane[l] ^= lane[l] >> 29;
		}
	}
	for (size_t l = 0; l < LANES; l++) {
		sum = (sum ^ lane[l]) * odd;
		sum ^= sum >> 32;
	}
	return sum;
}

static bool page_sound(const struct treefile *f, const uint8_t *page,
		       uint64_t off)
{
	static const uint8_t zero[TREE_PAGE_BYTES];
	uint64_t sum;

	memcpy(&sum, page + TREE_PAGE_BYTES - TREE_SUM_BYTES, sizeof(sum));
	if (sum == treevfs_sum(page, off))
		return true;
	/* Pages that were given back before they were ever written are holes,
	 * until the file is whole. */
	return !f->sealed && memcmp(page, zero, sizeof(zero)) == 0;
}

/* The descriptor is the tree's. */
static int file_close(sqlite3_file *file)
{
	(void)file;
	return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *buf, int len, sqlite3_int64 off)
{
	struct treefile *f = (struct treefile *)file;
	bool page = len == TREE_PAGE_BYTES && off % TREE_PAGE_BYTES == 0;
	ssize_t n;

	/* Anything else means that the header lies about the pages. */
	if (!page && !(off == 0 && len == HEADER_BYTES) &&
	    !(off == VERSION_OFF && len == VERSION_BYTES))
		return SQLITE_IOERR_DATA;
	n = fd_pread_all(f->fd, buf, (size_t)len, (uint64_t)off);
	if (n < 0)
		return SQLITE_IOERR_READ;
	if (n < len) {
		memset((char *)buf + n, 0, (size_t)len - (size_t)n);
		return SQLITE_IOERR_SHORT_READ;
	}
	if (page && !page_sound(f, buf, (uint64_t)off))
		return SQLITE_IOERR_DATA;
	return SQLITE_OK;
}

static bool has_room(struct treefile *f)
{
	struct statvfs v;

	if (f->unchecked_bytes < LOOK_BYTES)
		return true;
	f->unchecked_bytes = 0;
	return fstatvfs(f->fd, &v) < 0 ||
	       (uint64_t)v.f_bavail * v.f_frsize >= f->min_free;
}

static int file_write(sqlite3_file *file, const void *buf, int len,
		      sqlite3_int64 off)
{
	struct treefile *f = (struct treefile *)file;
	uint8_t page[TREE_PAGE_BYTES];
	uint64_t sum;
	int r;

	if (f->sealed || len != TREE_PAGE_BYTES || off % TREE_PAGE_BYTES != 0)
		return SQLITE_IOERR_WRITE;
	if (!has_room(f))
		return SQLITE_FULL;
	memcpy(page, buf, sizeof(page));
	sum = treevfs_sum(page, (uint64_t)off);
	memcpy(page + TREE_PAGE_BYTES - TREE_SUM_BYTES, &sum, sizeof(sum));
	r = fd_pwrite_all(f->fd, page, sizeof(page), (uint64_t)off);
	f->unchecked_bytes += sizeof(page);
	return r < 0 ? vfs_errno(r, SQLITE_IOERR_WRITE) : SQLITE_OK;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct treefile *f = (struct treefile *)file;

	return ftruncate(f->fd, size) < 0 ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

/* Durable only when it is sealed; then whoever seals it sees to that. */
static int file_sync(sqlite3_file *file, int flags)
{
	(void)file;
	(void)flags;
	return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	struct treefile *f = (struct treefile *)file;
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return SQLITE_IOERR_FSTAT;
	*ret = st.st_size;
	return SQLITE_OK;
}

/* Nobody else writes it: it has no name yet, or never changes again. */
static int file_lock(sqlite3_file *file, int level)
{
	(void)file;
	(void)level;
	return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *file, int *ret)
{
	(void)file;
	*ret = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	(void)file;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file)
{
	(void)file;
	return TREE_PAGE_BYTES;
}

static int file_traits(sqlite3_file *file)
{
	struct treefile *f = (struct treefile *)file;

	return f->sealed ? SQLITE_IOCAP_IMMUTABLE
			 : SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_is_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
};

/* Only the database itself: journals and temporary files are not wanted. */
static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
		    int flags, int *ret_flags)
{
	struct treefile *f = (struct treefile *)file;

	(void)vfs;
	memset(f, 0, sizeof(*f));
	if (!name || !(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	f->fd = (int)sqlite3_uri_int64(name, "fd", -1);
	if (f->fd < 0)
		return SQLITE_CANTOPEN;
	f->min_free = (uint64_t)sqlite3_uri_int64(name, "free", 0);
	f->sealed = (flags & SQLITE_OPEN_READONLY) != 0;
	f->base.pMethods = &methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	(void)vfs;
	(void)name;
	(void)sync_dir;
	return SQLITE_IOERR_DELETE_NOENT;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	(void)vfs;
	(void)name;
	(void)flags;
	*ret = 0;
	return SQLITE_OK;
}

static int vfs_full_name(sqlite3_vfs *vfs, const char *name, int size,
			 char *out)
{
	(void)vfs;
	snprintf(out, (size_t)size, "%s", name);
	return SQLITE_OK;
}

static sqlite3_vfs vfs_of_trees = {
	.iVersion = 2,
	.szOsFile = sizeof(struct treefile),
	.mxPathname = 64,
	.zName = VFS_NAME,
	.xOpen = vfs_open,
	.xDelete = vfs_delete,
	.xAccess = vfs_access,
	.xFullPathname = vfs_full_name,
};

static void register_vfs(void)
{
	const sqlite3_vfs *usual = sqlite3_vfs_find(NULL);

	if (!usual)
		return;
	vfs_of_trees.xRandomness = usual->xRandomness;
	vfs_of_trees.xSleep = usual->xSleep;
	vfs_of_trees.xCurrentTime = usual->xCurrentTime;
	vfs_of_trees.xGetLastError = usual->xGetLastError;
	vfs_of_trees.xCurrentTimeInt64 = usual->xCurrentTimeInt64;
	(void)sqlite3_vfs_register(&vfs_of_trees, 0);
}

int treevfs_open(int fd, bool sealed, uint64_t min_free, struct sqlite3 **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		    SQLITE_OPEN_URI | SQLITE_OPEN_PRIVATECACHE;
	int reserve = TREE_SUM_BYTES, rc;
	char name[96];

	pthread_once(&once, register_vfs);
	flags |= sealed ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	snprintf(name, sizeof(name), "file:tree?fd=%d&free=%llu", fd,
		 (unsigned long long)(min_free & INT64_MAX));
	rc = sqlite3_open_v2(name, ret, flags, VFS_NAME);
	if (rc == SQLITE_OK && !sealed)
		rc = sqlite3_file_control(*ret, "main",
					  SQLITE_FCNTL_RESERVE_BYTES, &reserve);
	return rc;
}
