/* SPDX-License-Identifier: MIT */
/*
 * A collection of samples that comes out as Prometheus text format 0.0.4, valid by construction.
 *
 * Samples are added in any order; each family is written once, with its HELP and TYPE, all its
 * samples together. Names are made legal, a counter's name gets its "_total", labels are escaped,
 * a second sample with the same name and labels is dropped (the first stands).
 */
#ifndef VOXBUS_API_METRICS_H
#define VOXBUS_API_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct metrics;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
	enum metric_type type;
	const char *name, *help; /* "voxbus_hub_events", in base units */
};

struct metric_label {
	const char *name;
	struct str value;
};

enum { METRICS_SAMPLES_MAX = 20000 };

int metrics_create(struct metrics **ret);
struct metrics *metrics_destroy(struct metrics *metrics);
/* Errors (memory, too many samples) are kept for metrics_write. */
void metrics_add(struct metrics *metrics, const struct metric *metric,
		 const struct metric_label *labels, size_t n, double value);
/* Appends the text: 0, -ENOMEM, -ENOBUFS. */
int metrics_write(const struct metrics *metrics, struct buf *out);

#endif
