/* SPDX-License-Identifier: MIT */
/*
 * Leases: which messages are under way, known also after kill -9.
 *
 * A file of fixed size, mapped and shared: to write a lease is to store 32 bytes, with no system
 * call and no round of the journal, and what was stored survives the process. After a power cut the
 * file may be older than the journal; a lease names its message by stream, number and time, so that
 * one that fits nothing means nothing.
 *
 *             lease_take          lease_settle           the trim is written
 *      free ─────────────► HELD ────────────────► SETTLED ──────────────► free
 *                         │    ▲                   │
 *              the end of │    │ lease_recall      │ of the process
 *              the process▼    │ (once more)       ▼ lease_recall: not again
 *                         left behind, looked up by stream and number
 *
 * Leases are named by numbers from 1; 0 is none. Format: docs/formats/leases.md.
 */
#ifndef VOXBUS_CORE_LEASE_H
#define VOXBUS_CORE_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

struct leases;
struct streams;

enum { LEASES_MAX = 65536 };

enum lease_state { LEASE_FREE, LEASE_HELD, LEASE_SETTLED };

struct lease_key {
	uint64_t stream; /* lease_stream(its name) */
	uint64_t seq;
	uint64_t wall_ns; /* of the message: numbers may come again after a power cut */
};

/*
 * Opens or makes the file; one that is no lease file of this version is replaced, and that is
 * logged. Blocks. A refusal (no room, no memory, not allowed) has its sentence.
 */
int leases_open(const char *path, const struct log *log, struct leases **ret, struct err *e);
/* What is held stays in the file. NULL is fine. */
struct leases *leases_close(struct leases *leases);

/* A stream's name as the file has it. */
uint64_t lease_stream(struct str name);
/* A new one, HELD: its number, or 0 and it is counted: the table is full. */
uint32_t lease_take(struct leases *leases, const struct lease_key *key, unsigned returns);
/*
 * What was left behind of that message: its lease, which is the caller's now, with the state (HELD
 * or SETTLED) and how often it had been given back before; 0 when there is nothing.
 */
uint32_t lease_recall(struct leases *leases, const struct lease_key *key, enum lease_state *ret,
		      unsigned *ret_returns);
/* HELD once more, after so many returns. */
void lease_hold(struct leases *leases, uint32_t id, unsigned returns);
void lease_settle(struct leases *leases, uint32_t id);
void lease_free(struct leases *leases, uint32_t id);
/* The caller goes: whoever takes the message next finds it by lease_recall. */
void lease_leave(struct leases *leases, uint32_t id);
uint64_t lease_seq(const struct leases *leases, uint32_t id);
/* Frees what was left behind and is not wanted any more. */
void leases_sweep(struct leases *leases, bool (*is_wanted)(void *arg, const struct lease_key *key),
		  void *arg);

/*
 * After the streams' journal was set: cursors made with CURSOR_LEASED write down what is under way;
 * what was left behind of messages that are no more is freed. They outlive the streams. 0 or -ENOMEM.
 */
int streams_set_leases(struct streams *streams, struct leases *leases);

struct leases_stats {
	uint64_t used, left; /* now; of these, left behind and not yet recalled */
	uint64_t refused;    /* since the start: the table was full */
	bool locked;         /* in memory: storing never waits for the disk */
};
void leases_stats(const struct leases *leases, struct leases_stats *ret);

#endif
