/* SPDX-License-Identifier: MIT */
/*
 * The configuration file of go-ari-proxy, config.json, as it is.
 *
 *   {"origin": "http://localhost/", "server_id": "pbx1", "applications": ["hello"],
 *    "websocket_url": "ws://127.0.0.1:8088/ari/events", "stasis_url": "http://127.0.0.1:8088/ari",
 *    "ws_user": "ari", "ws_password": "secret", "message_bus": "RABBITMQ",
 *    "bus_config": {"url": "amqp://guest:guest@127.0.0.1:5672/", "queue": "workers"}}
 *
 * Keys are matched as Go's encoding/json does: without case, of two the last counts, unknown ones and
 * null are passed over. What it becomes is what the equivalent voxbus.yaml would: one engine, one
 * bus, its applications, and no HTTP listener, since that proxy had none either.
 */
#ifndef VOXBUS_CONFIG_ARI_PROXY_CONF_H
#define VOXBUS_CONFIG_ARI_PROXY_CONF_H

#include "config/voxbus_conf.h"

/*
 * As voxbus_conf_parse and voxbus_conf_load. Errors are one line: file, line, column, member, what
 * was found, what is allowed. -EBADMSG: it is no JSON.
 */
int ari_proxy_conf_parse(const struct conf_variant *variants, struct str text, const char *filename,
			 struct voxbus_conf **ret, struct err *e);
int ari_proxy_conf_load(const struct conf_variant *variants, const char *filename,
			struct voxbus_conf **ret, struct err *e);

#endif
