/* SPDX-License-Identifier: MIT */
/* Chained buckets, a power of two of them, doubled when there is more than one node a bucket. */
#include "base/map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 16 };

void map_init(struct map *m)
{
	*m = (struct map){ 0 };
}

void map_fini(struct map *m)
{
	free(m->buckets);
	map_init(m);
}

static struct map_node **bucket(const struct map *m, uint64_t hash)
{
	return &m->buckets[hash & (m->n_buckets - 1)];
}

static int map_grow(struct map *m)
{
	size_t n = m->n_buckets ? m->n_buckets * 2 : FIRST_BUCKETS;
	struct map bigger = { calloc(n, sizeof(*bigger.buckets)), n, m->count };

	if (!bigger.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_buckets; i++) {
		for (struct map_node *node = m->buckets[i], *next; node; node = next) {
			struct map_node **b = bucket(&bigger, node->hash);

			next = node->next;
			node->next = *b;
			*b = node;
		}
	}
	free(m->buckets);
	*m = bigger;
	return 0;
}

int map_add(struct map *m, struct map_node *node, struct str key)
{
	struct map_node **b;

	/* A table that can't grow goes on with longer chains; only the first one must succeed. */
	if (m->count >= m->n_buckets && map_grow(m) < 0 && !m->buckets)
		return -ENOMEM;
	node->key = key;
	node->hash = str_hash(key);
	b = bucket(m, node->hash);
	node->next = *b;
	*b = node;
	m->count++;
	return 0;
}

struct map_node *map_find(const struct map *m, struct str key)
{
	uint64_t hash;

	if (!m->count)
		return NULL;
	hash = str_hash(key);
	for (struct map_node *node = *bucket(m, hash); node; node = node->next)
		if (node->hash == hash && str_eq(node->key, key))
			return node;
	return NULL;
}

void map_del(struct map *m, struct map_node *node)
{
	struct map_node **at = bucket(m, node->hash);

	while (*at != node) {
		assert(*at);
		at = &(*at)->next;
	}
	*at = node->next;
	node->next = NULL;
	m->count--;
}

static struct map_node *first_from(const struct map *m, size_t i)
{
	for (; i < m->n_buckets; i++)
		if (m->buckets[i])
			return m->buckets[i];
	return NULL;
}

struct map_node *map_first(const struct map *m)
{
	return first_from(m, 0);
}

struct map_node *map_next(const struct map *m, const struct map_node *node)
{
	return node->next ? node->next : first_from(m, (node->hash & (m->n_buckets - 1)) + 1);
}
