/* SPDX-License-Identifier: MIT */
/*
 * Messages: a method, the properties and a body, which travel as a method frame, a header frame
 * and as many body frames as the size needs (specification section 4.2.6).
 *
 * What comes is put together by one amqp_assembly for each channel. A body that lies in one frame
 * is handed out where it lies; only one of several frames is copied.
 */
#ifndef VOXBUS_CODEC_AMQP_CONTENT_H
#define VOXBUS_CODEC_AMQP_CONTENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "codec/amqp_method.h"

/* The bits of amqp_properties.present, as they are on the wire. */
enum amqp_has {
	AMQP_HAS_CONTENT_TYPE = 1 << 15,
	AMQP_HAS_CONTENT_ENCODING = 1 << 14,
	AMQP_HAS_HEADERS = 1 << 13,
	AMQP_HAS_DELIVERY_MODE = 1 << 12,
	AMQP_HAS_PRIORITY = 1 << 11,
	AMQP_HAS_CORRELATION_ID = 1 << 10,
	AMQP_HAS_REPLY_TO = 1 << 9,
	AMQP_HAS_EXPIRATION = 1 << 8,
	AMQP_HAS_MESSAGE_ID = 1 << 7,
	AMQP_HAS_TIMESTAMP = 1 << 6,
	AMQP_HAS_TYPE = 1 << 5,
	AMQP_HAS_USER_ID = 1 << 4,
	AMQP_HAS_APP_ID = 1 << 3,
	AMQP_HAS_CLUSTER_ID = 1 << 2,
};

enum amqp_delivery_mode { AMQP_TRANSIENT = 1, AMQP_PERSISTENT = 2 };

/* A member holds only if its bit is in `present`, and is only written then. */
struct amqp_properties {
	uint16_t present;
	uint8_t delivery_mode, priority; /* priority: 0 to 9 */
	struct str content_type, content_encoding;
	struct str headers; /* table */
	struct str correlation_id, reply_to;
	struct str expiration; /* milliseconds, in decimal */
	struct str message_id;
	uint64_t timestamp; /* seconds since 1970 */
	struct str type, user_id, app_id, cluster_id;
};

struct amqp_message {
	struct amqp_method method;
	struct amqp_properties properties;
	struct str body;
};

enum amqp_event {
	AMQP_MORE,          /* nothing to act upon yet */
	AMQP_GOT_METHOD,    /* ret->method, one without content */
	AMQP_GOT_MESSAGE,   /* all of *ret */
	AMQP_GOT_OVERSIZED, /* ret->method and ret->properties; the body is over the limit */
};

/* Lies in its user, one a channel; the members are its own. */
struct amqp_assembly {
	size_t limit;
	struct buf method, header, body; /* payloads of the message that is under way */
	struct amqp_message message;
	uint64_t left; /* bytes of the body to come */
	unsigned char state;
	bool handed_out, oversized;
};

/* limit: the most bytes of a body. Holds no memory until content comes. */
void amqp_assembly_init(struct amqp_assembly *a, size_t limit);
void amqp_assembly_fini(struct amqp_assembly *a);
/* The channel was closed: what was under way is forgotten. */
void amqp_assembly_reset(struct amqp_assembly *a);
/*
 * Takes a frame of this channel, not a heartbeat, and says what it completed. Slices in *ret are
 * valid until the next call or until the frame's bytes go.
 *
 * Full: AMQP_GOT_OVERSIZED comes at the header, the body is passed over as it comes, and the
 * channel stays usable: who wants the broker to drop such a message rejects its delivery_tag. It
 * sets *f (311 and a sentence), as for a channel.close.
 *
 * -EBADMSG and *f (505 for a frame out of turn, 501 for sizes or classes that contradict each
 * other, 502 for properties that don't fit, and amqp_method_read's), after which the connection is
 * to be closed; -ENOMEM.
 */
int amqp_assembly_take(struct amqp_assembly *a, const struct amqp_frame *frame,
		       struct amqp_message *ret, struct amqp_fault *f);

/*
 * Appends all frames of a message, whole or not at all: 0, or as amqp_method_write; -EINVAL also
 * for a method without content and a frame_max under AMQP_FRAME_MIN.
 */
int amqp_message_write(struct buf *b, uint16_t channel, size_t frame_max,
		       const struct amqp_message *message);

#endif
