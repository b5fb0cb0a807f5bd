/* SPDX-License-Identifier: MIT */
/*
 * The hub's own things, as its files see each other.
 *
 *   hub.c          life, ports                        hub_event.c    events in -> dialogs
 *   port.c         the five upcalls                   hub_command.c  commands in, replies out
 *   dialog.c       life of a dialog                   outlet.c       a stream going out by a bus
 *   object.c       which object belongs to whom       hub_state.c    dialogs across a restart
 *   hub_view.c     what status and metrics see        application.c  who wants what
 *   lane.h         which command runs when, what is known of it afterwards
 *   away.h         applications whose bus has no link, calls that nobody serves
 *   accept.h       calls that a worker must accept in time
 *   keep.h         events that stay after they were delivered
 */
#ifndef VOXBUS_CORE_HUB_INTERNAL_H
#define VOXBUS_CORE_HUB_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"
#include "core/accept.h"
#include "core/away.h"
#include "core/cursor.h"
#include "core/hub.h"
#include "core/keep.h"
#include "core/lane.h"
#include "core/outlet.h"
#include "core/stream.h"

enum {
	EVENT_DIALOGS_MAX = 32, /* one event goes to at most so many dialogs */
	TOPIC_MAX = 300,        /* bytes of a topic or an application's name */
	NAME_MAX_BYTES = 640,   /* "<scope>/<topic>" */
	OUTLET_WINDOW = 256,
};

struct hub {
	struct hub_options opt;
	struct list ports;       /* struct port.link */
	struct map applications; /* struct application.node */
	struct map dialogs;      /* struct dialog.node */
	struct map objects;      /* struct object.node */
	struct list unsaved;     /* struct dialog.unsaved */
	struct list closed;      /* struct dialog.closed, the oldest first */
	struct list observers;   /* struct observer.link */
	struct list receipts;    /* struct receipt.link */
	struct list releases;    /* struct release.link */
	struct task release;
	struct task save;
	struct timer save_again; /* the journal refused */
	struct timer keep_note;
	struct list replays; /* struct replay.link */
	struct timer stop_timer;
	void (*stop_done)(void *arg);
	void *stop_arg;
	struct hub_stats stats;
	size_t results_bytes; /* what results take now */
	uint64_t event_ns;    /* when the event that is being taken came */
	unsigned n_ports;
	bool recovering, stopping, buses_stopping;
};

struct port {
	struct list link;    /* hub.ports */
	struct list blocked; /* struct outlet.blocked, struct dialog.lane.blocked */
	struct map outlets;  /* struct outlet.node, by topic */
	struct hub *hub;
	const struct port_ops *ops;
	struct port_env env;
	struct log *log;
	void *self;
	char *name, *scope;
	unsigned index; /* tells the objects of engines apart */
	enum port_state state;
	char reason[256];
	uint64_t since_ms;
	struct port_view counts; /* the counters alone */
	size_t commands_waiting; /* taken from this bus, not answered yet */
	size_t under_way;        /* commands that this engine has */
	bool started, paused;
	bool redelivers; /* commands may come twice, marked */
};

struct application {
	struct map_node node; /* hub.applications */
	struct port *bus;
	bool record;
	enum deduplicate deduplicate;
	struct stream *announces;
	struct outlet *outlet; /* NULL on a pull bus */
	struct stream *events; /* that belong to no dialog; NULL: it does not want them */
	struct outlet *out_events;
	uint64_t announced;
	struct away away;
	uint64_t accept_ms; /* a worker must have said something; 0: none need */
	unsigned accept_tries;
	uint64_t keep_ms;    /* events of a closed dialog; 0: not once they are delivered */
	struct map rules;    /* struct event_rule.node, by type */
	struct str *dropped; /* types, of the rules */
	size_t n_dropped;
	char name[];
};

enum dialog_state { DIALOG_OPENING, DIALOG_OPEN, DIALOG_ENDING, DIALOG_CLOSED };

struct dialog {
	struct map_node node; /* hub.dialogs */
	struct list bindings; /* struct binding.of_dialog */
	struct list unsaved;  /* hub.unsaved */
	struct list receipts; /* struct receipt.link */
	struct list closed;   /* hub.closed */
	struct hub *hub;
	struct application *application;
	struct port *engine;
	enum dialog_state state;
	struct stream *events, *commands, *responses;
	struct outlet *out_events, *out_responses; /* NULL on a pull bus */
	struct lane lane;
	struct results results;
	struct accept accept;
	struct keep keep;
	size_t channels, objects; /* bound; channels: those that are still in the application */
	struct timer linger;      /* ending -> closed -> gone */
	uint64_t closed_ms;
	uint64_t opened_wall_ns;
	uint64_t announced; /* number of its AppStart; 0: not yet */
	char id[RAND_DIALOG_ID_SIZE];
	char channel[96]; /* id of the first channel, for people */
	char label[128];  /* "PJSIP/alice-01 1001 -> 7000": what the engine called it */
};

