/* SPDX-License-Identifier: MIT */
/* Logging in: RFC 4616 for PLAIN; capabilities as RabbitMQ's documentation of them names them. */
#include "codec/amqp_login.h"

#include <assert.h>
#include <errno.h>

#include "codec/amqp_internal.h"
#include "codec/amqp_table.h"

enum { CAPABILITIES_ROOM = 256 };

bool amqp_offers(struct str mechanisms, struct str mechanism)
{
	while (mechanisms.n)
		if (str_eq(str_cut(&mechanisms, ' '), mechanism))
			return true;
	return false;
}

int amqp_plain_response(struct buf *b, struct str user, const struct secret *password)
{
	struct amqp_out out = amqp_out_begin(b);

	if (str_find(user, '\0') != user.n)
		return -EINVAL;
	amqp_out_uint(&out, 0, 1);
	amqp_out_bytes(&out, user);
	amqp_out_uint(&out, 0, 1);
	amqp_out_bytes(&out, secret_str(password));
	return amqp_out_end(&out);
}

static int add_capabilities(struct buf *table)
{
	static const struct str names[] = {
		STR_INIT("publisher_confirms"),         STR_INIT("basic.nack"),
		STR_INIT("consumer_cancel_notify"),     STR_INIT("connection.blocked"),
		STR_INIT("exchange_exchange_bindings"), STR_INIT("authentication_failure_close"),
	};
	struct buf inner auto_buf = { 0 };
	int rc = 0;

	buf_init(&inner, CAPABILITIES_ROOM);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && rc == 0; i++)
		rc = amqp_table_add_bool(&inner, names[i], true);
	return rc < 0 ? rc : amqp_table_add_table(table, STR("capabilities"), buf_str(&inner));
}

int amqp_client_properties(struct buf *table, struct str product, struct str version,
			   struct str name)
{
	struct amqp_out out = amqp_out_begin(table);

	out.rc = amqp_table_add_str(table, STR("product"), product);
	if (out.rc == 0)
		out.rc = amqp_table_add_str(table, STR("version"), version);
	if (out.rc == 0)
		out.rc = amqp_table_add_str(table, STR("connection_name"), name);
	if (out.rc == 0)
		out.rc = add_capabilities(table);
	return amqp_out_end(&out);
}

static uint32_t lower_of(uint32_t a, uint32_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

int amqp_tune_agree(const struct amqp_tune *ours, const struct amqp_tune *theirs,
		    struct amqp_tune *ret, struct amqp_fault *f)
{
	assert(ours->frame_max >= AMQP_FRAME_MIN && ours->frame_max <= AMQP_FRAME_MAX);
	if (theirs->frame_max && theirs->frame_max < AMQP_FRAME_MIN)
		return amqp_fault_set(f, AMQP_SYNTAX_ERROR,
				      "connection.tune: frame_max is %u, must be 0 or at least %d",
				      theirs->frame_max, AMQP_FRAME_MIN);
	ret->channel_max = (uint16_t)lower_of(ours->channel_max, theirs->channel_max);
	ret->frame_max = lower_of(ours->frame_max, theirs->frame_max);
	ret->heartbeat = (uint16_t)lower_of(ours->heartbeat, theirs->heartbeat);
	return 0;
}
