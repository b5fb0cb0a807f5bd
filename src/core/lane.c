/* SPDX-License-Identifier: MIT */
/*
 * The lane: which commands of a dialog run when.
 *
 *   stream --take--> entries --nothing before it in its way--> ready --engine has room--> sent
 *                       '------------- answered: by the engine, or by us -----------------'
 *
 * The engine says which objects a command touches. Two commands that touch a common object, or one
 * of which nobody knows what it touches, run in the order of their numbers; all others side by
 * side. Each entry counts the unanswered ones before it that it must wait for, so that an answer
 * costs one walk over those behind it.
 * A playback or a recording lies on a channel or a bridge: a command that names it alone touches
 * that one, too, as the command that made it told; if nobody knows, it waits for all.
 *
 * Every command gets exactly one reply:
 *
 *   the engine's own        it answered in time
 *   503                     the engine is away: the command was not sent
 *   504                     no answer by the deadline, or before a restart: what it did is unknown;
 *                           or the deadline passed while it waited: it was not done (the text tells)
 *   502                     the engine refused to take it
 *   the recorded one        it is a repetition; while the first is under way: its reply is for both
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/hub_internal.h"

enum { SUBJECTS_MAX = 8, NO_MEMORY_MS = 1000 };

struct lane_entry {
	struct list link;  /* lane.entries */
	struct list ready; /* lane.ready */
	struct msg *msg;
	uint64_t deadline_ms;
	uint64_t subjects[SUBJECTS_MAX]; /* hashes: what has the same is the same */
	uint64_t owner;                  /* the first channel or bridge of them; 0: none */
	size_t n;
	unsigned blockers; /* entries before it that it waits for */
	bool all;          /* touches nobody knows what */
	bool sent;
	char key[RESULT_KEY + 1];
};

/* ---- what a command touches */

static uint64_t subject_hash(enum object_kind kind, struct str id)
{
	uint64_t h = str_hash(id) ^ ((uint64_t)kind + 1) * 0x9e3779b97f4a7c15u;

	return h ? h : 1;
}

static bool entry_touches(const struct lane_entry *e, uint64_t subject)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->subjects[i] == subject)
			return true;
	return false;
}

static bool entry_conflicts(const struct lane_entry *a, const struct lane_entry *b)
{
	if (a->all || b->all)
		return true;
	for (size_t i = 0; i < a->n; i++)
		if (entry_touches(b, a->subjects[i]))
			return true;
	return false;
}

static void entry_touch(struct lane_entry *e, uint64_t subject)
{
	if (entry_touches(e, subject))
		return;
	if (e->n == SUBJECTS_MAX)
		e->all = true;
	else
		e->subjects[e->n++] = subject;
}

/* Where a playback or recording lies: as its object knows, or the command that will make it. */
static uint64_t owner_of(struct dialog *d, const struct object_ref *ref)
{
	const struct object *o = object_find(d->engine, ref->kind, ref->id);
	uint64_t subject = subject_hash(ref->kind, ref->id), owner = o ? o->made_on : 0;

	list_for_each (it, &d->lane.entries) {
		const struct lane_entry *e = container_of(it, struct lane_entry, link);

		if (e->owner && entry_touches(e, subject))
			owner = e->owner;
	}
	return owner;
}

static void entry_find_subjects(struct dialog *d, struct lane_entry *e)
{
	struct object_ref refs[SUBJECTS_MAX];
	const struct port_ops *ops = d->engine->ops;
	int n = ops->subjects ? ops->subjects(d->engine->self, e->msg, refs, SUBJECTS_MAX) : -1;

	e->all = n < 0;
	for (int i = 0; i < n; i++) {
		uint64_t subject = subject_hash(refs[i].kind, refs[i].id);

		entry_touch(e, subject);
		if (!e->owner && (refs[i].kind == OBJECT_CHANNEL || refs[i].kind == OBJECT_BRIDGE))
			e->owner = subject;
	}
	for (int i = 0; i < n && !e->owner; i++) {
		uint64_t owner = owner_of(d, &refs[i]);

		if (owner)
			entry_touch(e, owner);
		else
			e->all = true;
	}
}

