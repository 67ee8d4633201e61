/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the user asked for: command line, -o words, configuration file, all
 * from one const table, which also prints --help.  Command line beats file.
 * In names '-' and '_' are alike.  -o words that are neither ours nor x-* are
 * handed on to FUSE in `fuse_opts`.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/stringlist.h"
#include "oci/platform.h"
#include "util/log.h"

enum verify_mode { VERIFY_LAZY, VERIFY_STRICT };

struct options {
	char *source; /* "HOST[/REPOSITORY]" canonical, or NULL: all hosts */
	char *mountpoint; /* absolute */
	bool foreground;  /* -f */
	bool debug;	  /* -d: libfuse's own trace, implies foreground */
	bool help, version;
	bool read_only;		/* ro: nothing can be written */
	bool allow_delete;	/* removing and renaming what is published */
	bool copy_referrers;	/* a copied image takes its referrers along */
	bool create_repository; /* that a push finds missing; default yes */
	bool allow_other;
	/* For FUSE, escaped as it wants them: "nosuid,nodev" always, "ro", with
	 * allow_other "allow_other,default_permissions", then other words. */
	char *fuse_opts;

	char *config;		 /* file that was read, or NULL */
	char *cache_dir;	 /* absolute; NULL: ask options_cache_dir */
	uint64_t cache_size;	 /* bytes; default 10 GiB */
	uint64_t cache_min_free; /* bytes left to others on that disk; 1 GiB */
	uint64_t spool_size; /* bytes written and not yet confirmed; 64 GiB */
	unsigned tag_ttl_s;  /* 60; 0: every look-up asks */
	bool has_platform;
	struct platform platform; /* default: platform_host */
	char *authfile, *cert_dir;
	char *mirror; /* "[http[s]://]HOST[:PORT][/PATH]": holds everything */
	struct string_list allow;      /* patterns */
	struct string_list plain_http; /* host patterns */
	struct string_list insecure;   /* host patterns */
	bool offline, nolist;
	bool colon_plus; /* colon=+ : list names with '+' */
	enum verify_mode verify;
	unsigned timeout_s; /* 20: budget of a metadata operation; other network
			       times are in proportion (see options_times) */
	unsigned retries;   /* attempts in all, 5 */
	uint64_t prefetch;  /* bytes of read-ahead per reader at most; 64 MiB */
	/* What is inside a layer may be so large, or is refused. */
	uint64_t layer_entries; /* of one layer or image; 4 Mi */
	uint64_t layer_ratio;	/* decoded bytes for each compressed one, once
				   there is over 1 GiB of them; 256 */
	uint64_t layer_size;	/* decoded bytes of one layer; 256 GiB */
	unsigned max_threads; /* FUSE requests under way at most, 64 to 4096 */
	enum log_level log_level;
};

/* All network times, in ms, in proportion to timeout_s (faults.md 3). */
struct option_times {
	unsigned connect, tls, first_byte, stall; /* 5 10 15 30 s at 20 */
	unsigned meta_budget;	/* look-up, getattr, readdir, open: 20 s */
	unsigned read_budget;	/* without progress: 60 s */
	unsigned commit_budget; /* of what is sent, likewise: 120 s */
	unsigned retry_base, retry_cap; /* 500 ms, 30 s */
};
void options_times(const struct options *o, struct option_times *ret);

/*
 * argv[0] is skipped.  0, or -EINVAL after one readable line on stderr (file
 * and line, or the word).  `ret` must be zeroed by options_done in any case.
 */
int options_parse(int argc, char **argv, struct options *ret);
/* May it be mounted there?  Else -EINVAL, likewise. */
int options_check_place(const struct options *o);
void options_done(struct options *o);
int options_print_help(void); /* on stdout */
/*
 * cache_dir=, or the default: /var/cache/registryfs/NAME for root,
 * ${XDG_CACHE_HOME:-~/.cache}/registryfs/NAME for others; NAME is made of
 * source and mountpoint, so that two mounts do not meet by default.
 */
int options_cache_dir(const struct options *o, char **ret);
