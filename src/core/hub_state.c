/* SPDX-License-Identifier: MIT */
/*
 * Dialogs across a restart: one small state each in the journal, "dialog/<id>".
 *
 * The value is a run of strings (u16 length, bytes): version, application, engine, state, the
 * AppStart's number, opened (ns), channel, label, accepted, tries, closed (ns), the first of
 * its events that was not delivered if they are kept (these four not in version 1), then kind, live and id of each object. It is
 * written anew, once a turn at most, when the dialog changes, or later when the journal refuses; it
 * goes with the dialog. A dialog whose application or
 * engine is no longer configured is forgotten, with a line in the log.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/hub_internal.h"
#include "journal/journal.h"

enum { VALUE_MAX = 65535, KEY_MAX = 64, SAVE_AGAIN_MS = 1000 };
#define STATES_MAX ((size_t)1 << 32)
#define VERSION    STR("2")

static struct str key_of(const struct dialog *d, char key[KEY_MAX])
{
	int n = snprintf(key, KEY_MAX, "dialog/%s", d->id);

	return str_make(key, (size_t)n);
}

void dialog_changed(struct dialog *d)
{
	struct hub *hub = d->hub;

	if (!hub->opt.journal || !d->application->record || hub->recovering)
		return;
	if (list_empty(&d->unsaved))
		list_add_tail(&hub->unsaved, &d->unsaved);
	task_defer(&hub->save);
}

void dialog_forget(struct dialog *d)
{
	char key[KEY_MAX];
	uint64_t lsn;

	results_forget(d);
	list_del(&d->unsaved);
	if (d->hub->opt.journal && d->application->record)
		(void)journal_put(d->hub->opt.journal, key_of(d, key), str_make(NULL, 0), &lsn);
}

static void add(struct buf *b, struct str s)
{
	char n[2] = { (char)(s.n & 0xff), (char)(s.n >> 8) };

	(void)buf_add(b, str_make(n, 2));
	(void)buf_add(b, s);
}

static void add_number(struct buf *b, uint64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, v);

	add(b, str_make(text, (size_t)n));
}

/* 0 or a negative errno. */
static int save(struct dialog *d)
{
	auto_buf struct buf b;
	char key[KEY_MAX];
	uint64_t lsn;

	buf_init(&b, VALUE_MAX);
	add(&b, VERSION);
	add(&b, d->application->node.key);
	add(&b, str_from(d->engine->name));
	add_number(&b, d->state);
	add_number(&b, d->announced);
	add_number(&b, d->opened_wall_ns);
	add(&b, str_from(d->channel));
	add(&b, str_from(d->label));
	add_number(&b, d->accept.accepted);
	add_number(&b, d->accept.tries);
	add_number(&b, d->keep.closed_ns);
	d->keep.saved = keep_sent(d);
	add_number(&b, d->keep.saved);
	list_for_each (it, &d->bindings) {
		const struct binding *one = container_of(it, struct binding, of_dialog);

		/* A dialog of a thousand objects keeps those that fit: the rest is found again. */
		if (buf_len(&b) + one->object->id.n + 16 > VALUE_MAX)
			break;
		add_number(&b, one->object->kind);
		add_number(&b, one->live);
		add(&b, one->object->id);
	}
	return journal_put(d->hub->opt.journal, key_of(d, key), buf_str(&b), &lsn);
}

void hub_save(void *arg)
{
	struct hub *hub = arg;

	while (!list_empty(&hub->unsaved)) {
		struct dialog *d = container_of(hub->unsaved.next, struct dialog, unsaved);

		int rc = save(d);

		if ((rc == -ENOSPC || rc == -EAGAIN) &&
		    timer_start(&hub->save_again, SAVE_AGAIN_MS) == 0)
			return;
		list_del(&d->unsaved);
	}
}

/* The next string; an empty one with p = NULL at the end. */
static struct str take(struct str *rest)
{
	size_t n;
	struct str s;

	if (!rest->p || rest->n < 2)
		return str_make(NULL, 0);
	n = (unsigned char)rest->p[0] | (size_t)(unsigned char)rest->p[1] << 8;
	if (n > rest->n - 2)
		return str_make(NULL, 0);
	s = str_make(rest->p + 2, n);
	*rest = str_skip(*rest, 2 + n);
	return s;
}

static uint64_t take_number(struct str *rest)
{
	uint64_t v = 0;

	return str_u64(take(rest), &v) == 0 ? v : 0;
}

static void take_text(struct str *rest, char *out, size_t size)
{
	struct str s = take(rest);

	(void)snprintf(out, size, "%.*s", STR_ARG(s));
}

static void recover_objects(struct dialog *d, struct str rest)
{
	while (rest.n) {
		uint64_t kind = take_number(&rest), live = take_number(&rest);
		struct str id = take(&rest);
		struct object *o;

		if (!id.p || kind > OBJECT_RECORDING)
			return;
		(void)object_bind(d, (enum object_kind)kind, id);
		o = object_find(d->engine, (enum object_kind)kind, id);
		if (o && !live)
			object_leave(o);
	}
}