uint64_t lane_owner(const struct dialog *d, uint64_t seq)
{
	list_for_each (it, &d->lane.entries) {
		const struct lane_entry *e = container_of(it, struct lane_entry, link);

		if (e->msg->seq == seq)
			return e->owner;
	}
	return 0;
}

/* ---- life of an entry */

static void set_deadline(struct dialog *d)
{
	struct lane *l = &d->lane;
	uint64_t now = loop_now(d->hub->opt.loop);
	const struct lane_entry *first = container_of(l->entries.next, struct lane_entry, link);

	if (list_empty(&l->entries))
		timer_stop(&l->deadline);
	else
		(void)timer_start(&l->deadline,
				  first->deadline_ms > now ? first->deadline_ms - now : 0);
}

void lane_wake(struct dialog *d)
{
	task_defer(&d->lane.again);
}

/* Those behind it that waited for it wait no more. */
static void entry_unlink(struct dialog *d, struct lane_entry *e)
{
	struct lane *l = &d->lane;

	if (list_empty(&e->link))
		return; /* it never stood in the lane */
	for (struct list *it = e->link.next; it != &l->entries; it = it->next) {
		struct lane_entry *behind = container_of(it, struct lane_entry, link);

		if (entry_conflicts(e, behind) && --behind->blockers == 0)
			list_add_tail(&l->ready, &behind->ready);
	}
	list_del(&e->link);
	list_del(&e->ready);
	l->n--;
	if (!e->sent)
		return;
	l->under_way--;
	d->engine->under_way--;
	engine_wake(d->engine);
}

/* It has its reply, if it gets one: done with it. */
static void entry_done(struct dialog *d, struct lane_entry *e)
{
	uint64_t seq = e->msg->seq;

	entry_unlink(d, e);
	receipts_settle(d, seq);
	cursor_settle(d->lane.cursor, seq, true);
	/* At once, in the same batch of the journal as the reply: a restart finds both or none. */
	lane_mark(d);
	stream_trim(d->commands, cursor_floor(d->lane.cursor));
	/* Those of the last run were never counted. */
	if (seq >= d->lane.unsure_below)
		bus_waits(d->application->bus, -1);
	(void)msg_unref(e->msg);
	free(e);
	lane_wake(d);
}

static void entry_answer(struct dialog *d, struct lane_entry *e, int status,
			 struct str content_type, struct str body)
{
	struct reply_init init = { e->msg, e->key, status, content_type, body };
	auto_msg struct msg *reply = NULL;

	if (reply_append(d, &init, &reply) == -EMSGSIZE) {
		init.status = 502;
		init.content_type = STR("application/json");
		init.body = STR("{\"message\":\"the engine's answer is too large\"}");
		(void)reply_append(d, &init, &reply);
	}
	if (reply && e->key[0])
		result_keep(d, e->key, reply);
	entry_done(d, e);
}

static void entry_say(struct dialog *d, struct lane_entry *e, int status, const char *text)
{
	char body[256];
	int n = snprintf(body, sizeof(body), "{\"message\":\"%s\"}", text);

	entry_answer(d, e, status, STR("application/json"), str_make(body, (size_t)n));
}

/* What was answered before is answered so again. */
static void entry_repeat(struct dialog *d, struct lane_entry *e, struct msg *result)
{
	struct reply_init init = { e->msg, e->key, result->status, result->content_type,
				   blob_str(result->payload) };
	struct msg *reply = NULL;

	if (reply_append(d, &init, &reply) == 0)
		(void)msg_unref(reply);
	d->hub->stats.repeated++;
	entry_done(d, e);
}

/* By the loop's clock; of one read back from the disk, by its age. */
static uint64_t deadline_of(const struct dialog *d, const struct msg *m)
{
	uint64_t all = d->hub->opt.command_deadline_ms, wall = clock_wall_ns(), age = 0;

	if (m->deadline_ms)
		return m->deadline_ms;
	if (wall > m->wall_ns)
		age = (wall - m->wall_ns) / 1000000;
	return loop_now(d->hub->opt.loop) + (age < all ? all - age : 0);
}

