/* SPDX-License-Identifier: MIT */
/*
 * What an engine has besides events: channels, bridges, playbacks, recordings, by their ids; and
 * what an event or a reply says of those that it names. object.c keeps who owns which.
 */
#ifndef VOXBUS_CORE_OBJECT_H
#define VOXBUS_CORE_OBJECT_H

#include "base/str.h"

enum object_kind { OBJECT_CHANNEL, OBJECT_BRIDGE, OBJECT_PLAYBACK, OBJECT_RECORDING };

/* What an event or a reply says about an object that it names. */
enum object_verb {
	OBJECT_OPENS = 1, /* opens a dialog if nothing that the event names belongs to one */
	OBJECT_BINDS = 2, /* belongs from now on to the dialogs that the event goes to */
	OBJECT_LEAVES =
		4,       /* has left the application (StasisEnd): keeps its dialogs, ends no more */
	OBJECT_ENDS = 8, /* is gone after this event */
};

struct object_ref {
	enum object_kind kind;
	unsigned verbs;
	struct str id;
};

#endif
