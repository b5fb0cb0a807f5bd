/* SPDX-License-Identifier: MIT */
/*
 * Meters of streams. The journal itself adds and takes away where records come and go, so that reading a
 * meter costs nothing; here is only who is counted where.
 */
#include "core/meter.h"

#include "core/core_internal.h"
#include "journal/journal.h"

void meters_count(struct stream *s)
{
	list_for_each (it, &s->set->meters) {
		struct stream_meter *meter = container_of(it, struct stream_meter, link);

		if (str_starts(s->node.key, meter->prefix))
			jstream_set_meter(s->js, &meter->bytes);
	}
}

void streams_meter(struct streams *set, struct stream_meter *meter)
{
	list_add_tail(&set->meters, &meter->link);
	map_for_each (it, &set->by_name) {
		struct stream *s = container_of(it, struct stream, node);

		if (s->js && str_starts(s->node.key, meter->prefix))
			jstream_set_meter(s->js, &meter->bytes);
	}
}

void streams_unmeter(struct streams *set, struct stream_meter *meter)
{
	if (list_empty(&meter->link))
		return;
	list_del(&meter->link);
	map_for_each (it, &set->by_name) {
		struct stream *s = container_of(it, struct stream, node);

		if (s->js && str_starts(s->node.key, meter->prefix))
			jstream_set_meter(s->js, NULL);
	}
}