static struct lane_entry *entry_create(struct dialog *d, struct msg *m)
{
	struct lane_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	list_init(&e->link);
	list_init(&e->ready);
	e->msg = msg_ref(m);
	e->deadline_ms = deadline_of(d, m);
	if (application_keeps_results(d->application))
		result_key(m, e->key);
	return e;
}

static bool is_safe(const struct msg *command)
{
	return str_eq(command->type, STR("GET")) || str_eq(command->type, STR("DELETE"));
}

/* Two equal commands without an id are two commands, unless the bus says that they are one. */
static bool may_be_repetition(const struct dialog *d, const struct msg *m)
{
	if (m->flags & MSG_REDELIVERED)
		return true;
	return d->application->deduplicate == DEDUPLICATE_ALWAYS && m->id.n;
}

static bool is_under_way(const struct dialog *d, const struct lane_entry *e)
{
	list_for_each (it, &d->lane.entries)
		if (strcmp(container_of(it, struct lane_entry, link)->key, e->key) == 0)
			return true;
	return false;
}

/* Whether the entry is dealt with because its command was there before. */
static bool is_repetition(struct dialog *d, struct lane_entry *e)
{
	struct msg *result = e->key[0] ? result_find(d, e->key) : NULL;

	/* Its own result, but the reply did not get as far as the disk. */
	if (result && result->answers == e->msg->seq) {
		entry_repeat(d, e, result);
		return true;
	}
	if (!e->key[0] || !may_be_repetition(d, e->msg))
		return false;
	if (is_under_way(d, e)) {
		d->hub->stats.repeated++;
		entry_done(d, e);
		return true;
	}
	if (result)
		entry_repeat(d, e, result);
	return result != NULL;
}

/* Takes a new entry into the lane, or deals with it at once. */
static void entry_admit(struct dialog *d, struct lane_entry *e)
{
	struct lane *l = &d->lane;
	bool unsure = e->msg->seq < l->unsure_below;

	if (unsure && lane_was_answered(d, e->msg->seq)) {
		entry_done(d, e);
		return;
	}
	if (is_repetition(d, e))
		return;
	if (unsure && (!is_safe(e->msg) || e->deadline_ms <= loop_now(d->hub->opt.loop))) {
		entry_say(d, e, 504,
			  "voxbus was restarted: whether the command was done is "
			  "not known");
		return;
	}
	entry_find_subjects(d, e);
	list_for_each (it, &l->entries)
		e->blockers += entry_conflicts(container_of(it, struct lane_entry, link), e);
	list_add_tail(&l->entries, &e->link);
	if (!e->blockers)
		list_add_tail(&l->ready, &e->ready);
	l->n++;
}

/* ---- the lane */

/* false: no memory now. */
static bool lane_take(struct dialog *d)
{
	struct lane *l = &d->lane;
	struct msg *m;

	while (cursor_take(l->cursor, &m) > 0) {
		struct lane_entry *e = entry_create(d, m);

		if (e) {
			l->taken = m->seq + 1;
			entry_admit(d, e);
		} else {
			cursor_settle(l->cursor, m->seq, false);
		}
		(void)msg_unref(m);
		if (!e)
			return false;
	}
	if (l->taken >= l->unsure_below)
		lane_recovery_free(d);
	return true;
}

/* true: go on with the next one. */
static bool entry_send(struct dialog *d, struct lane_entry *e)
{
	struct port *engine = d->engine;
	int rc = -EAGAIN;

	if (e->deadline_ms <= loop_now(d->hub->opt.loop)) {
		entry_say(d, e, 504,
			  "the deadline passed while the command waited: it was not done");
		return true;
	}
	if (!port_usable(engine) && e->msg->seq >= d->lane.unsure_below) {
		entry_say(d, e, 503, "the engine is not connected: the command was not sent");
		return true;
	}
	/* After a restart what can be done again waits for the engine, which is about to come up. */
	if (port_usable(engine) && engine->under_way < ENGINE_PARALLEL)
		rc = engine->ops->send(engine->self, e->msg);
	if (rc == -EAGAIN) {
		list_add_tail(&engine->blocked, &d->lane.blocked);
		return false;
	}
	if (rc < 0) {
		entry_say(d, e, 502, "the engine can't take the command");
		return true;
	}
	list_del(&e->ready);
	e->sent = true;
	d->lane.under_way++;
	engine->under_way++;
	engine->counts.sent++;
	return true;
}

