/* SPDX-License-Identifier: MIT */
/*
 * Content, in and out. A channel goes round
 *
 *     IDLE --method with content--> HEADER --header--> BODY --last byte--> IDLE
 *
 * (an empty body leaves BODY out) and any other frame in between is out of turn. Method and header
 * are kept in buffers of their own, which don't move any more once they are decoded.
 */
#include "codec/amqp_content.h"

#include <errno.h>

#include "codec/amqp_internal.h"

enum { IDLE, HEADER, BODY };

#define PROPERTY(bit, kind, type, m)                                                          \
	{                                                                                     \
		AMQP_HAS_##bit, AMQP_FIELD(AMQP_KIND_##kind, type, struct amqp_properties, m) \
	}

/* In the order of the wire: from the highest bit down. */
static const struct {
	uint16_t bit;
	struct amqp_field field;
} properties[] = {
	PROPERTY(CONTENT_TYPE, SHORT, struct str, content_type),
	PROPERTY(CONTENT_ENCODING, SHORT, struct str, content_encoding),
	PROPERTY(HEADERS, TABLE, struct str, headers),
	PROPERTY(DELIVERY_MODE, U8, uint8_t, delivery_mode),
	PROPERTY(PRIORITY, U8, uint8_t, priority),
	PROPERTY(CORRELATION_ID, SHORT, struct str, correlation_id),
	PROPERTY(REPLY_TO, SHORT, struct str, reply_to),
	PROPERTY(EXPIRATION, SHORT, struct str, expiration),
	PROPERTY(MESSAGE_ID, SHORT, struct str, message_id),
	PROPERTY(TIMESTAMP, U64, uint64_t, timestamp),
	PROPERTY(TYPE, SHORT, struct str, type),
	PROPERTY(USER_ID, SHORT, struct str, user_id),
	PROPERTY(APP_ID, SHORT, struct str, app_id),
	PROPERTY(CLUSTER_ID, SHORT, struct str, cluster_id),
};

enum {
	N_PROPERTIES = sizeof(properties) / sizeof(*properties),
	UNKNOWN = 3, /* bit 0 announces further bits, and none are defined */
};

static int read_properties(struct amqp_in *in, struct amqp_properties *ret, struct amqp_fault *f)
{
	*ret = (struct amqp_properties){ .present = (uint16_t)amqp_in_uint(in, 2) };
	if (ret->present & UNKNOWN)
		return amqp_fault_set(f, AMQP_SYNTAX_ERROR, "unknown properties in 0x%04x",
				      ret->present);
	for (size_t i = 0; i < N_PROPERTIES; i++) {
		int rc;

		if (!(ret->present & properties[i].bit))
			continue;
		rc = amqp_fields_read(in, &properties[i].field, 1, ret, f);
		if (rc < 0)
			return rc;
	}
	if (in->rest.n)
		return amqp_fault_set(f, AMQP_SYNTAX_ERROR, "%zu bytes behind the properties",
				      in->rest.n);
	return 0;
}

static void write_properties(struct amqp_out *out, const struct amqp_properties *p)
{
	amqp_out_uint(out, p->present & ~UNKNOWN, 2);
	for (size_t i = 0; i < N_PROPERTIES; i++)
		if (p->present & properties[i].bit)
			amqp_fields_write(out, &properties[i].field, 1, p);
}

void amqp_assembly_init(struct amqp_assembly *a, size_t limit)
{
	*a = (struct amqp_assembly){ .limit = limit };
	buf_init(&a->method, AMQP_FRAME_MAX);
	buf_init(&a->header, AMQP_FRAME_MAX);
	buf_init(&a->body, limit);
}

void amqp_assembly_fini(struct amqp_assembly *a)
{
	buf_fini(&a->method);
	buf_fini(&a->header);
	buf_fini(&a->body);
}

void amqp_assembly_reset(struct amqp_assembly *a)
{
	buf_consume(&a->method, buf_len(&a->method));
	buf_consume(&a->header, buf_len(&a->header));
	buf_consume(&a->body, buf_len(&a->body));
	a->state = IDLE;
	a->handed_out = false;
}

static int complete(struct amqp_assembly *a, enum amqp_event event, struct str body,
		    struct amqp_message *ret)
{
	*ret = a->message;
	ret->body = body;
	a->handed_out = true;
	return event;
}

/* Says which method the frame interrupts, or lacks. */
static int out_of_turn(const struct amqp_assembly *a, const char *what, struct amqp_fault *f)
{
	const char *method = a->state == IDLE ? NULL : amqp_method_name(a->message.method.id);

	amqp_fault_set(f, AMQP_UNEXPECTED_FRAME, "%s, where %s%s %s", what,
		       a->state == IDLE ? "a method" : "the content of ", method ? method : "",
		       a->state == IDLE   ? "is due"
		       : a->state == BODY ? "wants a body"
					  : "wants a header");
	return -EBADMSG;
}

static int take_method(struct amqp_assembly *a, const struct amqp_frame *frame,
		       struct amqp_message *ret, struct amqp_fault *f)
{
	struct amqp_frame kept = *frame;
	int rc;

	if (a->state != IDLE)
		return out_of_turn(a, "a method frame", f);
	if (!amqp_method_has_content(amqp_method_peek(frame->payload))) {
		rc = amqp_method_read(frame, &ret->method, f);
		return rc < 0 ? rc : AMQP_GOT_METHOD;
	}
	rc = buf_add(&a->method, frame->payload);
	if (rc < 0)
		return rc;
	kept.payload = buf_str(&a->method);
	rc = amqp_method_read(&kept, &a->message.method, f);
	if (rc < 0)
		return rc;
	a->state = HEADER;
	return AMQP_MORE;
}

