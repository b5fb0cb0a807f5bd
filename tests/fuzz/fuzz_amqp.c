/* SPDX-License-Identifier: MIT */
/*
 * AMQP from an enemy: frames, methods, tables and messages, and URIs.
 *
 * The first byte chooses: bit 0 whether bytes of a connection or a URI follow, the rest where the
 * connection is cut. It must be judged the same however it is cut; a method that was read must be
 * written again to the same arguments; a message is never over its limit; every refusal has a
 * sentence; and what is behind the ':' of a user never shows in one.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "codec/amqp_content.h"
#include "codec/amqp_table.h"
#include "codec/amqp_uri.h"

enum { LIMIT = 3000, CHANNELS = 3 };

struct seen {
	uint64_t sum;
	size_t frames, messages;
	int rc, code;
};

static void add(struct seen *s, struct str bytes)
{
	for (size_t i = 0; i < bytes.n; i++)
		s->sum = s->sum * 31 + (unsigned char)bytes.p[i];
	s->sum = s->sum * 31 + bytes.n;
}

static void walk_array(struct str array, int depth);

static void walk_table(struct str table, int depth)
{
	struct amqp_entry entry;

	assert(depth <= AMQP_DEPTH_MAX);
	while (amqp_table_next(&table, &entry)) {
		assert(entry.name.n <= AMQP_SHORT_MAX);
		if (entry.value.type == 'F')
			walk_table(entry.value.str, depth + 1);
		if (entry.value.type == 'A')
			walk_array(entry.value.str, depth + 1);
	}
	assert(table.n == 0);
}

static void walk_array(struct str array, int depth)
{
	struct amqp_value v;

	assert(depth <= AMQP_DEPTH_MAX);
	while (amqp_array_next(&array, &v)) {
		if (v.type == 'F')
			walk_table(v.str, depth + 1);
		if (v.type == 'A')
			walk_array(v.str, depth + 1);
	}
	assert(array.n == 0);
}

/* Written, read and written again: twice the same bytes. */
static void check_rewrite(const struct amqp_method *m, uint16_t channel)
{
	struct buf one auto_buf = { 0 }, two auto_buf = { 0 };
	struct amqp_frame_reader r;
	struct amqp_frame frame;
	struct amqp_method again;
	struct amqp_fault f;
	struct str data;

	buf_init(&one, AMQP_FRAME_MAX);
	buf_init(&two, AMQP_FRAME_MAX);
	assert(amqp_method_write(&one, channel, AMQP_FRAME_MIN, m) == 0);
	data = buf_str(&one);
	amqp_frame_reader_init(&r);
	assert(amqp_frame_read(&r, &data, &frame, &f) == 1 && data.n == 0);
	assert(amqp_method_read(&frame, &again, &f) == 0);
	assert(amqp_method_write(&two, channel, AMQP_FRAME_MIN, &again) == 0);
	assert(str_eq(buf_str(&one), buf_str(&two)));
	amqp_frame_reader_fini(&r);
}

static void check_message(const struct amqp_message *m, bool whole)
{
	assert(amqp_method_has_content(m->method.id));
	assert(m->body.n <= LIMIT);
	if (m->properties.present & AMQP_HAS_HEADERS)
		walk_table(m->properties.headers, 1);
	if (whole) {
		struct buf b auto_buf = { 0 };

		buf_init(&b, (size_t)4 * AMQP_FRAME_MIN);
		assert(amqp_message_write(&b, 1, AMQP_FRAME_MIN, m) == 0);
	}
}

static int take(struct amqp_assembly *a, const struct amqp_frame *frame, struct seen *s,
		struct amqp_fault *f)
{
	struct amqp_message m;
	int rc = amqp_assembly_take(a, frame, &m, f);

	switch (rc) {
	case AMQP_GOT_METHOD:
		s->sum += m.method.id;
		check_rewrite(&m.method, frame->channel);
		break;
	case AMQP_GOT_MESSAGE:
		s->messages++;
		add(s, m.body);
		add(s, m.properties.content_type);
		check_rewrite(&m.method, frame->channel);
		check_message(&m, true);
		break;
	case AMQP_GOT_OVERSIZED:
		assert(f->code == AMQP_CONTENT_TOO_LARGE && f->text[0]);
		check_message(&m, false);
		break;
	default:
		assert(rc == AMQP_MORE || rc == -EBADMSG);
	}
	return rc;
}

static struct seen feed(struct str data, size_t step)
{
	struct amqp_assembly a[CHANNELS];
	struct amqp_frame_reader r;
	struct amqp_frame frame;
	struct amqp_fault f = { 0 };
	struct seen s = { 0 };

	amqp_frame_reader_init(&r);
	for (int i = 0; i < CHANNELS; i++)
		amqp_assembly_init(&a[i], LIMIT);
	while (data.n && s.rc >= 0) {
		struct str piece = str_make(data.p, step < data.n ? step : data.n);
		char *copy = malloc(piece.n); /* so that the sanitizer sees its end */
		struct str rest = str_make(memcpy(copy, piece.p, piece.n), piece.n);

		data = str_skip(data, piece.n);
		while (s.rc >= 0 && (s.rc = amqp_frame_read(&r, &rest, &frame, &f)) == 1) {
			s.frames++;
			add(&s, frame.payload);
			assert(frame.payload.n <= AMQP_FRAME_MIN - AMQP_FRAME_OVERHEAD);
			if (frame.type != AMQP_FRAME_HEARTBEAT)
				s.rc = take(&a[frame.channel % CHANNELS], &frame, &s, &f);
		}
		free(copy);
	}
	if (s.rc < 0)
		assert(s.rc == -EBADMSG && f.text[0]);
	s.code = s.rc < 0 ? f.code : 0;
	for (int i = 0; i < CHANNELS; i++)
		amqp_assembly_fini(&a[i]);
	amqp_frame_reader_fini(&r);
	return s;
}

static void check_connection(struct str data, size_t step)
{
	struct seen whole = feed(data, SIZE_MAX), cut = feed(data, step);

	assert(whole.sum == cut.sum && whole.frames == cut.frames);
	assert(whole.messages == cut.messages && whole.code == cut.code);
	assert((whole.rc < 0) == (cut.rc < 0));
}

static void check_uri(struct str uri)
{
	struct amqp_uri u;
	struct err e = { "" };

	if (amqp_uri_parse(uri, &u, &e) == 0) {
		assert(u.host[0] && u.port && u.password.value);
		amqp_uri_fini(&u);
	} else {
		assert(e.text[0] && !u.password.value);
	}
}

/* A password of four unusual characters, whatever stands around it, is not in the sentence. */
static void check_password_is_not_told(struct str rest)
{
	struct buf b auto_buf = { 0 };
	struct amqp_uri u;
	struct err e = { "" };

	if (str_find_str(rest, STR("\x01\x02")) != rest.n)
		return;
	buf_init(&b, 32768);
	assert(buf_add(&b, STR("amqp://u:\x01\x02\x03\x04")) == 0);
	assert(buf_add(&b, rest) == 0);
	if (amqp_uri_parse(buf_str(&b), &u, &e) == 0)
		amqp_uri_fini(&u);
	assert(!strstr(e.text, "\x01\x02"));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str data;

	if (n == 0 || n > 16384)
		return 0;
	data = str_make((const char *)p + 1, n - 1);
	if (p[0] & 1) {
		check_uri(data);
		check_password_is_not_told(data);
	} else {
		check_connection(data, (size_t)(p[0] >> 1) + 1);
	}
	return 0;
}