static void forget_key(struct hub *hub, struct str key)
{
	uint64_t lsn;

	(void)journal_put(hub->opt.journal, key, str_make(NULL, 0), &lsn);
}

static void recover(void *arg, struct str key, struct str value)
{
	struct hub *hub = arg;
	struct str id = str_skip(key, STR("dialog/").n), version = take(&value);
	struct map_node *app = map_find(&hub->applications, take(&value));
	struct port *engine = hub_port(hub, take(&value), PORT_ENGINE);
	uint64_t state = take_number(&value), tries, closed_ns;
	bool old = str_eq(version, STR("1")), accepted;
	struct dialog *d;

	if ((!old && !str_eq(version, VERSION)) || !app || !engine || id.n >= RAND_DIALOG_ID_SIZE ||
	    dialog_create(hub, container_of(app, struct application, node), engine, id, &d) < 0) {
		log_warn(hub->opt.log, "dialog not recovered", "dialog=%.*s then=%s", STR_ARG(id),
			 "it is forgotten: its application or engine is not configured any more");
		forget_key(hub, key);
		return;
	}
	d->announced = take_number(&value);
	/* An AppStart that the journal did not keep (it had refused) is said again. */
	if (d->announced >= stream_next(d->application->announces))
		d->announced = 0;
	d->opened_wall_ns = take_number(&value);
	take_text(&value, d->channel, sizeof(d->channel));
	take_text(&value, d->label, sizeof(d->label));
	accepted = old || take_number(&value);
	tries = old ? 0 : take_number(&value);
	closed_ns = old ? 0 : take_number(&value);
	keep_recovered(d, closed_ns, old ? 0 : take_number(&value), state >= DIALOG_CLOSED);
	if (!accepted && state < DIALOG_CLOSED && accept_begin(d, (unsigned)tries) < 0)
		d->accept.accepted = true;
	dialog_hold(d);
	if (state >= DIALOG_CLOSED) {
		dialog_recover_closed(d);
		return;
	}
	d->state = d->announced ? DIALOG_OPEN : DIALOG_OPENING;
	recover_objects(d, value);
	dialog_channels_changed(d);
}

static void adopt(struct dialog *d)
{
	struct object_ref *refs = calloc(d->objects + 1, sizeof(*refs));
	size_t n = 0;

	if (!refs)
		return;
	list_for_each (it, &d->bindings) {
		const struct binding *b = container_of(it, struct binding, of_dialog);

		refs[n++] = (struct object_ref){ .kind = b->object->kind,
						 .id = b->object->id,
						 .verbs = b->live ? 0 : OBJECT_LEAVES };
	}
	d->engine->ops->adopt(d->engine->self, d->application->node.key, refs, n);
	free(refs);
}

/* The states are copied first: recovering one may write others. */
static void copy(void *arg, struct str key, struct str value)
{
	add(arg, key);
	add(arg, value);
}

static int each_state(struct hub *hub, struct str prefix,
		      void (*fn)(void *arg, struct str key, struct str value))
{
	auto_buf struct buf states;
	struct str rest;

	buf_init(&states, STATES_MAX);
	journal_each_state(hub->opt.journal, prefix, copy, &states);
	for (rest = buf_str(&states); rest.n;) {
		struct str key = take(&rest), value = take(&rest);

		if (!value.p)
			return -ENOMEM; /* the copy is cut short */
		fn(hub, key, value);
	}
	return 0;
}

static void recover_mark(void *arg, struct str key, struct str value)
{
	struct hub *hub = arg;
	struct dialog *d = dialog_find(hub, str_skip(key, STR("lane/").n));

	if (d && d->state != DIALOG_CLOSED)
		lane_recover_mark(d, value);
	else
		forget_key(hub, key);
}

static void recover_result(void *arg, struct str key, struct str value)
{
	struct hub *hub = arg;
	struct str rest = str_skip(key, STR("command/").n), id = str_cut(&rest, '/');
	struct dialog *d = dialog_find(hub, id);

	if (d && d->state != DIALOG_CLOSED && application_keeps_results(d->application))
		result_recover(d, rest, value);
	else
		forget_key(hub, key);
}

static void recovered(struct dialog *d)
{
	if (d->state == DIALOG_CLOSED)
		return;
	if (!d->announced)
		dialog_listen(d);
	else if (!d->out_events || !d->out_events->held)
		accept_announced(d); /* else when it has gone out again */
	if (d->engine->ops->adopt)
		adopt(d);
	lane_recover(d);
}

int hub_recover(struct hub *hub)
{
	int rc;

	if (!hub->opt.journal)
		return 0;
	hub->recovering = true;
	rc = each_state(hub, STR("dialog/"), recover);
	if (rc == 0)
		rc = each_state(hub, STR("lane/"), recover_mark);
	if (rc == 0)
		rc = each_state(hub, STR("command/"), recover_result);
	hub->recovering = false;
	map_for_each (it, &hub->dialogs)
		recovered(container_of(it, struct dialog, node));
	return rc;
}
