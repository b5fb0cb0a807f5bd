/* SPDX-License-Identifier: MIT */
/* The tables behind the resync, and the events that it makes up. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engines/asterisk/ari_objects.h"
#include "engines/asterisk/ari_synth.h"

static bool note(struct ari_tables *t, const char *frame)
{
	struct ari_event ev;

	assert_int_equal(ari_event_parse(str_from(frame), &ev), 0);
	return ari_tables_note(t, &ev);
}

static void channel_is_known_from_start_to_end(void **state)
{
	struct ari_tables t;
	struct ari_object *o;

	ari_tables_init(&t);
	assert_true(note(&t, "{\"type\":\"ChannelVarset\",\"channel\":{\"id\":\"c\"}}"));
	assert_null(ari_object_find(&t.channels, STR("c")));
	assert_true(note(&t, "{\"type\":\"StasisStart\",\"channel\":{\"id\":\"c\",\"n\":1}}"));
	o = ari_object_find(&t.channels, STR("c"));
	assert_non_null(o);
	assert_int_equal(o->place, ARI_INSIDE);
	assert_true(str_eq(ari_object_snapshot(o), STR("{\"id\":\"c\",\"n\":1}")));
	assert_true(note(&t, "{\"type\":\"ChannelVarset\",\"channel\":{\"id\":\"c\",\"n\":22}}"));
	assert_true(str_eq(ari_object_snapshot(o), STR("{\"id\":\"c\",\"n\":22}")));
	assert_true(note(&t, "{\"type\":\"StasisEnd\",\"channel\":{\"id\":\"c\"}}"));
	assert_null(ari_object_find(&t.channels, STR("c")));
	assert_true(note(&t, "{\"type\":\"ChannelDestroyed\",\"channel\":{\"id\":\"c\"}}"));
	ari_tables_fini(&t);
}

static void bound_objects_go_when_they_are_destroyed(void **state)
{
	struct ari_tables t;

	ari_tables_init(&t);
	assert_non_null(ari_object_add(&t.channels, STR("c"), ARI_BOUND));
	assert_non_null(ari_object_add(&t.bridges, STR("c"), ARI_BOUND));
	assert_true(note(&t, "{\"type\":\"BridgeDestroyed\",\"bridge\":{\"id\":\"c\"}}"));
	assert_null(ari_object_find(&t.bridges, STR("c")));
	assert_non_null(ari_object_find(&t.channels, STR("c")));
	assert_true(note(&t, "{\"type\":\"ChannelDestroyed\",\"channel\":{\"id\":\"c\"}}"));
	assert_null(ari_object_find(&t.channels, STR("c")));
	ari_tables_fini(&t);
}

static void real_start_after_a_made_up_one_is_the_second(void **state)
{
	static const char start[] = "{\"type\":\"StasisStart\",\"channel\":{\"id\":\"c\"}}";
	struct ari_tables t;

	ari_tables_init(&t);
	struct ari_object *o = ari_object_add(&t.channels, STR("c"), ARI_INSIDE);
	assert_non_null(o);
	o->invented = true;
	assert_false(note(&t, start));
	/* once only: a channel may enter again */
	assert_true(note(&t, start));
	ari_object_find(&t.channels, STR("c"))->invented = true;
	assert_true(note(&t, "{\"type\":\"StasisEnd\",\"channel\":{\"id\":\"c\"}}"));
	assert_true(note(&t, start));
	ari_tables_fini(&t);
}

static void oversized_snapshots_are_not_kept(void **state)
{
	struct ari_tables t;
	struct ari_object *o;
	char big[ARI_SNAPSHOT_MAX + 1];

	memset(big, 'x', sizeof(big));
	ari_tables_init(&t);
	o = ari_object_add(&t.channels, STR("c"), ARI_INSIDE);
	assert_non_null(o);
	ari_object_keep(o, STR("{}"));
	ari_object_keep(o, str_make(big, sizeof(big)));
	assert_true(str_eq(ari_object_snapshot(o), STR("{}")));
	ari_object_keep(o, str_make(big, sizeof(big) - 1));
	assert_int_equal(ari_object_snapshot(o).n, ARI_SNAPSHOT_MAX);
	assert_null(ari_object_add(&t.channels, STR(""), ARI_BOUND));
	assert_null(ari_object_add(&t.channels, str_make(big, ARI_OBJECT_ID_MAX + 1), ARI_BOUND));
	ari_tables_fini(&t);
}

