/* SPDX-License-Identifier: MIT */
/*
 * One line an occurrence: a fixed event name, then fields, in logfmt or JSON, to standard error.
 *
 *     log_warn(port->log, "link lost", "peer=%s silent_ms=%" PRIu64 " then=%s", peer, ms, "retry");
 *
 * The format is a list of key=%conversion pairs separated by single spaces; values are quoted as
 * the output format needs, so that a value may hold spaces and quotes. Conversions: %s, %.*s, %d,
 * %i, %u, %x, %c, %f (with precision) and the lengths l, ll, z, j and h.
 * The context (port, dialog) lies in the handle and is put in front.
 * Levels: error = somebody must act; warn = something was lost or degraded; info = a state
 * changed; debug = anything per message. Secrets never go in.
 * All functions may be called from any thread; setup comes first.
 */
#ifndef VOXBUS_BASE_LOG_H
#define VOXBUS_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log;

/* Before it: level info, logfmt, stderr. */
void log_setup(enum log_level level, enum log_format format, FILE *out);
bool log_enabled(enum log_level level);
/*
 * A handle whose fields stand in each of its lines after those of its parent (may be NULL); the
 * fields are copied. NULL when memory is out, and NULL is a good handle.
 */
struct log *log_create(const struct log *parent, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
struct log *log_destroy(struct log *log);
void log_write(const struct log *log, enum log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Lines written since the start, by level: for metrics. */
unsigned long log_count(enum log_level level);

#define log_debug(log, event, ...)                                         \
	do {                                                               \
		if (log_enabled(LOG_DEBUG))                                \
			log_write((log), LOG_DEBUG, (event), __VA_ARGS__); \
	} while (0)
#define log_info(log, event, ...)  log_write((log), LOG_INFO, (event), __VA_ARGS__)
#define log_warn(log, event, ...)  log_write((log), LOG_WARN, (event), __VA_ARGS__)
#define log_error(log, event, ...) log_write((log), LOG_ERROR, (event), __VA_ARGS__)

#endif
