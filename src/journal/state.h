/* SPDX-License-Identifier: MIT */
/* The table of states, and the file `state.log` made of it. */
#ifndef VOXBUS_JOURNAL_STATE_H
#define VOXBUS_JOURNAL_STATE_H

#include "base/map.h"
#include "journal/record.h"
#include "journal/writer.h"

enum {
	STATE_KEY_MAX = 1024,
	STATE_VALUE_MAX = 65536,
	STATE_LIVE_MAX = 256 << 20, /* bytes in a snapshot */
	STATE_GROW = 1 << 20,       /* the file grows by so much, and is rewritten from there on */
};

struct states {
	uint64_t newest_ms; /* the time of the newest record: a snapshot keeps it (age.c) */
	struct map map;     /* struct state.node */
	size_t live;        /* bytes of a snapshot's records */
};

void states_init(struct states *s);
void states_fini(struct states *s);
/* Copies both. 0 or -ENOMEM. */
int states_put(struct states *s, struct str key, struct str value);
void states_delete(struct states *s, struct str key);
struct str state_value(const struct map_node *node);
/* What a put of these adds to `live` at most. */
size_t state_size(struct str key, struct str value);
/* Puts a scanned record into the table: 0, -ENOMEM, or -EBADMSG (malformed). */
int states_apply(struct states *s, const struct record *r);

/*
 * Writes the table to a temporary file, syncs it, puts it in the place of `state.log` and syncs
 * the directory: 0, *ret and *ret_end, or a negative errno. A failure leaves the old file, but for
 * -ESTALE: the new one is there and nobody knows whether it stays after a power cut.
 */
int states_snapshot(const struct states *s, const struct writer_options *o, uint64_t lsn,
		    struct file **ret, size_t *ret_end);
/* The same from the first `end` bytes of a file: for the writer thread, which has no table. */
int states_rewrite(struct file *from, size_t end, const struct writer_options *o, uint64_t lsn,
		   struct file **ret, size_t *ret_end);

#endif
