/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capabilities(7), by hand: five system calls do not pay for a library.  Who
 * has user id 0 is given the whole bounding set by every execve, so that is
 * what has to shrink first.
 */
#include "util/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/log.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define BIT(cap) (UINT64_C(1) << (cap))
#define CAPS_MAX 64

void privilege_hide(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	if (!SANITIZED) /* its leak check traces the process */
		prctl(PR_SET_DUMPABLE, 0);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	umask(S_IRWXG | S_IRWXO);
}

static int get_permitted(uint64_t *ret)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*ret = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

/* Nothing stays inheritable, so nothing stays ambient. */
static int set_all(uint64_t caps)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{.permitted = (uint32_t)caps, .effective = (uint32_t)caps},
		{.permitted = (uint32_t)(caps >> 32),
		 .effective = (uint32_t)(caps >> 32)},
	};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* Where CAP_SETPCAP is missing somebody else has seen to the bounding set. */
static int bound(uint64_t caps)
{
	for (unsigned long cap = 0; cap < CAPS_MAX; cap++) {
		int there = prctl(PR_CAPBSET_READ, cap);

		if (there < 0) /* one more than this kernel has */
			break;
		if (there == 0 || caps & BIT(cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap) < 0)
			return errno == EPERM ? 0 : -errno;
	}
	return 0;
}

/* What is run by root from now on. */
static int bind_programs(uint64_t caps)
{
	int r = bound(caps);

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	return r;
}

int privilege_drop(bool look_at_callers)
{
	uint64_t keep = BIT(CAP_SYS_ADMIN) | BIT(CAP_DAC_READ_SEARCH), have = 0;
	int r;

	if (look_at_callers)
		keep |= BIT(CAP_SYS_PTRACE);
	r = get_permitted(&have);
	if (r == 0 && geteuid() == 0)
		r = bind_programs(keep);
	if (r == 0)
		r = set_all(have & keep);
	if (r < 0)
		log_error("privileges cannot be dropped: %s", strerror(-r));
	return r;
}
