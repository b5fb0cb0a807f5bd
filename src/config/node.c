/* SPDX-License-Identifier: MIT */
/*
 * YAML text to a small tree that remembers lines.
 *
 * libyaml's events are stacked up without recursion, so depth and size are bounded here. What our
 * files don't need is refused by name: anchors, aliases, tags, second documents. Scalars are
 * replaced from the environment on their way in, after libyaml has read them.
 */
#include "config/config_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

enum {
	NODES_MAX = 20000,
	SCALAR_MAX = 64 << 10,
};

struct builder {
	const char *file;
	struct str text;
	struct err *e;
	struct conf_node *root;
	struct conf_node *stack[CONF_DEPTH_MAX];
	size_t depth, nodes, documents;
	char *key; /* of the mapping on top, waits for its value */
	size_t key_line;
};

struct conf_node *node_destroy(struct conf_node *node)
{
	/* Children are spliced in front of the siblings: no recursion. */
	while (node) {
		struct conf_node *next = node->next;

		if (node->last) {
			node->last->next = next;
			next = node->first;
		}
		if (node->text)
			explicit_bzero(node->text, strlen(node->text));
		free(node->text);
		free(node->key);
		free(node);
		node = next;
	}
	return NULL;
}

const struct conf_node *node_find(const struct conf_node *node, const char *key)
{
	for (node = node ? node->first : NULL; node; node = node->next) {
		if (node->key && !strcmp(node->key, key))
			return node;
	}
	return NULL;
}

size_t node_count(const struct conf_node *node)
{
	size_t n = 0;

	for (node = node->first; node; node = node->next)
		n++;
	return n;
}

static int fail(struct builder *b, size_t line, int rc, const char *what)
{
	return err_set(b->e, rc, "%s:%zu: %s", b->file, line, what);
}

static size_t line_at(struct str text, size_t offset)
{
	size_t line = 1;

	for (size_t i = 0; i < text.n && i < offset; i++)
		line += text.p[i] == '\n';
	return line;
}

static bool tab_indents(struct str text, size_t line)
{
	struct str row = { NULL, 0 };

	for (size_t i = 0; i < line && text.p; i++)
		row = str_cut(&text, '\n');
	while (row.n && *row.p == ' ')
		row = str_skip(row, 1);
	return row.n && *row.p == '\t';
}

static int fail_yaml(struct builder *b, const yaml_parser_t *yaml)
{
	size_t line = yaml->problem_mark.line + 1;

	if (yaml->error == YAML_MEMORY_ERROR)
		return err_set(b->e, -ENOMEM, "%s: out of memory", b->file);
	if (yaml->error == YAML_READER_ERROR)
		line = line_at(b->text, yaml->problem_offset);
	if (tab_indents(b->text, line))
		return fail(b, line, -EBADMSG, "a tab in the indentation, must be spaces");
	return err_set(b->e, -EBADMSG, "%s:%zu: not YAML: %s%s%s", b->file, line,
		       yaml->context ? yaml->context : "", yaml->context ? ": " : "",
		       yaml->problem ? yaml->problem : "unknown problem");
}

/* Hangs a new node under the one on top, or makes it the root. */
static int node_add(struct builder *b, enum node_kind kind, size_t line, struct conf_node **ret)
{
	struct conf_node *parent = b->depth ? b->stack[b->depth - 1] : NULL;
	struct conf_node *node;

	if (parent && parent->kind == NODE_MAP && !b->key)
		return fail(b, line, -EINVAL, "a list or mapping stands where a key must be");
	if (++b->nodes > NODES_MAX)
		return fail(b, line, -EFBIG, "over 20000 values, must be fewer");
	node = calloc(1, sizeof(*node));
	if (!node)
		return err_set(b->e, -ENOMEM, "%s: out of memory", b->file);
	node->kind = kind;
	node->line = line;
	node->key = b->key;
	node->key_line = b->key_line;
	b->key = NULL;
	if (!parent)
		b->root = node;
	else if (!parent->first)
		parent->first = node;
	else
		parent->last->next = node;
	if (parent)
		parent->last = node;
	*ret = node;
	return 0;
}

static int on_start(struct builder *b, enum node_kind kind, size_t line)
{
	struct conf_node *node = NULL;
	int rc;

	if (b->depth == CONF_DEPTH_MAX)
		return fail(b, line, -EFBIG, "nested too deep, must be at most 16 levels");
	rc = node_add(b, kind, line, &node);
	if (rc < 0 || !node)
		return rc;
	b->stack[b->depth++] = node;
	return 0;
}

static int scalar_text(struct builder *b, struct str raw, size_t line, char **ret)
{
	struct buf out;
	struct err why;
	int rc;

	buf_init(&out, SCALAR_MAX);
	rc = env_expand(raw, &out, &why);
	if (rc == -EINVAL)
		(void)err_set(b->e, rc, "%s:%zu: %s", b->file, line, why.text);
	else if (rc == -ENOBUFS)
		rc = fail(b, line, -EFBIG, "a value is over 64 KiB");
	if (rc == 0) {
		*ret = str_dup(buf_str(&out));
		rc = *ret ? 0 : -ENOMEM;
	}
	if (rc == -ENOMEM)
		(void)err_set(b->e, rc, "%s: out of memory", b->file);
	if (out.base)
		explicit_bzero(out.base, out.cap);
	buf_fini(&out);
	return rc;
}

