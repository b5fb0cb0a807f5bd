/* SPDX-License-Identifier: MIT */
/*
 * Wrong passwords by source address: twenty in a minute, then the address waits for its minute to
 * end. A right password waits too: otherwise guessing would go on unhindered.
 *
 * The table is bounded. When it is full the address that began longest ago is forgotten: somebody
 * with thousands of addresses gets further tries that way, but nobody else is locked out.
 */
#include "net/failures.h"

#include <errno.h>
#include <stdlib.h>

#include "base/map.h"

enum { FAILURES_MAX = 20, WINDOW_MS = 60000, ADDRESSES_MAX = 4096, ADDRESS_SIZE = 48 };

struct failures {
	struct loop *loop;
	struct map addresses; /* struct source.node */
	struct list oldest;   /* struct source.link: by the beginning of their minutes */
};

struct source {
	struct map_node node; /* failures.addresses */
	struct list link;     /* failures.oldest */
	uint64_t since_ms;
	unsigned count;
	size_t n;
	char address[ADDRESS_SIZE];
};

int failures_create(struct loop *loop, struct failures **ret)
{
	struct failures *failures = calloc(1, sizeof(*failures));

	if (!failures)
		return -ENOMEM;
	failures->loop = loop;
	map_init(&failures->addresses);
	list_init(&failures->oldest);
	*ret = failures;
	return 0;
}

static void source_destroy(struct failures *failures, struct source *source)
{
	map_del(&failures->addresses, &source->node);
	list_del(&source->link);
	free(source);
}

struct failures *failures_destroy(struct failures *failures)
{
	if (!failures)
		return NULL;
	list_for_each_safe (it, &failures->oldest)
		source_destroy(failures, container_of(it, struct source, link));
	map_fini(&failures->addresses);
	free(failures);
	return NULL;
}

/* The source if its minute still runs. */
static struct source *source_find(struct failures *failures, struct str address)
{
	if (address.n > ADDRESS_SIZE)
		address.n = ADDRESS_SIZE;
	struct map_node *node = map_find(&failures->addresses, address);
	if (!node)
		return NULL;
	struct source *source = container_of(node, struct source, node);
	if (loop_now(failures->loop) - source->since_ms < WINDOW_MS)
		return source;
	source_destroy(failures, source);
	return NULL;
}

unsigned failures_wait(struct failures *failures, struct str address)
{
	struct source *source = source_find(failures, address);

	if (!source || source->count < FAILURES_MAX)
		return 0;
	uint64_t left_ms = source->since_ms + WINDOW_MS - loop_now(failures->loop);
	return (unsigned)((left_ms + 999) / 1000);
}

static struct source *source_create(struct failures *failures, struct str address)
{
	if (failures->addresses.count >= ADDRESSES_MAX)
		source_destroy(failures, container_of(failures->oldest.next, struct source, link));
	struct source *source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	source->n = address.n < ADDRESS_SIZE ? address.n : ADDRESS_SIZE;
	if (source->n)
		memcpy(source->address, address.p, source->n);
	if (map_add(&failures->addresses, &source->node, str_make(source->address, source->n)) < 0)
		return free(source), NULL;
	source->since_ms = loop_now(failures->loop);
	list_add_tail(&failures->oldest, &source->link);
	return source;
}

void failures_add(struct failures *failures, struct str address)
{
	struct source *source = source_find(failures, address);

	if (!source)
		source = source_create(failures, address);
	if (source)
		source->count++;
}
