/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The callbacks in one table, and those of the session as a whole.  Each
 * unwraps, calls the node and replies, nothing else.  Handlers may wait for
 * the network; each call carries its caller's patience, and an INTERRUPT from
 * the kernel reaches that.
 */
#include "fs/ops.h"

#include <sys/statvfs.h>

#include "util/auto.h"

#define STATFS_BLOCK 4096

static bool written_here(const struct fs *fs)
{
	return fs->outbox && !fs->options->read_only;
}

/* Room for what is written and not yet with a registry: what the spool may
 * hold, and what its disk leaves. */
static void spool_room(const struct fs *fs, struct statvfs *st)
{
	const struct options *o = fs->options;
	autofree char *dir = NULL;
	struct statvfs disk;
	uint64_t room = o->spool_size, left;

	if (options_cache_dir(o, &dir) < 0 || statvfs(dir, &disk) < 0)
		return;
	left = (uint64_t)disk.f_bavail * disk.f_frsize;
	left = left > o->cache_min_free ? left - o->cache_min_free : 0;
	if (left < room)
		room = left;
	st->f_blocks = o->spool_size / STATFS_BLOCK;
	st->f_bfree = st->f_bavail = room / STATFS_BLOCK;
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct fs *fs = fuse_req_userdata(req);
	struct statvfs st = {.f_bsize = STATFS_BLOCK,
			     .f_frsize = STATFS_BLOCK,
			     .f_namemax = NAME_MAX,
			     .f_flag = ST_NOSUID};

	(void)ino;
	if (written_here(fs))
		spool_room(fs, &st);
	else
		st.f_flag |= ST_RDONLY;
	fuse_reply_statfs(req, &st);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const struct fs *fs = userdata;
	/* splice is slower than a plain write from a buffer, and nothing here
	 * changes behind the kernel's back (limits.md 0.4).  With a write-back
	 * cache errors would come late and from nobody. */
	static const unsigned unwanted =
		FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
		FUSE_CAP_SPLICE_MOVE | FUSE_CAP_AUTO_INVAL_DATA |
		FUSE_CAP_WRITEBACK_CACHE;
	static const unsigned wanted =
		FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS |
		FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
		FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_CACHE_SYMLINKS |
		FUSE_CAP_ATOMIC_O_TRUNC;

	/* Not FUSE_CAP_POSIX_ACL: it brings default_permissions with it, and
	 * whoever mounts without allow_other may read everything. */

	conn->want &= ~unwanted;
	conn->want |= wanted & conn->capable;
	conn->time_gran = 1;
	/* Read-ahead counts as background: its limit must not be where readers
	 * of a dead registry block those of a live one. */
	conn->max_background = fs->options->max_threads;
	conn->congestion_threshold = fs->options->max_threads;
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = op_init,
	.statfs = op_statfs,
	.ioctl = op_ioctl,

	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.access = op_access,
	.readlink = op_readlink,

	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,

	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,

	.open = op_open,
	.read = op_read,
	.flush = op_flush,
	.fsync = op_fsync,
	.release = op_release,

	.create = op_create,
	.write = op_write,
	.copy_file_range = op_copy_file_range,
	.setattr = op_setattr,

	.mkdir = op_mkdir,
	.mknod = op_mknod,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
};
