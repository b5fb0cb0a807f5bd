/* SPDX-License-Identifier: MIT */
/* The schema of the long-poll bus. That the account exists is checked where the accounts are. */
#include "buses/longpoll/longpoll_conf.h"

#include "config/valid.h"

static const struct conf_word publish_words[] = {
	{ "open", PUBLISH_OPEN },
	{ "signed", PUBLISH_SIGNED },
	{ "session", PUBLISH_SESSION },
	{ "signed-or-session", PUBLISH_SIGNED_OR_SESSION },
	{ 0 },
};
static const struct conf_word durability_words[] = {
	{ "durable", DURABILITY_DURABLE },
	{ "relaxed", DURABILITY_RELAXED },
	{ 0 },
};

static const struct conf_key keys[] = {
	{ "name", CONF_STRING, offsetof(struct longpoll_conf, name), .required = true,
	  .valid = valid_name, .must = VALID_NAME_MUST,
	  .doc = "The bus's name, by which applications choose it." },
	{ "account", CONF_STRING, offsetof(struct longpoll_conf, account), .valid = valid_sid,
	  .must = VALID_SID_MUST,
	  .doc = "The sid of the account whose queues the topics are; not given, the only one." },
	{ "poll_timeout", CONF_DURATION, offsetof(struct longpoll_conf, poll_timeout_ms),
	  .def = "15s", .max = 600000,
	  .doc = "How long a poll that names no timeout waits for a message." },
	{ "body_max", CONF_SIZE, offsetof(struct longpoll_conf, body_max), .def = "256KiB",
	  .min = 1 << 10, .max = 1 << 20, .doc = "The largest message; a larger one gets 413." },
	{ "publish", CONF_ENUM, offsetof(struct longpoll_conf, publish), .def = "open",
	  .words = publish_words,
	  .doc = "Who may write to the account's queues: anybody, a webhook whose signature is "
		 "made "
		 "with the account's token, whoever has a session (or the token), or either. A "
		 "call's topics need a session in any case, and so does all reading. Without "
		 "credentials: 401; with a signature that is wrong: 403." },
	{ "rate", CONF_U64, offsetof(struct longpoll_conf, rate), .max = 1000000,
	  .doc = "Messages a second that may be published to the account's queues; further ones "
		 "get "
		 "429 with Retry-After. 0: no limit." },
	{ "burst", CONF_U64, offsetof(struct longpoll_conf, burst), .max = 1000000,
	  .doc = "How many of them may come at once after a pause; 0: as many as the rate." },
	{ "quota", CONF_SIZE, offsetof(struct longpoll_conf, quota),
	  .doc = "What the messages of the account's queues and topics that nobody has got yet may "
		 "take in the journal, heads and all, in bytes; what is published beyond it gets "
		 "507 and is not stored. 0: no limit but journal.quota." },
	{ "durability", CONF_ENUM, offsetof(struct longpoll_conf, durability), .def = "durable",
	  .words = durability_words,
	  .doc = "When a publisher gets its 200: once the message is on the disk (durable), or at "
		 "once (relaxed), which is faster and loses what was not written yet when the "
		 "machine or the daemon dies. A publish may choose by durability= in its URL." },
	{ "hold", CONF_DURATION, offsetof(struct longpoll_conf, hold_ms), .def = "10s", .min = 1000,
	  .max = 60000,
	  .doc = "How long the request of a call (call.xml) waits for instructions before it is "
		 "answered with a Redirect to come again; `timeout` in its URL is stronger. Phone "
		 "networks give a webhook some 15 seconds in all." },
	{ "park", CONF_DURATION, offsetof(struct longpoll_conf, park_ms), .def = "15s", .min = 1000,
	  .max = 600000,
	  .doc = "How long a call that was answered is expected to ask again. Until then its "
		 "unread "
		 "event keeps its place and nobody gets it; then it is moved to `<path>/missed`." },
	{ "disconnect_events", CONF_BOOL, offsetof(struct longpoll_conf, disconnect_events),
	  .def = "off",
	  .doc = "Whether a message with `PubSubEvent: disconnected` and the CallSid is put into "
		 "the "
		 "queue of a call's events when the phone network drops the call's last request "
		 "before it was answered." },
	{ "deliveries_max", CONF_U64, offsetof(struct longpoll_conf, deliveries_max), .def = "16",
	  .min = 1, .max = 255,
	  .doc = "How often a message is leased (ack=manual) without being acknowledged before it "
		 "goes to the queue <queue>.dead." },
	{ 0 },
};

const struct conf_table longpoll_conf = { "longpoll", sizeof(struct longpoll_conf), keys };
