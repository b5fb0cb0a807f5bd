/* SPDX-License-Identifier: MIT */
/*
 * The way in and out: a text or a file becomes a struct, and the struct is freed again.
 *
 * node.c makes a tree of the text, read.c fills the struct from it.
 */
#include "config/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void table_fini(const struct conf_table *table, void *conf);

static void key_fini(const struct conf_key *key, void *at)
{
	struct conf_strings *strings = at;
	struct conf_durations *durations = at;
	struct conf_items *items = at;
	struct conf_variants *variants = at;

	switch (key->type) {
	case CONF_STRING:
		free(*(char **)at);
		return;
	case CONF_SECRET:
		secret_fini(at);
		return;
	case CONF_STRINGS:
		for (size_t i = 0; i < strings->count; i++)
			free(strings->items[i]);
		free(strings->items);
		return;
	case CONF_DURATIONS:
		for (size_t i = 0; i < durations->count; i++)
			free(durations->items[i].name);
		free(durations->items);
		return;
	case CONF_TABLE:
		table_fini(key->table, at);
		return;
	case CONF_TABLES:
		for (size_t i = 0; i < items->count; i++)
			table_fini(key->table, (char *)items->items + i * key->table->size);
		free(items->items);
		return;
	case CONF_VARIANTS:
		for (size_t i = 0; i < variants->count; i++) {
			struct conf_variant_item *item = &variants->items[i];

			if (item->conf)
				(void)conf_destroy(item->variant->table, item->conf);
		}
		free(variants->items);
		return;
	default:
		return;
	}
}

static void table_fini(const struct conf_table *table, void *conf)
{
	for (const struct conf_key *k = table->keys; k->name; k++)
		key_fini(k, (char *)conf + k->offset);
}

void *conf_destroy(const struct conf_table *table, void *conf)
{
	if (conf)
		table_fini(table, conf);
	free(conf);
	return NULL;
}

int conf_parse(const struct conf_table *table, const struct conf_variant *variants, struct str text,
	       const char *filename, void **ret, struct err *e)
{
	struct reader r = { variants, e };
	struct conf_node *root = NULL;
	struct conf_where where = { .file = filename, .line = 1 };
	void *conf;
	int rc = node_parse(text, filename, &root, e);

	if (rc < 0)
		return rc;
	conf = calloc(1, table->size);
	where.node = root;
	where.line = root->line;
	rc = conf ? table_read(&r, table, &where, false, conf)
		  : err_set(e, -ENOMEM, "%s: out of memory", filename);
	(void)node_destroy(root);
	if (rc < 0) {
		(void)conf_destroy(table, conf);
		return rc;
	}
	*ret = conf;
	return 0;
}

static int file_read(int fd, struct buf *text)
{
	for (;;) {
		int rc = buf_reserve(text, 4096);
		ssize_t n;

		if (rc < 0)
			return rc;
		n = read(fd, buf_tail(text), 4096);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n > 0)
			buf_grew(text, (size_t)n);
	}
}

/* A FIFO that nobody writes to is an empty file; opening it must not wait. */
static int file_open(const char *filename)
{
	int fd = open(filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	(void)fcntl(fd, F_SETFL, 0);
	return fd;
}

int conf_read_file(const char *filename, struct buf *text, struct err *e)
{
	int fd = file_open(filename);
	int rc = fd < 0 ? fd : 0;

	/* One step more than is allowed, so that conf_parse sees that it is too long. */
	buf_init(text, CONF_TEXT_MAX + 8192);
	if (rc == 0)
		rc = file_read(fd, text);
	if (fd >= 0)
		(void)close(fd);
	if (rc == -ENOBUFS)
		return err_set(e, -EFBIG, "%s: the file is over 1 MiB", filename);
	return rc < 0 ? err_set(e, rc, "%s: can't be read: %s", filename, strerror(-rc)) : 0;
}

int conf_load(const struct conf_table *table, const struct conf_variant *variants,
	      const char *filename, void **ret, struct err *e)
{
	struct buf text;
	int rc = conf_read_file(filename, &text, e);

	if (rc == 0)
		rc = conf_parse(table, variants, buf_str(&text), filename, ret, e);
	if (text.base)
		explicit_bzero(text.base, text.cap);
	buf_fini(&text);
	return rc;
}
