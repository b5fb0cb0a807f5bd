/* SPDX-License-Identifier: MIT */
/*
 * Turning key=%conversion pairs into logfmt or JSON.
 *
 * The format string is walked pair by pair; each conversion is printed alone into a small buffer
 * with the argument it takes from the va_list, so that the value is known apart from its key and
 * can be quoted. A line is built in one buffer and written by one write, so that lines of several
 * threads never mix. A line that does not fit is cut, never refused.
 */
#include "base/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { LINE_MAX_BYTES = 4096, VALUE_MAX = 1536, SPEC_MAX = 24 };

struct log {
	char *logfmt; /* " key=value" pairs, ready to print */
	char *json;   /* ,"key":"value" pairs */
};

struct line {
	char text[LINE_MAX_BYTES];
	size_t n;
};

static enum log_level min_level = LOG_INFO;
static enum log_format out_format = LOG_LOGFMT;
static FILE *out_file;
static atomic_ulong counts[LOG_ERROR + 1];

void log_setup(enum log_level level, enum log_format format, FILE *out)
{
	min_level = level;
	out_format = format;
	out_file = out;
}

bool log_enabled(enum log_level level)
{
	return level >= min_level;
}

unsigned long log_count(enum log_level level)
{
	return atomic_load(&counts[level]);
}

static void put(struct line *l, const char *p, size_t n)
{
	size_t room = sizeof(l->text) - 2 - l->n; /* the newline always fits */

	if (n > room)
		n = room;
	memcpy(l->text + l->n, p, n);
	l->n += n;
}

static void puts_line(struct line *l, const char *c)
{
	put(l, c, strlen(c));
}

/* Both formats quote alike: JSON's rules; logfmt readers take them too. */
static void put_quoted(struct line *l, const char *v)
{
	puts_line(l, "\"");
	for (; *v; v++) {
		unsigned char c = (unsigned char)*v;
		char esc[8];

		if (c == '"' || c == '\\')
			(void)snprintf(esc, sizeof(esc), "\\%c", c);
		else if (c == '\n')
			(void)snprintf(esc, sizeof(esc), "\\n");
		else if (c < 0x20 || c == 0x7f)
			(void)snprintf(esc, sizeof(esc), "\\u%04x", c);
		else
			(void)snprintf(esc, sizeof(esc), "%c", c);
		puts_line(l, esc);
	}
	puts_line(l, "\"");
}

static bool is_plain(const char *v)
{
	if (!*v)
		return false;
	for (; *v; v++)
		if ((unsigned char)*v <= ' ' || *v == '"' || *v == '=' || *v == '\\' || *v == 0x7f)
			return false;
	return true;
}

static void put_pair(struct line *l, enum log_format format, const char *key, size_t key_n,
		     const char *value, bool number)
{
	puts_line(l, format == LOG_JSON ? ",\"" : " ");
	put(l, key, key_n);
	puts_line(l, format == LOG_JSON ? "\":" : "=");
	if (format == LOG_JSON ? number : is_plain(value))
		puts_line(l, value);
	else
		put_quoted(l, value);
}

/* The length modifier decides which type the caller passed. */
static void print_integer(char out[VALUE_MAX], const char *spec, va_list *ap)
{
	if (strstr(spec, "ll") || strchr(spec, 'j'))
		(void)snprintf(out, VALUE_MAX, spec, va_arg(*ap, long long));
	else if (strchr(spec, 'l') || strchr(spec, 'z'))
		(void)snprintf(out, VALUE_MAX, spec, va_arg(*ap, long));
	else
		(void)snprintf(out, VALUE_MAX, spec, va_arg(*ap, int));
}

static void print_string(char out[VALUE_MAX], const char *spec, va_list *ap)
{
	if (strstr(spec, ".*")) {
		int n = va_arg(*ap, int);
		const char *s = va_arg(*ap, const char *);

		(void)snprintf(out, VALUE_MAX, "%.*s", n, s ? s : "");
	} else {
		const char *s = va_arg(*ap, const char *);

		(void)snprintf(out, VALUE_MAX, "%s", s ? s : "");
	}
}

