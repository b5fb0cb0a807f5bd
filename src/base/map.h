/* SPDX-License-Identifier: MIT */
/*
 * Hash tables from bytes to the things that hold the links.
 *
 * A `struct map_node` lies in the thing itself and borrows its key from it; the table only owns
 * its buckets. Keys are unique by the caller's care: look first, then add.
 */
#ifndef VOXBUS_BASE_MAP_H
#define VOXBUS_BASE_MAP_H

#include "base/list.h"
#include "base/str.h"

struct map_node {
	struct map_node *next;
	uint64_t hash;
	struct str key;
};

struct map {
	struct map_node **buckets;
	size_t n_buckets, count;
};

/* No allocation yet; an empty map needs no map_fini. */
void map_init(struct map *m);
/* Frees the buckets; the nodes are their owners' business. */
void map_fini(struct map *m);
/* The key must stay where it is while the node is in the map. 0 or -ENOMEM. */
int map_add(struct map *m, struct map_node *node, struct str key);
struct map_node *map_find(const struct map *m, struct str key);
/* The node must be in the map. */
void map_del(struct map *m, struct map_node *node);
/*
 * Walks all nodes: map_first, then map_next until NULL. Only the node just returned may be
 * removed, and only after the following one was fetched (map_for_each does it so).
 */
struct map_node *map_first(const struct map *m);
struct map_node *map_next(const struct map *m, const struct map_node *node);

#define map_for_each(it, m)                                                                    \
	for (struct map_node *it = map_first(m), *it##_next = it ? map_next(m, it) : NULL; it; \
	     it = it##_next, it##_next = it ? map_next(m, it) : NULL)

#endif
