/* SPDX-License-Identifier: MIT */
/*
 * The schema of one application.
 *
 * Some events carry a call's life: an application that never hears of a call's beginning or end
 * keeps what it holds for it for ever, and one that is taken over must be told. Those can't be
 * dropped, and they don't expire either.
 */
#include "config/application_conf.h"

#include "config/valid.h"

enum { TYPE_MAX = 64, TTL_MAX_DAYS = 365 };

#define VALID_TYPE_MUST "an event's type, 1 to 64 of A-Z a-z 0-9 _"
#define ESSENTIAL \
	"StasisStart, StasisEnd, ChannelDestroyed, ApplicationReplaced or ApplicationRegistered"

static bool valid_type(struct str s)
{
	return valid_name(s) && s.n <= TYPE_MAX && str_find(s, '.') == s.n &&
	       str_find(s, '-') == s.n;
}

static const struct conf_key events_keys[] = {
	{ "drop", CONF_STRINGS, offsetof(struct application_events_conf, drop), .valid = valid_type,
	  .must = VALID_TYPE_MUST,
	  .doc = "Types of events that the application does not want, such as ChannelVarset; the "
		 "engine is asked not to send them where it can be. Not " ESSENTIAL "." },
	{ "ttl", CONF_DURATIONS, offsetof(struct application_events_conf, ttl), .min = 100,
	  .max = 86400000ull * TTL_MAX_DAYS, .valid = valid_type, .must = VALID_TYPE_MUST,
	  .doc = "How long an event of a type is worth reading, such as ChannelDtmfReceived: 30s; "
		 "who reads later does not get it. Types that are not listed stay as long as the "
		 "journal keeps them. Not " ESSENTIAL "." },
	{ 0 },
};

static bool is_essential(const char *type)
{
	static const char *const essential[] = { "StasisStart", "StasisEnd", "ChannelDestroyed",
						 "ApplicationReplaced", "ApplicationRegistered" };

	for (size_t i = 0; i < sizeof(essential) / sizeof(*essential); i++)
		if (strcmp(essential[i], type) == 0)
			return true;
	return false;
}

static int drop_check(const struct conf_strings *drop, const struct conf_where *where,
		      struct err *e)
{
	for (size_t i = 0; i < drop->count; i++) {
		const char *type = drop->items[i];

		if (is_essential(type))
			return conf_fail(where, "drop", e,
					 "drop[%zu] is \"%s\", must not be " ESSENTIAL, i, type);
		for (size_t k = 0; k < i; k++)
			if (strcmp(drop->items[k], type) == 0)
				return conf_fail(where, "drop", e,
						 "drop[%zu] is \"%s\", must be listed once", i,
						 type);
	}
	return 0;
}

static int events_check(const void *conf, const struct conf_where *where, struct err *e)
{
	const struct application_events_conf *events = conf;
	int rc = drop_check(&events->drop, where, e);

	for (size_t i = 0; i < events->ttl.count && rc == 0; i++) {
		const char *type = events->ttl.items[i].name;

		if (is_essential(type))
			rc = conf_fail(where, "ttl", e,
				       "ttl has the key \"%s\", must not be " ESSENTIAL, type);
		for (size_t k = 0; k < events->drop.count && rc == 0; k++)
			if (strcmp(events->drop.items[k], type) == 0)
				rc = conf_fail(where, "ttl", e,
					       "ttl has the key \"%s\", must not be in drop, too",
					       type);
	}
	return rc;
}

static const struct conf_table events_table = { "events", sizeof(struct application_events_conf),
						events_keys, events_check };

static const struct conf_word away_words[] = {
	{ "hold", APPLICATION_HOLD },
	{ "refuse", APPLICATION_REFUSE },
	{ 0 },
};

static const struct conf_key away_keys[] = {
	{ "policy", CONF_ENUM, offsetof(struct application_away_conf, policy), .def = "hold",
	  .words = away_words,
	  .doc = "What becomes of new calls: hold, their events wait for the bus; refuse, they go "
		 "on in the dialplan behind Stasis(), with VOXBUS_STATUS set to AWAY. Calls that "
		 "are open wait in either case." },
	{ "events_max", CONF_U64, offsetof(struct application_away_conf, events_max), .def = "0",
	  .max = 1000000,
	  .doc = "How many of the application's events may come meanwhile: of more the oldest are "
		 "dropped. 0: no limit but those of the journal." },
	{ "age_max", CONF_DURATION, offsetof(struct application_away_conf, age_max_ms), .def = "0",
	  .max = 86400000ull * TTL_MAX_DAYS,
	  .doc = "What is older when the bus takes it is dropped: a call that is over as a whole, "
		 "of one that goes on all but StasisStart, StasisEnd and ChannelDestroyed. 0: no "
		 "limit but journal.retention." },
	{ 0 },
};

