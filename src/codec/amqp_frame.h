/* SPDX-License-Identifier: MIT */
/*
 * Where frames begin and end (specification section 2.3.5 and 4.2.3):
 *
 *     type(1) channel(2) size(4) payload(size) 0xCE
 *
 * A frame that lies whole in the caller's bytes is handed out as a slice of them; only one that is
 * cut is gathered, in room of at most frame_max.
 */
#ifndef VOXBUS_CODEC_AMQP_FRAME_H
#define VOXBUS_CODEC_AMQP_FRAME_H

#include <stdbool.h>

#include "base/buf.h"
#include "codec/amqp.h"

enum { AMQP_FRAME_END = 0xce };

enum amqp_frame_type {
	AMQP_FRAME_METHOD = 1,
	AMQP_FRAME_HEADER = 2,
	AMQP_FRAME_BODY = 3,
	AMQP_FRAME_HEARTBEAT = 8,
};

struct amqp_frame {
	enum amqp_frame_type type;
	uint16_t channel; /* 0 is the connection's, and for heartbeats and methods only */
	struct str payload;
};

/* Lies in its user; the members are the reader's own. */
struct amqp_frame_reader {
	struct buf part; /* of a frame that came in pieces */
	size_t max;
	bool handed_out; /* part is what the last call gave */
	bool met;        /* a frame has come: the peer speaks AMQP */
};

/* frame_max is AMQP_FRAME_MIN until it is set otherwise. Holds no memory until a frame is cut. */
void amqp_frame_reader_init(struct amqp_frame_reader *r);
void amqp_frame_reader_fini(struct amqp_frame_reader *r);
/* What tune-ok said; from the next frame on. frame_max: AMQP_FRAME_MIN to AMQP_FRAME_MAX. */
void amqp_frame_reader_set_max(struct amqp_frame_reader *r, size_t frame_max);
/*
 * Takes a frame from the front of *data: 1 and *ret, whose payload is valid until the next call
 * or until the bytes of *data go; 0 when all of *data was used and no frame is complete; -EBADMSG
 * and *f (501 for what breaks framing, 504 for content on channel 0, 0 for a peer that refuses
 * 0-9-1 or speaks something else); -ENOMEM. After an error the reader is dead.
 */
int amqp_frame_read(struct amqp_frame_reader *r, struct str *data, struct amqp_frame *ret,
		    struct amqp_fault *f);
/* Appends a heartbeat: 0, -ENOBUFS or -ENOMEM. */
int amqp_heartbeat_write(struct buf *b);

#endif
