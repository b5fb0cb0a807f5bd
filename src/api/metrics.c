/* SPDX-License-Identifier: MIT */
/*
 * The metrics emitter.
 *
 *   metrics.families -> family "voxbus_port_up"  -> sample {port="pbx1"} 1
 *                                                -> sample {port="http"} 1
 *                    -> family ...
 *
 * Samples are gathered first and written afterwards because the ports come one after the other,
 * each with all its numbers, while the format wants each number with all its ports.
 * The series map finds duplicates: the format forbids them, and one would cost the whole scrape.
 */
#include "api/metrics.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"

enum { NAME_MAX_BYTES = 200, LABELS_MAX_BYTES = 4096 };

struct sample {
	struct list link;     /* family.samples */
	struct map_node node; /* metrics.series, by text */
	double value;
	struct str text; /* name{labels}, behind the struct */
};

struct family {
	struct list link;     /* metrics.families */
	struct map_node node; /* metrics.names */
	struct list samples;  /* struct sample.link */
	enum metric_type type;
	char *name, *help;
};

struct metrics {
	struct list families; /* struct family.link, in the order of their first samples */
	struct map names;     /* struct family.node */
	struct map series;    /* struct sample.node */
	int rc;
};

int metrics_create(struct metrics **ret)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	list_init(&m->families);
	map_init(&m->names);
	map_init(&m->series);
	*ret = m;
	return 0;
}

static void family_destroy(struct family *f)
{
	list_for_each_safe (it, &f->samples)
		free(container_of(it, struct sample, link));
	free(f->name);
	free(f->help);
	free(f);
}

struct metrics *metrics_destroy(struct metrics *m)
{
	if (!m)
		return NULL;
	list_for_each_safe (it, &m->families)
		family_destroy(container_of(it, struct family, link));
	map_fini(&m->names);
	map_fini(&m->series);
	free(m);
	return NULL;
}

static bool name_byte_ok(char c, bool first)
{
	bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

	return letter || (!first && c >= '0' && c <= '9');
}

/* A name of the format's grammar; other bytes become underscores. */
static int add_name(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		int rc = buf_addc(out, name_byte_ok(name.p[i], i == 0) ? name.p[i] : '_');

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Backslash and line feed are escaped everywhere, quotes in label values only. */
static int add_escaped(struct buf *out, struct str s, bool quotes)
{
	for (size_t i = 0; i < s.n; i++) {
		int rc;

		if (s.p[i] == '\\')
			rc = buf_add(out, STR("\\\\"));
		else if (s.p[i] == '\n')
			rc = buf_add(out, STR("\\n"));
		else if (s.p[i] == '"' && quotes)
			rc = buf_add(out, STR("\\\""));
		else
			rc = buf_addc(out, s.p[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_labels(struct buf *out, const struct metric_label *labels, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool utf8 = str_is_utf8(labels[i].value);
		int rc = buf_addc(out, i == 0 ? '{' : ',');

		if (rc == 0)
			rc = add_name(out, str_from(labels[i].name));
		if (rc == 0)
			rc = buf_add(out, STR("=\""));
		if (rc == 0)
			rc = add_escaped(out, utf8 ? labels[i].value : STR("?"), true);
		if (rc == 0)
			rc = buf_addc(out, '"');
		if (rc < 0)
			return rc;
	}
	return n ? buf_addc(out, '}') : 0;
}

static struct family *family_find(struct metrics *m, struct str name, const struct metric *metric)
{
	struct map_node *node = map_find(&m->names, name);

	if (node)
		return container_of(node, struct family, node);
	struct family *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	list_init(&f->samples);
	f->type = metric->type;
	f->name = str_dup(name);
	f->help = str_dup(str_from(metric->help));
	if (!f->name || !f->help || map_add(&m->names, &f->node, str_from(f->name)) < 0) {
		family_destroy(f);
		return NULL;
	}
	list_add_tail(&m->families, &f->link);
	return f;
}

static int sample_add(struct metrics *m, struct family *f, struct str text, double value)
{
	struct sample *s;
	char *copy;

	if (map_find(&m->series, text))
		return 0;
	if (m->series.count >= METRICS_SAMPLES_MAX)
		return -ENOBUFS;
	s = calloc(1, sizeof(*s) + text.n);
	if (!s)
		return -ENOMEM;
	copy = (char *)(s + 1);
	assert(text.p); /* there is a name at least */
	memcpy(copy, text.p, text.n);
	s->text = str_make(copy, text.n);
	s->value = value;
	if (map_add(&m->series, &s->node, s->text) < 0) {
		free(s);
		return -ENOMEM;
	}
	list_add_tail(&f->samples, &s->link);
	return 0;
}

static int add(struct metrics *m, const struct metric *metric, const struct metric_label *labels,
	       size_t n, double value)
{
	auto_buf struct buf name, text;
	struct family *f;
	int rc;

	buf_init(&name, NAME_MAX_BYTES);
	buf_init(&text, NAME_MAX_BYTES + LABELS_MAX_BYTES);
	rc = add_name(&name, str_from(metric->name));
	if (rc == 0 && metric->type == METRIC_COUNTER && !str_ends(buf_str(&name), STR("_total")))
		rc = buf_add(&name, STR("_total"));
	if (rc == 0)
		rc = buf_add(&text, buf_str(&name));
	if (rc == 0)
		rc = add_labels(&text, labels, n);
	if (rc < 0)
		return rc;
	f = family_find(m, buf_str(&name), metric);
	return f ? sample_add(m, f, buf_str(&text), value) : -ENOMEM;
}

void metrics_add(struct metrics *m, const struct metric *metric, const struct metric_label *labels,
		 size_t n, double value)
{
	if (m->rc == 0)
		m->rc = add(m, metric, labels, n, value);
}

/* Whole numbers exactly, up to what a double holds exactly; others to the microsecond. */
static int add_value(struct buf *out, double value)
{
	double most = 9007199254740992.0;

	if (value >= -most && value <= most && value == (double)(int64_t)value)
		return buf_addf(out, " %" PRId64 "\n", (int64_t)value);
	return buf_addf(out, " %.6f\n", value);
}

static int family_write(const struct family *f, struct buf *out)
{
	int rc = buf_addf(out, "# HELP %s ", f->name);

	if (rc == 0)
		rc = add_escaped(out, str_from(f->help), false);
	if (rc == 0)
		rc = buf_addf(out, "\n# TYPE %s %s\n", f->name,
			      f->type == METRIC_COUNTER ? "counter" : "gauge");
	list_for_each (it, &f->samples) {
		const struct sample *s = container_of(it, struct sample, link);

		if (rc == 0)
			rc = buf_add(out, s->text);
		if (rc == 0)
			rc = add_value(out, s->value);
	}
	return rc;
}

int metrics_write(const struct metrics *m, struct buf *out)
{
	int rc = m->rc;

	list_for_each (it, &m->families)
		if (rc == 0)
			rc = family_write(container_of(it, struct family, link), out);
	return rc;
}
