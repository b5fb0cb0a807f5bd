/* SPDX-License-Identifier: MIT */
/*
 * Events that Asterisk did not send because nobody listened, in the shape it would have given them.
 *
 * The last member of each is "voxbus_resync":true, so that who cares can tell. All append to out:
 * 0 or as buf_add. Objects are JSON as Asterisk wrote them; an empty one gets the shape of one of
 * which nothing but the id is known.
 */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_SYNTH_H
#define VOXBUS_ENGINES_ASTERISK_ARI_SYNTH_H

#include "base/buf.h"
#include "codec/json.h"
#include "core/object.h"

struct ari_synth {
	struct str application;
	struct str asterisk_id; /* may be empty: then it is left out */
	uint64_t wall_ns;
};

/* args come from the channel's dialplan.app_data: what stands behind the application's name. */
int ari_synth_start(struct buf *out, const struct ari_synth *about, struct str channel);
int ari_synth_end(struct buf *out, const struct ari_synth *about, struct str id,
		  struct str channel);
int ari_synth_state(struct buf *out, const struct ari_synth *about, struct str id,
		    struct str channel);
int ari_synth_destroyed(struct buf *out, const struct ari_synth *about, struct str id,
			struct str channel);
int ari_synth_bridge_destroyed(struct buf *out, const struct ari_synth *about, struct str id,
			       struct str bridge);
/* PlaybackFinished or RecordingFinished; media: what was last said of it, may be empty. */
int ari_synth_finished(struct buf *out, const struct ari_synth *about, enum object_kind kind,
		       struct str id, struct str media);

#endif
