/* SPDX-License-Identifier: MIT */
/* Made of spliced pieces; the order of the members is Asterisk's own. */
#include "engines/asterisk/ari_synth.h"

#include <stdio.h>
#include <time.h>

/* The first error of a row of appends. */
struct writer {
	struct buf *out;
	int rc;
};

static void put(struct writer *w, struct str s)
{
	if (w->rc == 0)
		w->rc = buf_add(w->out, s);
}

static void put_string(struct writer *w, struct str s)
{
	if (w->rc == 0)
		w->rc = json_add_string(w->out, s);
}

/* ISO 8601 in milliseconds, the zone without a colon: as Asterisk writes it. */
static void put_timestamp(struct writer *w, uint64_t wall_ns)
{
	time_t t = (time_t)(wall_ns / 1000000000);
	char day[32];
	struct tm tm;

	if (w->rc < 0 || !gmtime_r(&t, &tm))
		return;
	(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	w->rc = buf_addf(w->out, "\"%s.%03u+0000\"", day, (unsigned)(wall_ns / 1000000 % 1000));
}

static void put_head(struct writer *w, const struct ari_synth *about, struct str type)
{
	put(w, STR("{\"type\":"));
	put_string(w, type);
	put(w, STR(",\"timestamp\":"));
	put_timestamp(w, about->wall_ns);
}

static void put_tail(struct writer *w, const struct ari_synth *about)
{
	if (about->asterisk_id.n) {
		put(w, STR(",\"asterisk_id\":"));
		put_string(w, about->asterisk_id);
	}
	put(w, STR(",\"application\":"));
	put_string(w, about->application);
	put(w, STR(",\"voxbus_resync\":true}"));
}

static void put_channel(struct writer *w, struct str id, struct str channel)
{
	struct json checked;

	put(w, STR(",\"channel\":"));
	/* It came inside an event, of which only the outermost members were checked. */
	if (json_parse(channel, &checked) == 0 && checked.type == JSON_OBJECT) {
		put(w, channel);
		return;
	}
	put(w, STR("{\"id\":"));
	put_string(w, id);
	put(w, STR(",\"name\":\"\",\"state\":\"Down\",\"protocol_id\":\"\","
		   "\"caller\":{\"name\":\"\",\"number\":\"\"},"
		   "\"connected\":{\"name\":\"\",\"number\":\"\"},\"accountcode\":\"\","
		   "\"dialplan\":{\"context\":\"\",\"exten\":\"\",\"priority\":1,"
		   "\"app_name\":\"\",\"app_data\":\"\"},\"creationtime\":"));
	put_timestamp(w, 0);
	put(w, STR(",\"language\":\"\"}"));
}

/* Stasis(app,a,b) has the arguments a and b; text is app_data without escapes. */
static void put_args(struct writer *w, struct str text)
{
	(void)str_cut(&text, ',');
	for (bool first = true; text.p; first = false) {
		if (!first)
			put(w, STR(","));
		put_string(w, str_cut(&text, ','));
	}
}

int ari_synth_start(struct buf *out, const struct ari_synth *about, struct str channel)
{
	struct json data = json_path(json_peek(channel), STR("dialplan.app_data"));
	struct writer w = { out, 0 };
	auto_buf struct buf text = { 0 };

	buf_init(&text, 65536);
	if (data.type == JSON_STRING)
		w.rc = json_add_unescaped(&text, data);
	put_head(&w, about, STR("StasisStart"));
	put(&w, STR(",\"args\":["));
	put_args(&w, buf_str(&text));
	put(&w, STR("]"));
	put_channel(&w, STR(""), channel);
	put_tail(&w, about);
	return w.rc;
}

int ari_synth_end(struct buf *out, const struct ari_synth *about, struct str id, struct str channel)
{
	struct writer w = { out, 0 };

	put_head(&w, about, STR("StasisEnd"));
	put_channel(&w, id, channel);
	put_tail(&w, about);
	return w.rc;
}

int ari_synth_destroyed(struct buf *out, const struct ari_synth *about, struct str id,
			struct str channel)
{
	struct writer w = { out, 0 };

	put_head(&w, about, STR("ChannelDestroyed"));
	put(&w, STR(",\"cause\":0,\"cause_txt\":\"Unknown\""));
	put_channel(&w, id, channel);
	put_tail(&w, about);
	return w.rc;
}

int ari_synth_bridge_destroyed(struct buf *out, const struct ari_synth *about, struct str id,
			       struct str bridge)
{
	struct json checked;
	struct writer w = { out, 0 };

	put_head(&w, about, STR("BridgeDestroyed"));
	put(&w, STR(",\"bridge\":"));
	if (json_parse(bridge, &checked) == 0 && checked.type == JSON_OBJECT) {
		put(&w, bridge);
	} else {
		put(&w, STR("{\"id\":"));
		put_string(&w, id);
		put(&w, STR(",\"technology\":\"\",\"bridge_type\":\"mixing\","
			    "\"bridge_class\":\"\",\"creator\":\"\",\"name\":\"\","
			    "\"channels\":[],\"creationtime\":"));
		put_timestamp(&w, 0);
		put(&w, STR(",\"video_mode\":\"none\"}"));
	}
	put_tail(&w, about);
	return w.rc;
}