static const struct conf_table away_table = { "while_away", sizeof(struct application_away_conf),
					      away_keys };

static const struct conf_key accept_keys[] = {
	{ "within", CONF_DURATION, offsetof(struct application_accept_conf, within_ms), .def = "0",
	  .max = 600000,
	  .doc = "How long after its AppStart a worker may take to send anything on "
		 "commands_<dialog>, the 5 bytes DUMMY included, or, on a longpoll bus, to poll "
		 "events_<dialog>. 0: none need." },
	{ "tries", CONF_U64, offsetof(struct application_accept_conf, tries), .def = "3", .min = 1,
	  .max = 100,
	  .doc = "How often it is announced in all. After the last the call goes on in the "
		 "dialplan behind Stasis(), with VOXBUS_STATUS set to UNACCEPTED." },
	{ 0 },
};

static const struct conf_table accept_table = { "accept", sizeof(struct application_accept_conf),
						accept_keys };

static const struct conf_word repetitions[] = {
	{ "redelivered", APPLICATION_REDELIVERED },
	{ "always", APPLICATION_ALWAYS },
	{ "off", APPLICATION_NEVER },
	{ 0 },
};

static const struct conf_key keys[] = {
	{ "name", CONF_STRING, offsetof(struct application_conf, name), .required = true,
	  .valid = valid_name, .must = VALID_NAME_MUST,
	  .doc = "As the engine calls it: Stasis(name) in the dialplan." },
	{ "bus", CONF_STRING, offsetof(struct application_conf, bus), .valid = valid_name,
	  .must = VALID_NAME_MUST,
	  .doc = "The name of the bus where its workers listen; not given, the only one." },
	{ "record", CONF_BOOL, offsetof(struct application_conf, record), .def = "yes",
	  .doc = "Whether its events go to the journal, so that they survive a restart and a "
		 "worker "
		 "that is away; else they are kept in memory, and only the latest." },
	{ "deduplicate", CONF_ENUM, offsetof(struct application_conf, deduplicate),
	  .def = "redelivered", .words = repetitions,
	  .doc = "Which commands are answered from the recorded result of an equal one (same call, "
		 "unique_id, method, url and body) instead of being done again: redelivered, those "
		 "that the bus says it delivered before; always, also all others that have a "
		 "unique_id; off, none." },
	{ "application_events", CONF_BOOL, offsetof(struct application_conf, application_events),
	  .def = "off",
	  .doc = "Whether events that belong to no call, such as DeviceStateChanged, go out on the "
		 "topic events_<application>. Switch it on together with who reads it: until read "
		 "they fill the bus, or the journal." },
	{ "keep", CONF_DURATION, offsetof(struct application_conf, keep_ms), .def = "0",
	  .max = 86400000ull * TTL_MAX_DAYS,
	  .doc = "How long a call's events stay in the journal after its end, delivered or not, so "
		 "that "
		 "`voxbus replay` can give them out again; at most journal.retention. 0: until "
		 "they "
		 "are delivered. Not on a longpoll bus, where a message goes when it has been "
		 "read." },
	{ "while_away", CONF_TABLE, offsetof(struct application_conf, while_away),
	  .table = &away_table,
	  .doc = "While its bus has no link to the broker. (A longpoll bus is never away.)" },
	{ "accept", CONF_TABLE, offsetof(struct application_conf, accept), .table = &accept_table,
	  .doc = "Whether a worker must accept a call. One that nobody accepts in time is "
		 "announced "
		 "again under another dialog id, with all its events so far; the old topics are "
		 "dead." },
	{ "events", CONF_TABLE, offsetof(struct application_conf, events), .table = &events_table,
	  .doc = "Which events it gets, and for how long they are good." },
	{ 0 },
};

const struct conf_table application_conf = { "application", sizeof(struct application_conf), keys };
