/* SPDX-License-Identifier: MIT */
/*
 * Which objects a command makes: by its method, its path, its parameters, and its answer.
 *
 * A client that chooses an id (POST /channels/<id>, playbackId=...) may hear of the object before
 * it gets the answer; one that leaves it to Asterisk learns it from the answer. Reading (GET) makes
 * nothing, so that looking at a foreign channel does not make it one's own.
 */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_ROUTES_H
#define VOXBUS_ENGINES_ASTERISK_ARI_ROUTES_H

#include "base/buf.h"
#include "core/port.h"

enum { ARI_ROUTE_OBJECTS = 8, ARI_TARGET_MAX = 4096 };

struct ari_made {
	struct object_ref objects[ARI_ROUTE_OBJECTS]; /* their ids lie in text */
	size_t n;
	char text[1024];
	size_t used;
	bool cut; /* some had no room */
};

/*
 * The objects whose ids the command itself chooses. target: below the engine's root, with its
 * query; body: JSON or a form, by content_type.
 */
void ari_route_chosen(struct str method, struct str target, struct str content_type,
		      struct str body, struct ari_made *ret);
/*
 * The parameter by which a new channel or bridge could have been given an id, and was not: "channelId",
 * or NULL: it has one, or the command makes none.
 */
const char *ari_route_unnamed(struct str method, struct str target, struct str content_type,
			      struct str body);
/* The object that a good answer describes. */
void ari_route_answered(struct str method, struct str target, struct str answer,
			struct ari_made *ret);
/*
 * All objects that a command touches: those that its path names, and those in its parameters. 0, or
 * -ENOENT: what it touches is not known (a list of all, another resource, a path that is none), or
 * they are too many.
 */
int ari_route_subjects(struct str method, struct str target, struct str content_type,
		       struct str body, struct ari_made *ret);
/* DELETE of a bridge: its id is put into *ret as the only object. */
void ari_route_deleted(struct str method, struct str target, struct ari_made *ret);
/*
 * What goes into the request line: prefix and target, with everything percent-encoded that a
 * request line can't hold. 0, or -EINVAL and a sentence in *ret_why: not a path below the root.
 */
int ari_route_target(struct str prefix, struct str target, struct buf *out, const char **ret_why);
/* Appends s percent-encoded as one path segment or query value: 0 or as buf_add. */
int ari_route_encode(struct buf *out, struct str s);

#endif
