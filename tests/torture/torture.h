/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the torture share: one run with its journal, what is expected of it (model.c),
 * what is done to it (load.c), and how a complaint is made.
 */
#ifndef VOXBUS_TESTS_TORTURE_TORTURE_H
#define VOXBUS_TESTS_TORTURE_TORTURE_H

#include "disk.h"
#include "journal/journal_internal.h"
#include "proof.h"

enum { NAMES = 24, KEYS = 12, BODY_MOST = 100 * 1024 };

struct run {
	uint64_t seed;
	struct rnd rnd;
	struct loop *loop;
	struct journal *j;
	struct journal_options options;
	uint64_t wall_ms, steady_ms;
	uint64_t written, durable; /* as acknowledged */
	bool stepping_write, stepping_sync;
	bool bare;            /* on the kernel's calls: the simulated disk is not there */
	bool failure_allowed; /* something was made to fail */
	struct err failure;   /* the sentence of the failed event */
	unsigned n_failed;    /* such events */
	/* A profile of the load */
	unsigned w_append, w_put, w_trim, w_drop, w_step, w_turn;
	unsigned hot, slow; /* names that get most; the name that is hardly ever trimmed */
	size_t big_percent;
	/* what was done */
	uint64_t appends, puts, trims, drops, skips, reads, refused, full_disks;
};

extern bool verbose;
extern unsigned complaints; /* since the start */

/* A promise was broken. Prints it, with the seed and where the run is. Always false. */
bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Where the run is, for complaints. */
extern char where[160];

/* wrap.c: the pool's work and random numbers, made ours. */
extern struct rnd wrap_rnd;
/* One step of a work that waits, drawn by r; NULL: all of all. False: none waits. */
bool works_step(struct rnd *r);

/* model.c: what the journal must have. */
void model_init(void);
void model_fini(void);
struct str model_name(unsigned i);
struct str model_key(unsigned i);
struct str model_body(unsigned inc, uint64_t seq, size_t len);
struct str model_value(unsigned version);
/* The incarnation of the name that lives; made if need be. */
unsigned model_inc(unsigned name);
void model_appended(unsigned name, uint64_t seq, size_t len, uint64_t lsn);
void model_trimmed(unsigned name, const struct jstream *js, uint64_t seq);
void model_skipped(unsigned name, uint64_t seq);
void model_dropped(unsigned name, uint64_t lsn);
unsigned model_version(bool large); /* a new one */
void model_put(unsigned key, unsigned version, uint64_t lsn);
/* Trims that have been handed over are in records up to lsn. */
void model_flushed(uint64_t lsn);
void model_durable(uint64_t lsn);
/* The process was killed: what was written by then must be there, if no power cut follows. */
void model_written(uint64_t lsn);
void model_power_cut(void);
uint64_t model_last_lsn(void);
/* Does the opened journal have what it must? From then on what it has is what it must have. */
bool model_verify(struct run *run, bool damage_expected);
/* A record that was read while the journal lives. */
bool model_check_record(unsigned name, uint64_t seq, struct str body);
uint64_t model_next(unsigned name);
/* Was such a record ever appended to that name? Is it one of what lives? */
bool model_known_record(unsigned name, uint64_t seq, struct str body);
bool model_live_record(unsigned name, uint64_t seq, struct str body);
/* Which key; -1: nobody put that value. */
int model_state(struct str key, struct str value);

/* load.c */
void run_init(struct run *run, uint64_t seed);
void run_fini(struct run *run);
void run_profile(struct run *run);
/* 0, or what journal_open said. */
int run_open(struct run *run, struct err *e);
/* Ends the journal's process: with a dead disk nothing of that counts. */
void run_close(struct run *run);
/* One thing drawn from the profile. */
void run_step(struct run *run);
void run_turn(struct run *run);
void run_write(struct run *run);
void run_sync(struct run *run);
/* Steps until all is durable. False: it never is. */
bool run_settle(struct run *run);
bool run_append(struct run *run, unsigned name, size_t len);
bool run_put(struct run *run, unsigned key, bool large);
void run_delete(struct run *run, unsigned key);
void run_trim(struct run *run, unsigned name, size_t keep);
void run_drop(struct run *run, unsigned name);
/* Everything that is there, read: false after a complaint. */
bool run_read_all(struct run *run);

/* The parts. */
struct tally {
	unsigned passed, failed;
};
void torture_cuts(uint64_t seed, unsigned cuts, struct tally *tally);
void torture_queues(uint64_t seed, unsigned cuts, struct tally *tally);
void torture_flips(uint64_t seed, bool all_bits, struct tally *tally);
void torture_faults(uint64_t seed, struct tally *tally);
void torture_short_writes(uint64_t seed, struct tally *tally);
void torture_sabotage(uint64_t seed, struct tally *tally);

#endif
