/* SPDX-License-Identifier: MIT */
/*
 * The four channels.
 *
 *   CLOSED --channel.open--> OPENING --open-ok--> PREPARING --select-ok, qos-ok--> OPEN
 *      ^                                 (publishing, consuming)                     |
 *      '------------- channel.close by the broker, opened again after a pause -------'
 *
 * The broker closes a channel for one mistake on it, and everything under way there is void: that
 * is why publishing, consuming, and the two kinds of questions about queues have one each. The pause
 * doubles up to 5 s, so that a mistake that comes back does not become a storm. A permission that
 * is missing ends the link: somebody must act, and nothing would work without.
 */
#include <errno.h>
#include <stdio.h>

#include "buses/amqp/amqp_consume.h"
#include "buses/amqp/amqp_link.h"
#include "buses/amqp/amqp_publish.h"
#include "buses/amqp/amqp_queue.h"

enum { REOPEN_FIRST_MS = 20, REOPEN_MAX_MS = 5000, GOOD_MS = 10000 };

static const char *const role_names[] = {
	[AMQP_PUBLISHING] = "publishing",
	[AMQP_CONSUMING] = "consuming",
	[AMQP_DECLARING] = "declaring",
	[AMQP_SWEEPING] = "sweeping",
};

static unsigned number_of(const struct amqp_channel *ch)
{
	return amqp_channel_of(ch->role);
}

bool amqp_channel_is_open(const struct amqp_bus *bus, enum amqp_role role)
{
	return bus->channels[role].state == AMQP_OPEN;
}

static void open_channel(struct amqp_channel *ch)
{
	ch->state = AMQP_OPENING;
	amqp_say(ch->bus, number_of(ch), &(struct amqp_method){ AMQP_CHANNEL_OPEN });
}

static void on_reopen(void *arg)
{
	open_channel(arg);
}

void amqp_channels_open(struct amqp_bus *bus)
{
	bus->phase = AMQP_PREPARING_CHANNELS;
	for (size_t i = 0; i < AMQP_BUS_CHANNELS; i++)
		open_channel(&bus->channels[i]);
}

static bool all_open(const struct amqp_bus *bus)
{
	for (size_t i = 0; i < AMQP_BUS_CHANNELS; i++)
		if (bus->channels[i].state != AMQP_OPEN)
			return false;
	return true;
}

static void opened(struct amqp_channel *ch)
{
	struct amqp_bus *bus = ch->bus;

	ch->state = AMQP_OPEN;
	ch->opened_ms = loop_now(bus->loop);
	if (bus->phase == AMQP_PREPARING_CHANNELS) {
		if (all_open(bus))
			amqp_bus_ready(bus);
		return;
	}
	if (ch->role == AMQP_PUBLISHING)
		amqp_publish_room(bus);
	else if (ch->role == AMQP_CONSUMING)
		amqp_consume_channel_open(bus);
	else
		amqp_ops_pump(bus, ch->role);
}

static void prepare(struct amqp_channel *ch)
{
	struct amqp_bus *bus = ch->bus;

	ch->state = AMQP_PREPARING;
	if (ch->role == AMQP_PUBLISHING)
		amqp_say(bus, number_of(ch), &(struct amqp_method){ AMQP_CONFIRM_SELECT });
	else if (ch->role == AMQP_CONSUMING)
		amqp_say(bus, number_of(ch),
			 &(struct amqp_method){
				 AMQP_BASIC_QOS,
				 .qos = { .prefetch_count = (uint16_t)bus->conf->prefetch } });
	else
		opened(ch);
}

/* ---- the broker closes one */

/* What a user lacks for which method, or NULL. */
static const char *permission_for(const struct amqp_close *close)
{
	if (close->code != AMQP_ACCESS_REFUSED)
		return NULL;
	switch (AMQP_ID(close->class_id, close->method_id)) {
	case AMQP_BASIC_PUBLISH:
		return "write";
	case AMQP_BASIC_CONSUME:
		return "read";
	case AMQP_QUEUE_DECLARE:
	case AMQP_QUEUE_DELETE:
		return "configure";
	default:
		return "more";
	}
}

