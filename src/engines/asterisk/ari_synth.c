/* SPDX-License-Identifier: MIT */
/* Made of spliced pieces; the order of the members is Asterisk's own. */
#include "engines/asterisk/ari_synth.h"

#include <stdio.h>
#include <time.h>

#include "codec/json_out.h"

/* ISO 8601 in milliseconds, the zone without a colon: as Asterisk writes it. */
static void put_timestamp(struct json_out *w, uint64_t wall_ns)
{
	time_t t = (time_t)(wall_ns / 1000000000);
	char day[32];
	struct tm tm;

	if (w->rc < 0 || !gmtime_r(&t, &tm))
		return;
	(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	w->rc = buf_addf(w->buf, "\"%s.%03u+0000\"", day, (unsigned)(wall_ns / 1000000 % 1000));
}

static void put_head(struct json_out *w, const struct ari_synth *about, struct str type)
{
	json_out(w, STR("{\"type\":"));
	json_out_string(w, STR(""), type);
	json_out(w, STR(",\"timestamp\":"));
	put_timestamp(w, about->wall_ns);
}

static void put_tail(struct json_out *w, const struct ari_synth *about)
{
	if (about->asterisk_id.n) {
		json_out(w, STR(",\"asterisk_id\":"));
		json_out_string(w, STR(""), about->asterisk_id);
	}
	json_out(w, STR(",\"application\":"));
	json_out_string(w, STR(""), about->application);
	json_out(w, STR(",\"voxbus_resync\":true}"));
}

static void put_channel(struct json_out *w, struct str id, struct str channel)
{
	struct json checked;

	json_out(w, STR(",\"channel\":"));
	/* It came inside an event, of which only the outermost members were checked. */
	if (json_parse(channel, &checked) == 0 && checked.type == JSON_OBJECT) {
		json_out(w, channel);
		return;
	}
	json_out(w, STR("{\"id\":"));
	json_out_string(w, STR(""), id);
	json_out(w, STR(",\"name\":\"\",\"state\":\"Down\",\"protocol_id\":\"\","
			"\"caller\":{\"name\":\"\",\"number\":\"\"},"
			"\"connected\":{\"name\":\"\",\"number\":\"\"},\"accountcode\":\"\","
			"\"dialplan\":{\"context\":\"\",\"exten\":\"\",\"priority\":1,"
			"\"app_name\":\"\",\"app_data\":\"\"},\"creationtime\":"));
	put_timestamp(w, 0);
	json_out(w, STR(",\"language\":\"\"}"));
}

/* Stasis(app,a,b) has the arguments a and b; text is app_data without escapes. */
static void put_args(struct json_out *w, struct str text)
{
	(void)str_cut(&text, ',');
	for (bool first = true; text.p; first = false) {
		if (!first)
			json_out(w, STR(","));
		json_out_string(w, STR(""), str_cut(&text, ','));
	}
}

int ari_synth_start(struct buf *out, const struct ari_synth *about, struct str channel)
{
	struct json data = json_path(json_peek(channel), STR("dialplan.app_data"));
	struct json_out w = { out, 0 };
	auto_buf struct buf text = { 0 };

	buf_init(&text, 65536);
	if (data.type == JSON_STRING)
		w.rc = json_add_unescaped(&text, data);
	put_head(&w, about, STR("StasisStart"));
	json_out(&w, STR(",\"args\":["));
	put_args(&w, buf_str(&text));
	json_out(&w, STR("]"));
	put_channel(&w, STR(""), channel);
	put_tail(&w, about);
	return w.rc;
}

static int of_channel(struct buf *out, const struct ari_synth *about, struct str type,
		      struct str id, struct str channel)
{
	struct json_out w = { out, 0 };

	put_head(&w, about, type);
	put_channel(&w, id, channel);
	put_tail(&w, about);
	return w.rc;
}

int ari_synth_end(struct buf *out, const struct ari_synth *about, struct str id, struct str channel)
{
	return of_channel(out, about, STR("StasisEnd"), id, channel);
}

int ari_synth_state(struct buf *out, const struct ari_synth *about, struct str id,
		    struct str channel)
{
	return of_channel(out, about, STR("ChannelStateChange"), id, channel);
}

int ari_synth_destroyed(struct buf *out, const struct ari_synth *about, struct str id,
			struct str channel)
{
	struct json_out w = { out, 0 };

	put_head(&w, about, STR("ChannelDestroyed"));
	json_out(&w, STR(",\"cause\":0,\"cause_txt\":\"Unknown\""));
	put_channel(&w, id, channel);
	put_tail(&w, about);
	return w.rc;
}

int ari_synth_bridge_destroyed(struct buf *out, const struct ari_synth *about, struct str id,
			       struct str bridge)
{
	struct json checked;
	struct json_out w = { out, 0 };

	put_head(&w, about, STR("BridgeDestroyed"));
	json_out(&w, STR(",\"bridge\":"));
	if (json_parse(bridge, &checked) == 0 && checked.type == JSON_OBJECT) {
		json_out(&w, bridge);
	} else {
		json_out(&w, STR("{\"id\":"));
		json_out_string(&w, STR(""), id);
		json_out(&w, STR(",\"technology\":\"\",\"bridge_type\":\"mixing\","
				 "\"bridge_class\":\"\",\"creator\":\"\",\"name\":\"\","
				 "\"channels\":[],\"creationtime\":"));
		put_timestamp(&w, 0);
		json_out(&w, STR(",\"video_mode\":\"none\"}"));
	}
	put_tail(&w, about);
	return w.rc;
}

/* What it was stays; that it is over is what is new. */
int ari_synth_finished(struct buf *out, const struct ari_synth *about, enum object_kind kind,
		       struct str id, struct str media)
{
	static const struct str kept[] = { STR_INIT("media_uri"), STR_INIT("format"),
					   STR_INIT("target_uri"), STR_INIT("language") };
	bool playback = kind == OBJECT_PLAYBACK;
	struct json_out w = { out, 0 };
	struct json doc;

	put_head(&w, about, playback ? STR("PlaybackFinished") : STR("RecordingFinished"));
	json_out_string(&w,
			playback ? STR(",\"playback\":{\"id\":") : STR(",\"recording\":{\"name\":"),
			id);
	if (json_parse(media, &doc) < 0)
		doc = (struct json){ JSON_NONE, { NULL, 0 } };
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		struct json value = json_get(doc, kept[i]);

		if (value.type != JSON_STRING)
			continue;
		json_out_string(&w, STR(","), kept[i]);
		json_out(&w, STR(":"));
		json_out(&w, value.raw);
	}
	json_out(&w, STR(",\"state\":\"done\"}"));
	put_tail(&w, about);
	return w.rc;
}
