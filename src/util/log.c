/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is formatted and escaped on the stack and leaves in one write, so
 * lines of several threads do not mix and logging works without memory.  What
 * is longer than a line is cut.
 */
#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "util/encode.h"
#include "util/fd.h"

#define LOG_TEXT_MAX 1024
/* Escaping makes four bytes of one; the rest is for prefix and newline. */
#define LOG_LINE_MAX (4 * LOG_TEXT_MAX + 64)

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", LOG_ERR},
	[LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
	[LOG_LEVEL_INFO] = {"info", LOG_INFO},
	[LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

static _Atomic int current_level = LOG_LEVEL_WARNING;
static atomic_bool use_syslog;

void log_set_level(enum log_level level)
{
	atomic_store(&current_level, (int)level);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load(&current_level);
}

int log_level_parse(const char *s, enum log_level *ret)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		if (strcmp(s, levels[i].name) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_to_syslog(const char *ident)
{
	openlog(ident, LOG_PID, LOG_DAEMON);
	atomic_store(&use_syslog, true);
}

/*
 * Copies text, with everything that a terminal or a line reader could take
 * for a command as \xNN: C0, DEL, C1 (in UTF-8: C2 80 to C2 9F) and bytes that
 * are no UTF-8.  Returns the length.
 */
static size_t escape(const char *text, size_t n, char *out)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = 0;

	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)text[i];
		size_t k = utf8_plain(text + i, n - i);

		if (k == 0) {
			out[len++] = '\\';
			out[len++] = 'x';
			out[len++] = hex[c >> 4];
			out[len++] = hex[c & 15];
			i++;
			continue;
		}
		memcpy(out + len, text + i, k);
		len += k;
		i += k;
	}
	return len;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char text[LOG_TEXT_MAX], line[LOG_LINE_MAX];
	int saved_errno = errno;
	size_t prefix, n;
	va_list ap;
	int r;

	if ((int)level > atomic_load(&current_level))
		return;
	va_start(ap, fmt);
	r = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r < 0)
		return;
	n = strlen(text);
	if (atomic_load(&use_syslog)) {
		line[escape(text, n, line)] = 0;
		syslog(levels[level].priority, "%s", line);
	} else {
		snprintf(line, sizeof(line),
			 "registryfs: %s: ", levels[level].name);
		prefix = strlen(line);
		n = prefix + escape(text, n, line + prefix);
		line[n++] = '\n';
		/* Nobody is left to tell if this fails. */
		(void)fd_write_all(STDERR_FILENO, line, n);
	}
	errno = saved_errno;
}