struct object {
	struct map_node node; /* hub.objects */
	struct list bindings; /* struct binding.of_object */
	enum object_kind kind;
	uint64_t
		made_on; /* a playback's or recording's channel or bridge, see lane.c; 0: not known */
	struct str id;   /* in key */
	char key[];
};

struct binding {
	struct list of_object, of_dialog;
	struct object *object;
	struct dialog *dialog;
	bool live;        /* a channel that has not left */
	uint64_t made_by; /* the command that is about to make the object; 0: it is there */
};

/*
 * A bus's command that was taken: the bus hears of it when it is durable; when the journal can't
 * have it, only when it is answered.
 */
struct receipt {
	struct list link; /* hub.receipts, or dialog.receipts: not durable */
	struct port *port;
	uint64_t tag;
	uint64_t seq; /* of the command */
};

struct observer {
	struct list link; /* hub.observers */
	void (*fn)(void *arg, const struct msg *msg);
	void *arg;
};

/* hub.c */
/* "<scope>/<topic>" in name; the topic is a prefix and a rest. */
struct str port_stream_name(const struct port *port, char name[NAME_MAX_BYTES], struct str prefix,
			    struct str rest);
static inline bool port_usable(const struct port *port)
{
	return port->state == PORT_UP || port->state == PORT_STALE;
}
void hub_observed(struct hub *hub, const struct msg *msg);
void hub_port_closed(struct hub *hub);

/* application.c */
void application_destroy(struct application *application);
/* Whether results of commands must be kept, because they may come again. */
bool application_keeps_results(const struct application *application);
bool application_drops(const struct application *application, struct str type);
/* How long an event of that type is good, in ms; 0: no end. */
uint64_t application_ttl(const struct application *application, struct str type);

/* object.c */
struct object *object_find(struct port *engine, enum object_kind kind, struct str id);
/* Binds, or marks a channel as live again. 0 or -ENOMEM. */
int object_bind(struct dialog *dialog, enum object_kind kind, struct str id);
/* A channel has left the application in all its dialogs. */
void object_leave(struct object *object);
void object_unbind(struct binding *binding);
struct binding *binding_find(const struct object *object, const struct dialog *dialog);
/* The object is gone. */
void object_end(struct hub *hub, struct object *object);

/* dialog.c */
struct dialog *dialog_find(struct hub *hub, struct str id);
int dialog_open(struct hub *hub, struct application *application, struct port *engine,
		struct dialog **ret);
/* Puts a dialog in the tables with its streams; id as given. */
int dialog_create(struct hub *hub, struct application *application, struct port *engine,
		  struct str id, struct dialog **ret);
struct dialog *dialog_destroy(struct dialog *dialog);
/* It goes at once, with all that waits for its readers, and its topics are dead. Always NULL. */
struct dialog *dialog_discard(struct dialog *dialog);
/* One of the same call under another id, without objects and not announced. 0 or -ENOMEM. */
int dialog_inherit(const struct dialog *dialog, struct dialog **ret);
/* Asks the bus for commands, or announces at once where it hears all. */
void dialog_listen(struct dialog *dialog);
/* Of one of the dialog's streams: "events_<dialog>". */
struct str dialog_topic(const struct dialog *dialog, const struct stream *stream);
void dialog_announce(struct dialog *dialog);
/* Its AppStart has gone out: now its events may. */
void dialog_announced(struct dialog *dialog);
/* Events wait unless the bus has taken the AppStart for good (after a restart, a lost link). */
void dialog_hold(struct dialog *dialog);
/* After channels came or went. */
void dialog_channels_changed(struct dialog *dialog);
/* The stored state says closed already. */
void dialog_recover_closed(struct dialog *dialog);

/* hub_event.c, hub_command.c */
int hub_event(struct port *port, const struct delivery *delivery);
int hub_command(struct port *port, const struct delivery *delivery);
int hub_reply(struct port *port, const struct delivery *delivery);
struct reply_init {
	const struct msg *command;
	const char *key; /* of its result; "": none is kept */
	int status;
	struct str content_type, body;
};
/* 0 and a reference in *ret, or a negative errno. */
int reply_append(struct dialog *dialog, const struct reply_init *init, struct msg **ret);
/* The command is answered: those that wait because it is not durable hear of it. */
void receipts_settle(struct dialog *dialog, uint64_t seq);
/* So many more (or less) of this bus's commands wait. */
void bus_waits(struct port *bus, int more);

/* hub_state.c */
void dialog_changed(struct dialog *dialog);
void dialog_forget(struct dialog *dialog);
void hub_save(void *hub);
int hub_recover(struct hub *hub);

#endif