static void lane_pump(void *arg)
{
	struct dialog *d = arg;
	struct lane *l = &d->lane;
	bool more = true, took;

	if (lane_is_recovering(d))
		return;
	took = lane_take(d);
	while (more && !list_empty(&l->ready) && l->under_way < LANE_PARALLEL &&
	       list_empty(&l->blocked))
		more = entry_send(d, container_of(l->ready.next, struct lane_entry, ready));
	if (took)
		set_deadline(d);
	else
		(void)timer_start(&l->deadline, NO_MEMORY_MS);
	/* It leaves room: the next dialog's turn. */
	if (more && list_empty(&l->blocked))
		engine_wake(d->engine);
}

void engine_wake(struct port *engine)
{
	struct list *first = engine->blocked.next;

	if (list_empty(&engine->blocked) || engine->under_way >= ENGINE_PARALLEL)
		return;
	list_del(first);
	lane_wake(container_of(first, struct dialog, lane.blocked));
}

static void on_deadline(void *arg)
{
	struct dialog *d = arg;
	uint64_t now = loop_now(d->hub->opt.loop);

	list_for_each_safe (it, &d->lane.entries) {
		struct lane_entry *e = container_of(it, struct lane_entry, link);

		if (e->deadline_ms > now)
			continue;
		if (!e->sent) {
			entry_say(d, e, 504,
				  "the deadline passed while the command waited: it was not done");
			continue;
		}
		d->hub->stats.timeouts++;
		entry_say(d, e, 504,
			  "no answer by the deadline: whether the command was done is not known");
	}
	lane_wake(d);
}

int lane_answer(struct dialog *d, const struct delivery *reply)
{
	list_for_each (it, &d->lane.entries) {
		struct lane_entry *e = container_of(it, struct lane_entry, link);

		if (e->msg->seq != reply->answers->seq)
			continue;
		if (!e->sent)
			break;
		entry_answer(d, e, reply->status, reply->content_type, reply->payload);
		return 0;
	}
	return -ENOENT;
}

size_t lane_waiting(const struct dialog *d)
{
	const struct lane *l = &d->lane;
	uint64_t floor = cursor_floor(l->cursor), from = l->taken > floor ? l->taken : floor;

	return l->n + (size_t)(stream_next(d->commands) - from);
}

bool lane_is_empty(const struct dialog *d)
{
	return !d->lane.n && stream_next(d->commands) <= cursor_floor(d->lane.cursor);
}

int lane_init(struct dialog *d)
{
	struct lane *l = &d->lane;

	l->unsure_below = stream_next(d->commands);
	return cursor_create(d->commands, CURSOR_REQUIRED, LANE_WINDOW, lane_pump, d, &l->cursor);
}

void lane_prepare(struct dialog *d)
{
	struct lane *l = &d->lane;

	list_init(&l->entries);
	list_init(&l->ready);
	list_init(&l->blocked);
	timer_init(&l->deadline, d->hub->opt.loop, on_deadline, d);
	task_init(&l->again, d->hub->opt.loop, lane_pump, d);
}

void lane_fini(struct dialog *d)
{
	struct lane *l = &d->lane;

	timer_stop(&l->deadline);
	task_cancel(&l->again);
	list_del(&l->blocked);
	list_for_each_safe (it, &l->entries) {
		struct lane_entry *e = container_of(it, struct lane_entry, link);

		d->engine->under_way -= e->sent;
		(void)msg_unref(e->msg);
		free(e);
	}
	lane_recovery_free(d);
	l->cursor = cursor_destroy(l->cursor);
}
