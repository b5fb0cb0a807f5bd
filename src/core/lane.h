/* SPDX-License-Identifier: MIT */
/*
 * A dialog's commands between its stream and the engine (lane.c), what is known of them after a
 * restart (lane_recover.c), and the results of those that may be asked for again (result.c).
 * The core's own.
 */
#ifndef VOXBUS_CORE_LANE_H
#define VOXBUS_CORE_LANE_H

#include "base/list.h"
#include "base/map.h"
#include "core/cursor.h"
#include "core/port.h"

struct dialog;
struct lane_recovery;

enum {
	LANE_WINDOW = 1024,    /* commands taken from the stream: so far one may be overtaken */
	LANE_PARALLEL = 16,    /* of one dialog that the engine has */
	ENGINE_PARALLEL = 256, /* of all dialogs */
	RESULT_KEY = 32,
	RESULTS_MAX = 256, /* of one dialog: the oldest goes */
	RESULT_BODY_MAX = 8192,
};

struct lane {
	struct cursor *cursor;
	struct list
		entries;   /* struct lane_entry.link: not answered, in the order of their numbers */
	struct list ready; /* struct lane_entry.ready: nothing before them is in their way */
	struct list blocked; /* port.blocked of the engine: it was full */
	struct timer deadline;
	struct task again;
	uint64_t taken;        /* numbers below were taken */
	uint64_t unsure_below; /* commands below were read back at the start */
	size_t n, under_way;
	bool marked;                    /* the journal has a state "lane/<dialog>" */
	struct lane_recovery *recovery; /* NULL: nothing of an earlier run */
};

struct results {
	struct map by_key;  /* struct result.node */
	struct list by_age; /* struct result.age, the oldest first */
};

/* lane.c */
/* Empties the struct; then, with the streams, lane_init. */
void lane_prepare(struct dialog *dialog);
int lane_init(struct dialog *dialog);
void lane_fini(struct dialog *dialog);
/* In a later turn: goes on. */
void lane_wake(struct dialog *dialog);
/* Commands taken in and not answered. */
size_t lane_waiting(const struct dialog *dialog);
bool lane_is_empty(const struct dialog *dialog);
/* The engine's answer: 0, or -ENOENT: nobody waits for it (any more). */
int lane_answer(struct dialog *dialog, const struct delivery *reply);
/* The channel or bridge that the command works on, for what it makes; 0: none. */
uint64_t lane_owner(const struct dialog *dialog, uint64_t seq);
/* The engine has room for the next dialog that waits for it. */
void engine_wake(struct port *engine);

/* lane_recover.c */
/* Notes in the journal which commands are answered although an older one is not. */
void lane_mark(struct dialog *dialog);
/* The states "lane/<dialog>", each once. */
void lane_recover_mark(struct dialog *dialog, struct str value);
/* After all states: looks for replies that lie in the stream; the lane waits for it. */
void lane_recover(struct dialog *dialog);
bool lane_is_recovering(const struct dialog *dialog);
/* Whether a command of an earlier run had its reply. */
bool lane_was_answered(const struct dialog *dialog, uint64_t seq);
void lane_recovery_free(struct dialog *dialog);

/* result.c */
void results_init(struct results *results);
/* The memory alone. */
void results_fini(struct dialog *dialog);
/* In the journal, too: the dialog is over. */
void results_forget(struct dialog *dialog);
/* What a repetition has in common with the first: unique_id, method, url, body. */
void result_key(const struct msg *command, char key[RESULT_KEY + 1]);
/* The recorded reply, borrowed, or NULL. */
struct msg *result_find(const struct dialog *dialog, const char *key);
/* Records it, in the same batch of the journal as what was appended in this turn. */
void result_keep(struct dialog *dialog, const char *key, struct msg *reply);
/* The states "command/<dialog>/<key>". */
void result_recover(struct dialog *dialog, struct str key, struct str value);

#endif
