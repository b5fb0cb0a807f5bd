/* SPDX-License-Identifier: MIT */
/*
 * Aligned columns for people. Cells hold any bytes; control characters are shown as '?', so that
 * a caller's name can't talk to the terminal.
 */
#ifndef VOXBUS_CLI_TABLE_H
#define VOXBUS_CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/str.h"

struct table;

struct table_column {
	const char *title;
	bool right; /* numbers */
};

enum { TABLE_COLUMNS_MAX = 12, TABLE_CELL_MAX = 512 };

/* columns outlive the table; n <= TABLE_COLUMNS_MAX. NULL: no memory. */
struct table *table_create(const struct table_column *columns, size_t n);
struct table *table_destroy(struct table *table);
/* Cells come row by row, left to right. Copies. Errors are kept for table_write. */
void table_add(struct table *table, struct str cell);
void table_addf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Titles and rows, no space at the ends of lines: 0, -ENOMEM, -ENOBUFS. */
int table_write(const struct table *table, bool bold_titles, struct buf *out);

/* Characters that it takes on a terminal: one for each UTF-8 character. */
size_t text_width(struct str s);
/* Appends with control characters as '?'. 0 or as buf_add. */
int text_add_clean(struct buf *out, struct str s);

#endif
