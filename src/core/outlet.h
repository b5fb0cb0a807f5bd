/* SPDX-License-Identifier: MIT */
/* A stream on its way out by a bus (outlet.c). The core's own. */
#ifndef VOXBUS_CORE_OUTLET_H
#define VOXBUS_CORE_OUTLET_H

#include "base/list.h"
#include "base/map.h"
#include "core/cursor.h"

struct port;

struct outlet {
	struct map_node node; /* port.outlets */
	struct list blocked;  /* port.blocked, while the port is full */
	struct port *port;
	struct cursor *cursor;
	struct task again;
	uint64_t skip_below; /* numbers that were delivered before a restart */
	bool held;           /* a dialog's, until its AppStart has gone out */
	char topic[];
};

int outlet_create(struct port *port, struct stream *stream, struct str topic, struct outlet **ret);
struct outlet *outlet_destroy(struct outlet *outlet);
void outlet_pump(void *outlet);
/* Begins to send. */
void outlet_release(struct outlet *outlet);
struct outlet *outlet_find(struct port *port, struct str topic);
void outlet_settle(struct outlet *outlet, uint64_t seq, bool done);
void port_pump(struct port *port);
void port_rewind(struct port *port);

#endif