static int read_header(struct amqp_assembly *a, struct amqp_fault *f)
{
	uint32_t id = a->message.method.id;
	struct amqp_in in = { buf_str(&a->header), false };
	unsigned class_id = (unsigned)amqp_in_uint(&in, 2), weight = (unsigned)amqp_in_uint(&in, 2);

	a->left = amqp_in_uint(&in, 8);
	if (in.rest.n < 2)
		return amqp_fault_set(f, AMQP_SYNTAX_ERROR, "a content header of %zu bytes",
				      buf_len(&a->header));
	if (class_id != AMQP_CLASS_OF(id))
		return amqp_fault_set(f, AMQP_FRAME_ERROR,
				      "a content header of class %u, must be %u", class_id,
				      AMQP_CLASS_OF(id));
	if (weight != 0)
		return amqp_fault_set(f, AMQP_FRAME_ERROR,
				      "a content header of weight %u, must be 0", weight);
	return read_properties(&in, &a->message.properties, f);
}

static int take_header(struct amqp_assembly *a, const struct amqp_frame *frame,
		       struct amqp_message *ret, struct amqp_fault *f)
{
	uint32_t id = a->message.method.id;
	int rc;

	if (a->state != HEADER)
		return out_of_turn(a, "a header frame", f);
	rc = buf_add(&a->header, frame->payload);
	if (rc < 0)
		return rc;
	rc = read_header(a, f);
	if (rc < 0) {
		(void)amqp_fault_prefix(f, amqp_method_name(id));
		f->class_id = AMQP_CLASS_OF(id);
		f->method_id = AMQP_METHOD_OF(id);
		return rc;
	}
	a->state = a->left ? BODY : IDLE;
	a->oversized = a->left > a->limit;
	if (a->oversized) {
		(void)amqp_fault_set(f, AMQP_CONTENT_TOO_LARGE,
				     "%s: a body of %llu bytes, at most %zu are taken",
				     amqp_method_name(id), (unsigned long long)a->left, a->limit);
		f->class_id = AMQP_CLASS_OF(id);
		f->method_id = AMQP_METHOD_OF(id);
		return complete(a, AMQP_GOT_OVERSIZED, str_make(NULL, 0), ret);
	}
	return a->left ? AMQP_MORE : complete(a, AMQP_GOT_MESSAGE, str_make(NULL, 0), ret);
}

static int take_body(struct amqp_assembly *a, const struct amqp_frame *frame,
		     struct amqp_message *ret, struct amqp_fault *f)
{
	struct str piece = frame->payload;
	int rc;

	if (a->state != BODY)
		return out_of_turn(a, "a body frame", f);
	if (piece.n > a->left)
		return amqp_fault_set(f, AMQP_FRAME_ERROR,
				      "%s: a body frame of %zu bytes where %llu are left",
				      amqp_method_name(a->message.method.id), piece.n,
				      (unsigned long long)a->left);
	a->left -= piece.n;
	if (a->left == 0)
		a->state = IDLE;
	if (a->oversized)
		return AMQP_MORE;
	if (a->left == 0 && buf_len(&a->body) == 0)
		return complete(a, AMQP_GOT_MESSAGE, piece, ret);
	rc = buf_add(&a->body, piece);
	if (rc < 0)
		return rc;
	return a->left ? AMQP_MORE : complete(a, AMQP_GOT_MESSAGE, buf_str(&a->body), ret);
}

int amqp_assembly_take(struct amqp_assembly *a, const struct amqp_frame *frame,
		       struct amqp_message *ret, struct amqp_fault *f)
{
	if (a->handed_out) {
		unsigned char state = a->state; /* an oversized body is still to come */

		amqp_assembly_reset(a);
		a->state = state;
	}
	switch (frame->type) {
	case AMQP_FRAME_METHOD:
		return take_method(a, frame, ret, f);
	case AMQP_FRAME_HEADER:
		return take_header(a, frame, ret, f);
	case AMQP_FRAME_BODY:
		return take_body(a, frame, ret, f);
	case AMQP_FRAME_HEARTBEAT:
		break;
	}
	return out_of_turn(a, "a heartbeat", f);
}

int amqp_message_write(struct buf *b, uint16_t channel, size_t frame_max,
		       const struct amqp_message *m)
{
	struct amqp_out out = amqp_out_begin(b);
	struct str rest = m->body;
	size_t opened;

	if (!amqp_method_has_content(m->method.id) || frame_max < AMQP_FRAME_MIN)
		return -EINVAL;
	out.rc = amqp_method_write(b, channel, frame_max, &m->method);
	opened = amqp_out_open_frame(&out, AMQP_FRAME_HEADER, channel);
	amqp_out_uint(&out, AMQP_CLASS_OF(m->method.id), 2);
	amqp_out_uint(&out, 0, 2);
	amqp_out_uint(&out, m->body.n, 8);
	write_properties(&out, &m->properties);
	amqp_out_close_frame(&out, opened, frame_max);
	while (rest.n && out.rc == 0) {
		size_t most = frame_max - AMQP_FRAME_OVERHEAD, n = rest.n < most ? rest.n : most;

		opened = amqp_out_open_frame(&out, AMQP_FRAME_BODY, channel);
		amqp_out_bytes(&out, str_make(rest.p, n));
		amqp_out_close_frame(&out, opened, frame_max);
		rest = str_skip(rest, n);
	}
	return amqp_out_end(&out);
}
