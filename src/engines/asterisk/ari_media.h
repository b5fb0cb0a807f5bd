/* SPDX-License-Identifier: MIT */
/*
 * Which playbacks and recordings are still there, for a resync.
 *
 * Asterisk has no list of them, so each that is believed to be there is asked for by itself.
 */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_MEDIA_H
#define VOXBUS_ENGINES_ASTERISK_ARI_MEDIA_H

#include "engines/asterisk/ari_internal.h"

enum { ARI_MEDIA_MAX = 256 }; /* asked for in one resync; the rest stays believed */

struct ari_media;

/*
 * Asks for all of the session's. done comes once, in a later turn: 0, or why one could not be asked.
 * 0 and *ret (NULL: there is none to ask for, and done does not come), or as ari_call_create.
 */
int ari_media_ask(struct ari_session *session, void (*done)(void *arg, int rc), void *arg,
		  struct ari_media **ret);
/* Those that Asterisk does not know (404). */
void ari_media_each_gone(const struct ari_media *media,
			 void (*fn)(void *arg, enum object_kind kind, struct str id), void *arg);
/* done does not come any more. NULL is fine. */
struct ari_media *ari_media_destroy(struct ari_media *media);

#endif