#define HEAD(type) "{\"type\":\"" type "\",\"timestamp\":\"2026-11-21T00:34:44.361+0000\""
#define TAIL       ",\"asterisk_id\":\"e\",\"application\":\"f\\\"x\",\"voxbus_resync\":true}"
#define CHANNEL_ARGS \
	"{\"id\":\"c\",\"dialplan\":{\"app_name\":\"Stasis\",\"app_data\":\"fx,a,\\\"b\"}}"

static void made_up_events_have_asterisks_shape(void **state)
{
	const struct ari_synth about = { STR("f\"x"), STR("e"), UINT64_C(1795221284361999999) };
	struct buf b;
	struct ari_event ev;

	buf_init(&b, 4096);
	assert_int_equal(ari_synth_start(&b, &about, STR(CHANNEL_ARGS)), 0);
	assert_true(str_eq(buf_str(&b), STR(HEAD("StasisStart") ",\"args\":[\"a\",\"\\\"b\"],"
								"\"channel\":" CHANNEL_ARGS TAIL)));
	assert_int_equal(ari_event_parse(buf_str(&b), &ev), 0);
	buf_clear(&b);
	assert_int_equal(ari_synth_start(&b, &about, STR("{\"id\":\"c\"}")), 0);
	assert_true(
		str_eq(buf_str(&b), STR(HEAD("StasisStart") ",\"args\":[],"
							    "\"channel\":{\"id\":\"c\"}" TAIL)));
	buf_clear(&b);
	assert_int_equal(ari_synth_end(&b, &about, STR("c"), STR("{\"id\":\"c\"}")), 0);
	assert_true(str_eq(buf_str(&b), STR(HEAD("StasisEnd") ",\"channel\":{\"id\":\"c\"}" TAIL)));
	buf_clear(&b);
	assert_int_equal(ari_synth_destroyed(&b, &about, STR("c"), STR("{\"id\":\"c\"}")), 0);
	assert_true(
		str_eq(buf_str(&b), STR(HEAD("ChannelDestroyed") ",\"cause\":0,\"cause_txt\":"
								 "\"Unknown\",\"channel\":{\"id\":"
								 "\"c\"}" TAIL)));
	buf_clear(&b);
	assert_int_equal(ari_synth_bridge_destroyed(&b, &about, STR("b"), STR("{\"id\":\"b\"}")),
			 0);
	assert_true(str_eq(buf_str(&b),
			   STR(HEAD("BridgeDestroyed") ",\"bridge\":{\"id\":\"b\"}" TAIL)));
	buf_fini(&b);
}

static void objects_that_nobody_described_get_a_shape_too(void **state)
{
	const struct ari_synth about = { STR("fx"), STR(""), 0 };
	struct json doc;
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(ari_synth_end(&b, &about, STR("c\n"), STR("")), 0);
	assert_int_equal(json_parse(buf_str(&b), &doc), 0);
	assert_true(json_is(json_path(doc, STR("channel.id")), STR("c\n")));
	assert_true(json_is(json_path(doc, STR("channel.caller.number")), STR("")));
	assert_int_equal(json_get(doc, STR("asterisk_id")).type, JSON_NONE);
	buf_clear(&b);
	assert_int_equal(ari_synth_bridge_destroyed(&b, &about, STR("b"), STR("")), 0);
	assert_int_equal(json_parse(buf_str(&b), &doc), 0);
	assert_true(json_is(json_path(doc, STR("bridge.id")), STR("b")));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(channel_is_known_from_start_to_end),
		cmocka_unit_test(bound_objects_go_when_they_are_destroyed),
		cmocka_unit_test(real_start_after_a_made_up_one_is_the_second),
		cmocka_unit_test(oversized_snapshots_are_not_kept),
		cmocka_unit_test(made_up_events_have_asterisks_shape),
		cmocka_unit_test(objects_that_nobody_described_get_a_shape_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