static void role_lost(struct amqp_channel *ch, const struct amqp_close *close)
{
	struct amqp_bus *bus = ch->bus;

	if (ch->role == AMQP_PUBLISHING) {
		amqp_publish_channel_lost(bus);
	} else if (ch->role == AMQP_CONSUMING) {
		amqp_commands_lost(bus);
		amqp_consume_channel_lost(bus);
	} else {
		amqp_ops_refused(bus, ch->role, close);
	}
}

static void take_close(struct amqp_channel *ch, const struct amqp_close *close)
{
	struct amqp_bus *bus = ch->bus;
	const char *lacks = ch->role == AMQP_SWEEPING ? NULL : permission_for(close);
	bool preparing = bus->phase == AMQP_PREPARING_CHANNELS;

	amqp_say(bus, number_of(ch), &(struct amqp_method){ AMQP_CHANNEL_CLOSE_OK });
	bus->stats.channel_errors++;
	if (lacks || preparing) {
		amqp_link_flush(bus);
		amqp_link_lost(
			bus, PORT_FAILED,
			"user \"%s\" at the broker %s may not do what voxbus must (%.*s): give "
			"it %s permissions (rabbitmqctl set_permissions); retrying every 30 s",
			amqp_link_uri(bus)->user, amqp_link_host(bus), STR_ARG(close->text),
			lacks ? lacks : "more");
		return;
	}
	ch->state = AMQP_CLOSED;
	amqp_assembly_reset(&ch->assembly);
	if (loop_now(bus->loop) - ch->opened_ms >= GOOD_MS)
		backoff_reset(&ch->backoff);
	if (timer_start(&ch->reopen, backoff_next_ms(&ch->backoff)) < 0)
		amqp_link_break(bus);
	/* That a queue which is to be deleted is gone or in use is no news. */
	if (ch->role != AMQP_SWEEPING)
		log_warn(bus->log, "channel closed", "channel=%s code=%u reason=%.*s then=%s",
			 role_names[ch->role], close->code, STR_ARG(close->text),
			 "it is opened again, and what was under way is done again");
	role_lost(ch, close);
}

/* ---- dispatch */

/* false: it may not come now. */
static bool take_publishing(struct amqp_bus *bus, enum amqp_event event,
			    const struct amqp_message *m)
{
	if (event == AMQP_GOT_MESSAGE && m->method.id == AMQP_BASIC_RETURN)
		amqp_publish_returned(bus, m);
	else if (m->method.id == AMQP_BASIC_ACK)
		amqp_publish_confirmed(bus, &m->method.ack, true);
	else if (m->method.id == AMQP_BASIC_NACK)
		amqp_publish_confirmed(bus, &m->method.ack, false);
	else
		return false;
	return true;
}

static bool take_consuming(struct amqp_bus *bus, enum amqp_event event,
			   const struct amqp_message *m)
{
	if (m->method.id == AMQP_BASIC_DELIVER)
		amqp_command_delivered(bus, m, event == AMQP_GOT_OVERSIZED);
	else if (m->method.id == AMQP_BASIC_CONSUME_OK)
		amqp_consume_ok(bus, m->method.cancel.consumer_tag);
	else if (m->method.id == AMQP_BASIC_CANCEL)
		amqp_consume_cancelled(bus, m->method.cancel.consumer_tag);
	else
		return m->method.id == AMQP_BASIC_CANCEL_OK;
	return true;
}

static bool take_role(struct amqp_channel *ch, enum amqp_event event, const struct amqp_message *m)
{
	uint32_t id = m->method.id;

	if (ch->state != AMQP_OPEN)
		return false;
	if (ch->role == AMQP_PUBLISHING)
		return take_publishing(ch->bus, event, m);
	if (ch->role == AMQP_CONSUMING)
		return take_consuming(ch->bus, event, m);
	if (id != AMQP_QUEUE_DECLARE_OK && id != AMQP_QUEUE_DELETE_OK)
		return false;
	amqp_ops_answered(ch->bus, ch->role, &m->method);
	return true;
}