static bool says_nothing(struct str raw)
{
	return !raw.n || str_eq(raw, STR("~")) || str_eq(raw, STR("null"));
}

static int on_scalar(struct builder *b, const yaml_event_t *event, size_t line)
{
	struct str raw =
		str_make((const char *)event->data.scalar.value, event->data.scalar.length);
	struct conf_node *parent = b->depth ? b->stack[b->depth - 1] : NULL;
	struct conf_node *node = NULL;
	int rc;

	if (str_find(raw, '\0') < raw.n)
		return fail(b, line, -EBADMSG, "a NUL byte, must be text");
	if (parent && parent->kind == NODE_MAP && !b->key) {
		b->key = str_dup(raw);
		b->key_line = line;
		return b->key ? 0 : err_set(b->e, -ENOMEM, "%s: out of memory", b->file);
	}
	rc = node_add(b, NODE_SCALAR, line, &node);
	if (rc < 0 || !node)
		return rc;
	node->null = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && says_nothing(raw);
	return scalar_text(b, raw, line, &node->text);
}

static int refuse_extras(struct builder *b, const yaml_char_t *anchor, const yaml_char_t *tag,
			 size_t line)
{
	if (anchor)
		return fail(b, line, -EINVAL, "an anchor (&), must be written out");
	if (tag)
		return fail(b, line, -EINVAL, "a tag (!), must be a plain or quoted value");
	return 0;
}

static int on_event(struct builder *b, const yaml_event_t *event)
{
	size_t line = event->start_mark.line + 1;
	int rc;

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->documents++)
			return fail(b, line, -EINVAL, "a second document begins, must be one");
		return 0;
	case YAML_ALIAS_EVENT:
		return fail(b, line, -EINVAL, "an alias (*), must be written out");
	case YAML_SCALAR_EVENT:
		rc = refuse_extras(b, event->data.scalar.anchor, event->data.scalar.tag, line);
		return rc < 0 ? rc : on_scalar(b, event, line);
	case YAML_SEQUENCE_START_EVENT:
		rc = refuse_extras(b, event->data.sequence_start.anchor,
				   event->data.sequence_start.tag, line);
		return rc < 0 ? rc : on_start(b, NODE_LIST, line);
	case YAML_MAPPING_START_EVENT:
		rc = refuse_extras(b, event->data.mapping_start.anchor,
				   event->data.mapping_start.tag, line);
		return rc < 0 ? rc : on_start(b, NODE_MAP, line);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	default:
		return 0;
	}
}

static int run(struct builder *b, yaml_parser_t *yaml)
{
	for (;;) {
		yaml_event_t event;
		bool last;
		int rc;

		if (!yaml_parser_parse(yaml, &event))
			return fail_yaml(b, yaml);
		last = event.type == YAML_STREAM_END_EVENT;
		rc = on_event(b, &event);
		yaml_event_delete(&event);
		if (rc < 0 || last)
			return rc;
	}
}

/* An empty file, or one of comments only, is an empty mapping. */
static int root_check(struct builder *b)
{
	if (!b->root || b->root->null) {
		b->root = node_destroy(b->root);
		return node_add(b, NODE_MAP, 1, &b->root);
	}
	if (b->root->kind == NODE_MAP)
		return 0;
	return fail(b, b->root->line, -EINVAL,
		    b->root->kind == NODE_LIST ? "the file is a list, must be keys with values"
					       : "the file is a text, must be keys with values");
}

static int text_check(struct builder *b)
{
	size_t nul = str_find(b->text, '\0'), begin = 0;

	if (b->text.n > CONF_TEXT_MAX)
		return err_set(b->e, -EFBIG, "%s: the file is over 1 MiB", b->file);
	if (nul < b->text.n)
		return fail(b, line_at(b->text, nul), -EBADMSG, "a NUL byte, must be text");
	if (str_is_utf8(b->text))
		return 0;
	for (struct str rest = b->text; rest.p;) {
		struct str row = str_cut(&rest, '\n');

		begin++;
		if (!str_is_utf8(row))
			break;
	}
	return fail(b, begin, -EBADMSG, "bytes that are not UTF-8");
}

int node_parse(struct str text, const char *file, struct conf_node **ret, struct err *e)
{
	struct builder b = { .file = file, .text = text, .e = e };
	yaml_parser_t yaml;
	int rc = text_check(&b);

	if (rc < 0)
		return rc;
	if (!yaml_parser_initialize(&yaml))
		return err_set(e, -ENOMEM, "%s: out of memory", file);
	yaml_parser_set_input_string(&yaml, (const unsigned char *)(text.n ? text.p : ""), text.n);
	rc = run(&b, &yaml);
	yaml_parser_delete(&yaml);
	if (rc == 0)
		rc = root_check(&b);
	free(b.key);
	if (rc < 0) {
		(void)node_destroy(b.root);
		return rc;
	}
	*ret = b.root;
	return 0;
}
