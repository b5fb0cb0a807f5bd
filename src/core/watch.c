/* SPDX-License-Identifier: MIT */
/*
 * Who hears of messages that nobody is required to read: a bus whose readers wait for the first
 * message of a name that has no stream yet.
 */
#include "core/core_internal.h"

void streams_watch(struct streams *set, struct streams_watch *watch)
{
	list_add_tail(&set->watches, &watch->link);
}

void streams_unwatch(struct streams_watch *watch)
{
	list_del(&watch->link);
}

void watches_tell(struct stream *stream)
{
	list_for_each (it, &stream->set->watches) {
		struct streams_watch *watch = container_of(it, struct streams_watch, link);

		watch->fn(watch->arg, stream);
	}
}
