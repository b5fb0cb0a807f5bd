/* SPDX-License-Identifier: MIT */
/*
 * What a client says when it comes: mechanism and response of SASL, its properties, and its
 * answer to tune.
 */
#ifndef VOXBUS_CODEC_AMQP_LOGIN_H
#define VOXBUS_CODEC_AMQP_LOGIN_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/secret.h"
#include "codec/amqp_args.h"

/* The broker's list, separated by spaces, has that mechanism ("PLAIN", "EXTERNAL"). */
bool amqp_offers(struct str mechanisms, struct str mechanism);
/*
 * Appends the response of PLAIN (RFC 4616): 0, -EINVAL for a user with a NUL in it, -ENOBUFS or
 * -ENOMEM. That of EXTERNAL, where the certificate says who it is, is empty.
 */
int amqp_plain_response(struct buf *b, struct str user, const struct secret *password);
/*
 * Appends the table of start-ok: product and version, and the capabilities of which brokers make
 * use: publisher_confirms, basic.nack, consumer_cancel_notify, connection.blocked,
 * exchange_exchange_bindings and authentication_failure_close. name is what a list of connections
 * shows ("connection_name"). 0, -ENOBUFS or -ENOMEM.
 */
int amqp_client_properties(struct buf *table, struct str product, struct str version,
			   struct str name);
/*
 * What tune-ok says: of channel_max and frame_max the lower, of heartbeat the lower, too, and 0
 * stands for "no limit" until the other side has one. ours.frame_max: AMQP_FRAME_MIN to
 * AMQP_FRAME_MAX. 0, or -EBADMSG and *f when the broker's frame_max is under AMQP_FRAME_MIN.
 */
int amqp_tune_agree(const struct amqp_tune *ours, const struct amqp_tune *theirs,
		    struct amqp_tune *ret, struct amqp_fault *f);

#endif
