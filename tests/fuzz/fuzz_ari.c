/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an ARI event, and as a command: first line method and url, the rest its body.
 * What comes out must lie within the limits, and a request line must be one.
 */
#include <assert.h>
#include <stdlib.h>

#include "engines/asterisk/ari_events.h"
#include "engines/asterisk/ari_objects.h"
#include "engines/asterisk/ari_routes.h"
#include "engines/asterisk/ari_synth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_event(struct str frame)
{
	static const struct ari_synth about = { STR_INIT("a"), STR_INIT("e"), 1 };
	struct ari_tables tables;
	struct ari_event ev;
	struct buf b;
	struct json doc;

	if (ari_event_parse(frame, &ev) < 0)
		return;
	assert(ev.type.n && ev.n_objects <= ARI_EVENT_OBJECTS);
	for (size_t i = 0; i < ev.n_objects; i++)
		assert(ev.objects[i].id.n);
	ari_tables_init(&tables);
	(void)ari_tables_note(&tables, &ev);
	ari_tables_fini(&tables);
	buf_init(&b, 1 << 20);
	if (ev.channel_id.n && ari_synth_start(&b, &about, ev.channel.raw) == 0)
		assert(json_parse(buf_str(&b), &doc) == 0);
	buf_clear(&b);
	if (ari_synth_end(&b, &about, ev.type, STR("")) == 0)
		assert(json_parse(buf_str(&b), &doc) == 0);
	buf_fini(&b);
}

static void check_made(const struct ari_made *made)
{
	assert(made->n <= ARI_ROUTE_OBJECTS && made->used <= sizeof(made->text));
	for (size_t i = 0; i < made->n; i++)
		assert(made->objects[i].id.n && made->objects[i].id.p >= made->text &&
		       made->objects[i].id.p + made->objects[i].id.n <= made->text + made->used);
}

static void check_command(struct str body)
{
	struct str line = str_cut(&body, '\n'), target = line, method = str_cut(&target, ' ');
	struct ari_made made;
	const char *why;
	struct buf b;

	body = body.p ? body : STR("");
	target = target.p ? target : STR("");
	ari_route_chosen(method, target, STR(""), body, &made);
	(void)ari_route_subjects(method, target, STR(""), body, &made);
	check_made(&made);
	ari_route_chosen(method, target, STR("application/x-www-form-urlencoded"), body, &made);
	check_made(&made);
	ari_route_answered(method, target, body, &made);
	check_made(&made);
	ari_route_deleted(method, target, &made);
	check_made(&made);
	buf_init(&b, 1 << 16);
	if (ari_route_target(STR("/ari"), target, &b, &why) == 0)
		for (size_t i = 0; i < buf_len(&b); i++)
			assert(buf_str(&b).p[i] > 0x20 && buf_str(&b).p[i] < 0x7f);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = str_make((const char *)data, n);

	check_event(text);
	check_command(text);
	return 0;
}
