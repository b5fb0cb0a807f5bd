/* SPDX-License-Identifier: MIT */
/*
 * The table printer: all cells first, then the widths, then the lines.
 *
 * Widths count UTF-8 characters. The last column is never padded.
 */
#include "table.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

struct cell {
	size_t at, n; /* in table.text */
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	struct buf text;  /* all cells behind each other */
	struct buf cells; /* struct cell */
	int rc;
};

enum { TEXT_MAX = 16 << 20, CELLS_MAX = 4 << 20 };

struct table *table_create(const struct table_column *columns, size_t n)
{
	struct table *t = calloc(1, sizeof(*t));

	assert(n > 0 && n <= TABLE_COLUMNS_MAX);

	if (!t)
		return NULL;
	t->columns = columns;
	t->n_columns = n;
	buf_init(&t->text, TEXT_MAX);
	buf_init(&t->cells, CELLS_MAX);
	return t;
}

struct table *table_destroy(struct table *t)
{
	if (!t)
		return NULL;
	buf_fini(&t->text);
	buf_fini(&t->cells);
	free(t);
	return NULL;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t text_width(struct str s)
{
	size_t width = 0;

	if (!s.p)
		return 0;
	for (size_t i = 0; i < s.n; i++)
		width += !is_continuation(s.p[i]);
	return width;
}

int text_add_clean(struct buf *out, struct str s)
{
	bool utf8 = str_is_utf8(s);

	if (!s.p)
		return 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		/* U+0080 to U+009F are control characters as well, as two bytes. */
		bool c1 = c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;
		bool bad = c < 0x20 || c == 0x7f || c1 || (c >= 0x80 && !utf8);
		int rc = buf_addc(out, bad ? '?' : s.p[i]);

		if (rc < 0)
			return rc;
		i += utf8 && c1;
	}
	return 0;
}

void table_add(struct table *t, struct str s)
{
	struct cell cell = { .at = buf_len(&t->text) };

	if (t->rc < 0)
		return;
	if (s.n > TABLE_CELL_MAX)
		s.n = TABLE_CELL_MAX;
	t->rc = text_add_clean(&t->text, s);
	cell.n = buf_len(&t->text) - cell.at;
	if (t->rc == 0)
		t->rc = buf_add(&t->cells, str_make((const char *)&cell, sizeof(cell)));
}

void table_addf(struct table *t, const char *fmt, ...)
{
	char text[TABLE_CELL_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_add(t, str_from(text));
}

static size_t cell_count(const struct table *t)
{
	return buf_len(&t->cells) / sizeof(struct cell);
}

static struct str cell_text(const struct table *t, size_t i)
{
	struct str cells = buf_str(&t->cells);
	struct cell cell = { 0 };

	if (cells.p)
		memcpy(&cell, cells.p + i * sizeof(cell), sizeof(cell));
	return str_make(buf_str(&t->text).p + cell.at, cell.n);
}

static int add_spaces(struct buf *out, size_t n)
{
	int rc = 0;

	while (n-- > 0 && rc == 0)
		rc = buf_addc(out, ' ');
	return rc;
}

/* spaces is what earlier cells owe: it is paid only when something follows. */
static int put_cell(struct buf *out, struct str cell, size_t width, bool right, size_t *spaces)
{
	size_t pad = width - text_width(cell);
	int rc = 0;

	if (cell.n == 0) {
		*spaces += width + 2;
		return 0;
	}
	rc = add_spaces(out, *spaces + (right ? pad : 0));
	if (rc == 0)
		rc = buf_add(out, cell);
	*spaces = 2 + (right ? 0 : pad);
	return rc;
}

static int put_titles(const struct table *t, const size_t *widths, bool bold, struct buf *out)
{
	size_t spaces = 0;
	int rc = bold ? buf_add(out, STR("\x1b[1m")) : 0;

	for (size_t c = 0; c < t->n_columns && rc == 0; c++)
		rc = put_cell(out, str_from(t->columns[c].title), widths[c], t->columns[c].right,
			      &spaces);
	if (rc == 0 && bold)
		rc = buf_add(out, STR("\x1b[0m"));
	return rc < 0 ? rc : buf_addc(out, '\n');
}

static int put_row(const struct table *t, size_t first, const size_t *widths, struct buf *out)
{
	size_t spaces = 0;
	int rc = 0;

	for (size_t c = 0; c < t->n_columns && rc == 0; c++)
		rc = put_cell(out, cell_text(t, first + c), widths[c], t->columns[c].right,
			      &spaces);
	return rc < 0 ? rc : buf_addc(out, '\n');
}

int table_write(const struct table *t, bool bold_titles, struct buf *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };
	size_t n = cell_count(t);
	int rc = t->rc;

	assert(t->n_columns > 0);
	for (size_t c = 0; c < t->n_columns; c++)
		widths[c] = text_width(str_from(t->columns[c].title));
	for (size_t i = 0; i < n; i++) {
		size_t width = text_width(cell_text(t, i));

		if (width > widths[i % t->n_columns])
			widths[i % t->n_columns] = width;
	}
	if (rc == 0)
		rc = put_titles(t, widths, bold_titles, out);
	for (size_t i = 0; i + t->n_columns <= n && rc == 0; i += t->n_columns)
		rc = put_row(t, i, widths, out);
	return rc;
}
