/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One line per event, on stderr (foreground) or syslog (background).  Control
 * characters in arguments are escaped as \xNN, so nothing a registry sends can
 * forge a line.  Never pass a token, a password or a signed URL.  Any thread.
 */
enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
int log_level_parse(const char *s, enum log_level *ret); /* -EINVAL */
/* From now on to syslog as `ident` (kept, not copied). */
void log_to_syslog(const char *ident);

void log_write(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
