/* SPDX-License-Identifier: MIT */
/*
 * Parsing answers of servers that we know: an answer is looked at only when it is whole, so there
 * is no state between pieces. Nearly all of them come in one piece.
 */
#include "answer.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bench.h"

struct head {
	size_t n;      /* with the empty line */
	size_t length; /* of the body, unless it is chunked */
	bool chunked;
};

/* The value of a header line of that name ("Etag:"), or NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(line, name, n) == 0 ? line + n + strspn(line + n, " ") : NULL;
}

static void copy_value(char *to, size_t size, const char *value)
{
	(void)snprintf(to, size, "%.*s", (int)strcspn(value, "\r"), value);
}

static bool read_head(struct answer *a, struct head *head, const char *text, size_t n)
{
	const char *end = memmem(text, n, "\r\n\r\n", 4), *value;

	if (!end)
		return false;
	*head = (struct head){ .n = (size_t)(end - text) + 4 };
	a->status = (int)strtol(text + strcspn(text, " "), NULL, 10);
	a->modified[0] = a->tag[0] = '\0';
	for (const char *line = memmem(text, n, "\r\n", 2); line < end;
	     line = memmem(line, n - (size_t)(line - text), "\r\n", 2)) {
		line += 2;
		if ((value = value_of(line, "Content-Length:")))
			head->length = strtoul(value, NULL, 10);
		else if (value_of(line, "Transfer-Encoding:"))
			head->chunked = true;
		else if ((value = value_of(line, "Last-Modified:")))
			copy_value(a->modified, sizeof(a->modified), value);
		else if ((value = value_of(line, "Etag:")))
			copy_value(a->tag, sizeof(a->tag), value);
	}
	return true;
}

/* The chunk at `at`: its data and where the next one begins; false: it is not all there. */
static bool next_chunk(const char *text, size_t n, size_t at, size_t *ret_data, size_t *ret_n,
		       size_t *ret_next)
{
	const char *line = memmem(text + at, n - at, "\r\n", 2);
	char *end;

	if (!line)
		return false;
	*ret_n = strtoul(text + at, &end, 16);
	if (end != line)
		die("a malformed chunk");
	*ret_data = (size_t)(line - text) + 2;
	*ret_next = *ret_data + *ret_n + 2;
	return *ret_next <= n;
}

static size_t chunked_end(const char *text, size_t n, size_t at)
{
	size_t data, length;

	while (next_chunk(text, n, at, &data, &length, &at))
		if (length == 0)
			return at;
	return 0;
}

static void tell_messages(struct answer *a, const char *text, size_t n)
{
	static const char key[] = ANSWER_STAMP;
	const char *end = text + n;

	while ((text = memmem(text, (size_t)(end - text), key, sizeof(key) - 1))) {
		text += sizeof(key) - 1;
		text += strspn(text, "\":=");
		a->messages++;
		if (a->on_message)
			a->on_message(a->arg, strtoull(text, NULL, 10));
	}
}

size_t answer_take(struct answer *a, const char *text, size_t n)
{
	size_t at, data, length, end;
	struct head head;

	if (!read_head(a, &head, text, n))
		return 0;
	a->messages = 0;
	end = head.chunked ? chunked_end(text, n, head.n) : head.n + head.length;
	if (end == 0 || end > n)
		return 0;
	if (!head.chunked)
		tell_messages(a, text + head.n, head.length);
	for (at = head.n; head.chunked && next_chunk(text, n, at, &data, &length, &at) && length;)
		tell_messages(a, text + data, length);
	return end;
}