/* Prints the conversion at *fmt (behind "key=") and moves *fmt behind it; true for a number. */
static bool print_value(char out[VALUE_MAX], const char **fmt, va_list *ap)
{
	char spec[SPEC_MAX];
	size_t n = 0;
	bool number = true;
	const char *p = *fmt;

	out[0] = '\0';
	while (*p && n < SPEC_MAX - 1) {
		spec[n++] = *p++;
		if (n > 1 && isalpha((unsigned char)p[-1]) && !strchr("lzjh", p[-1]))
			break;
	}
	spec[n] = '\0';
	*fmt = p;
	switch (spec[n - 1]) {
	case 's':
		print_string(out, spec, ap);
		number = false;
		break;
	case 'f':
		(void)snprintf(out, VALUE_MAX, spec, va_arg(*ap, double));
		break;
	case 'c':
		number = false;
		__attribute__((fallthrough));
	default:
		print_integer(out, spec, ap);
	}
	return number && spec[n - 1] != 'x';
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void put_fields(struct line *l, enum log_format format, const char *fmt, va_list *ap)
{
	char value[VALUE_MAX];

	while (*fmt) {
		const char *key = fmt, *eq = strchr(fmt, '=');
		bool number;

		if (!eq || eq[1] != '%') { /* our own mistake in a format: print it as it is */
			put_pair(l, format, "text", 4, fmt, false);
			return;
		}
		fmt = eq + 1;
		number = print_value(value, &fmt, ap);
		put_pair(l, format, key, (size_t)(eq - key), value, number);
		while (*fmt == ' ')
			fmt++;
	}
}
#pragma GCC diagnostic pop

static char *fields_dup(enum log_format format, const char *before, const char *fmt, va_list ap)
{
	struct line l = { .n = 0 };
	va_list copy;

	puts_line(&l, before);
	va_copy(copy, ap);
	put_fields(&l, format, fmt, &copy);
	va_end(copy);
	l.text[l.n] = '\0';
	return strdup(l.text);
}

struct log *log_create(const struct log *parent, const char *fmt, ...)
{
	struct log *log = calloc(1, sizeof(*log));
	va_list ap;

	if (!log)
		return NULL;
	va_start(ap, fmt);
	log->logfmt = fields_dup(LOG_LOGFMT, parent ? parent->logfmt : "", fmt, ap);
	log->json = fields_dup(LOG_JSON, parent ? parent->json : "", fmt, ap);
	va_end(ap);
	if (!log->logfmt || !log->json)
		log = log_destroy(log);
	return log;
}

struct log *log_destroy(struct log *log)
{
	if (log) {
		free(log->logfmt);
		free(log->json);
		free(log);
	}
	return NULL;
}

void log_write(const struct log *log, enum log_level level, const char *event, const char *fmt, ...)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	enum log_format format = out_format;
	struct line l = { .n = 0 };
	char ts[CLOCK_RFC3339_SIZE];
	va_list ap;

	if (!log_enabled(level))
		return;
	atomic_fetch_add(&counts[level], 1);
	clock_rfc3339(ts, clock_wall_ns(), 3);
	puts_line(&l, format == LOG_JSON ? "{\"ts\":\"" : "ts=");
	puts_line(&l, ts);
	puts_line(&l, format == LOG_JSON ? "\"" : "");
	put_pair(&l, format, "level", 5, names[level], false);
	put_pair(&l, format, "event", 5, event, false);
	if (log)
		puts_line(&l, format == LOG_JSON ? log->json : log->logfmt);
	va_start(ap, fmt);
	put_fields(&l, format, fmt, &ap);
	va_end(ap);
	if (format == LOG_JSON)
		puts_line(&l, "}");
	l.text[l.n++] = '\n';
	(void)fwrite(l.text, 1, l.n, out_file ? out_file : stderr);
	(void)fflush(out_file ? out_file : stderr);
}