static void take(struct amqp_channel *ch, enum amqp_event event, const struct amqp_message *m)
{
	uint32_t id = m->method.id;
	struct amqp_fault fault = { .class_id = AMQP_CLASS_OF(id),
				    .method_id = AMQP_METHOD_OF(id) };

	if (ch->bus->closing || ch->state == AMQP_CLOSED)
		return; /* said before the broker heard of it */
	if (id == AMQP_CHANNEL_CLOSE) {
		take_close(ch, &m->method.close);
	} else if (id == AMQP_CHANNEL_OPEN_OK && ch->state == AMQP_OPENING) {
		prepare(ch);
	} else if ((id == AMQP_CONFIRM_SELECT_OK || id == AMQP_BASIC_QOS_OK) &&
		   ch->state == AMQP_PREPARING) {
		opened(ch);
	} else if (id == AMQP_CHANNEL_FLOW) {
		amqp_say(ch->bus, number_of(ch),
			 &(struct amqp_method){ AMQP_CHANNEL_FLOW_OK, .flow = m->method.flow });
	} else if (!take_role(ch, event, m)) {
		(void)amqp_fault_set(&fault, AMQP_COMMAND_INVALID, "%s on channel %u now",
				     amqp_method_name(id), number_of(ch));
		amqp_link_fault(ch->bus, &fault);
	}
}

void amqp_channel_frame(struct amqp_bus *bus, const struct amqp_frame *frame)
{
	struct amqp_fault fault = { 0 };
	struct amqp_message message = { .method = { 0 } };
	struct amqp_channel *ch;
	int rc;

	if (frame->channel > AMQP_BUS_CHANNELS || bus->phase < AMQP_PREPARING_CHANNELS) {
		(void)amqp_fault_set(&fault, AMQP_CHANNEL_ERROR, "a frame on channel %u",
				     frame->channel);
		amqp_link_fault(bus, &fault);
		return;
	}
	ch = &bus->channels[frame->channel - 1];
	rc = amqp_assembly_take(&ch->assembly, frame, &message, &fault);
	if (rc == -EBADMSG)
		amqp_link_fault(bus, &fault);
	else if (rc < 0)
		amqp_link_lost(bus, PORT_DOWN,
			       "no memory for what the broker at %s says; "
			       "connecting again",
			       amqp_link_host(bus));
	else if (rc != AMQP_MORE)
		take(ch, (enum amqp_event)rc, &message);
}

/* ---- life */

void amqp_channels_lost(struct amqp_bus *bus)
{
	for (size_t i = 0; i < AMQP_BUS_CHANNELS; i++) {
		struct amqp_channel *ch = &bus->channels[i];

		ch->state = AMQP_CLOSED;
		amqp_assembly_reset(&ch->assembly);
		timer_stop(&ch->reopen);
	}
}

void amqp_channels_init(struct amqp_bus *bus)
{
	for (size_t i = 0; i < AMQP_BUS_CHANNELS; i++) {
		struct amqp_channel *ch = &bus->channels[i];

		ch->bus = bus;
		ch->role = (enum amqp_role)i;
		/* What comes back by basic.return is what we sent. */
		amqp_assembly_init(&ch->assembly,
				   i == AMQP_PUBLISHING ? AMQP_BODY_MAX : AMQP_COMMAND_MAX);
		timer_init(&ch->reopen, bus->loop, on_reopen, ch);
		backoff_init(&ch->backoff, REOPEN_FIRST_MS, REOPEN_MAX_MS);
	}
}

void amqp_channels_fini(struct amqp_bus *bus)
{
	for (size_t i = 0; i < AMQP_BUS_CHANNELS; i++) {
		timer_stop(&bus->channels[i].reopen);
		amqp_assembly_fini(&bus->channels[i].assembly);
	}
}
