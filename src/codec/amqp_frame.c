/* SPDX-License-Identifier: MIT */
/*
 * The frame reader. A frame is judged as soon as its bytes are there: the type at the first, the
 * size at the seventh, before anything is kept for it. So what a peer can make us hold is one
 * frame, and how its bytes are cut changes nothing but the copying.
 */
#include "codec/amqp_frame.h"

#include <assert.h>
#include <errno.h>

#include "codec/amqp_internal.h"

enum {
	HEAD = 7,       /* type, channel and size */
	VERSION_AT = 5, /* in AMQP_PROTOCOL_HEADER */
	TLS_ALERT = 21, /* RFC 8446 section 5.1 */
};

void amqp_frame_reader_init(struct amqp_frame_reader *r)
{
	*r = (struct amqp_frame_reader){ .max = AMQP_FRAME_MIN };
	buf_init(&r->part, AMQP_FRAME_MAX);
}

void amqp_frame_reader_fini(struct amqp_frame_reader *r)
{
	buf_fini(&r->part);
}

void amqp_frame_reader_set_max(struct amqp_frame_reader *r, size_t frame_max)
{
	assert(frame_max >= AMQP_FRAME_MIN && frame_max <= AMQP_FRAME_MAX);
	r->max = frame_max;
}

static bool is_type(unsigned char type)
{
	return type == AMQP_FRAME_METHOD || type == AMQP_FRAME_HEADER || type == AMQP_FRAME_BODY ||
	       type == AMQP_FRAME_HEARTBEAT;
}

/* The first bytes of the connection are no frame: at most a broker's other version. */
static int refuse_stranger(unsigned first, struct str head, struct amqp_fault *f)
{
	struct amqp_in version = { str_skip(head, VERSION_AT), false };
	unsigned major, minor;

	if (first == 'A' && head.n < HEAD)
		return 0;
	if (!str_starts(head, STR("AMQP")))
		return amqp_fault_set(f, 0, "the peer speaks no AMQP: its first byte is %u%s",
				      first, first == TLS_ALERT ? ", as of a TLS alert" : "");
	major = (unsigned)amqp_in_uint(&version, 1);
	minor = (unsigned)amqp_in_uint(&version, 1);
	return amqp_fault_set(f, 0, "the broker refuses AMQP 0-9-1 and offers %u-%u", major, minor);
}

/* Of the frame that begins here: its whole size, 0 while that can't be told, or -EBADMSG. */
static long frame_size(const struct amqp_frame_reader *r, struct str head, struct amqp_fault *f)
{
	struct amqp_in in = { head, false };
	unsigned type, channel;
	size_t size;

	if (head.n == 0)
		return 0;
	type = (unsigned)amqp_in_uint(&in, 1);
	if (!is_type((unsigned char)type))
		return r->met ? amqp_fault_set(f, AMQP_FRAME_ERROR,
					       "a frame of the unknown type %u", type)
			      : refuse_stranger(type, head, f);
	if (head.n < HEAD)
		return 0;
	channel = (unsigned)amqp_in_uint(&in, 2);
	size = (size_t)amqp_in_uint(&in, 4);
	if (size > r->max - AMQP_FRAME_OVERHEAD)
		return amqp_fault_set(f, AMQP_FRAME_ERROR,
				      "a frame with %zu bytes of payload, at most %zu were agreed",
				      size, r->max - AMQP_FRAME_OVERHEAD);
	if (type == AMQP_FRAME_HEARTBEAT && (channel != 0 || size != 0))
		return amqp_fault_set(f, AMQP_FRAME_ERROR,
				      "a heartbeat on channel %u with %zu bytes, must be 0 and 0",
				      channel, size);
	if ((type == AMQP_FRAME_HEADER || type == AMQP_FRAME_BODY) && channel == 0)
		return amqp_fault_set(f, AMQP_CHANNEL_ERROR, "content on channel 0");
	return (long)(size + AMQP_FRAME_OVERHEAD);
}

/* whole: all bytes of a frame that frame_size has seen. */
static int finish(struct amqp_frame_reader *r, struct str whole, struct amqp_frame *ret,
		  struct amqp_fault *f)
{
	struct amqp_in in = { whole, false };
	unsigned end;

	ret->type = (enum amqp_frame_type)amqp_in_uint(&in, 1);
	ret->channel = (uint16_t)amqp_in_uint(&in, 2);
	ret->payload = amqp_in_long(&in);
	end = (unsigned)amqp_in_uint(&in, 1);
	if (end != AMQP_FRAME_END)
		return amqp_fault_set(f, AMQP_FRAME_ERROR,
				      "a frame of %zu bytes ends in 0x%02x instead of 0xce",
				      whole.n, end);
	r->met = true;
	return 1;
}

static int gather(struct amqp_frame_reader *r, struct str *data, struct amqp_frame *ret,
		  struct amqp_fault *f)
{
	for (;;) {
		struct str have = buf_str(&r->part);
		long size = frame_size(r, have, f);
		size_t wanted = size ? (size_t)size : HEAD, n;
		int rc;

		if (size < 0)
			return (int)size;
		if (have.n == wanted) {
			r->handed_out = true;
			return finish(r, have, ret, f);
		}
		n = wanted - have.n < data->n ? wanted - have.n : data->n;
		if (n == 0)
			return 0;
		rc = buf_add(&r->part, str_make(data->p, n));
		if (rc < 0)
			return rc;
		*data = str_skip(*data, n);
	}
}

int amqp_frame_read(struct amqp_frame_reader *r, struct str *data, struct amqp_frame *ret,
		    struct amqp_fault *f)
{
	struct str whole;
	long size;

	if (r->handed_out) {
		buf_consume(&r->part, buf_len(&r->part));
		r->handed_out = false;
	}
	if (buf_len(&r->part))
		return gather(r, data, ret, f);
	size = frame_size(r, *data, f);
	if (size < 0)
		return (int)size;
	if (size == 0 || (size_t)size > data->n)
		return gather(r, data, ret, f);
	whole = str_make(data->p, (size_t)size);
	*data = str_skip(*data, whole.n);
	return finish(r, whole, ret, f);
}

int amqp_heartbeat_write(struct buf *b)
{
	return buf_add(b, STR("\x08\0\0\0\0\0\0\xce"));
}
