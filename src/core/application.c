/* SPDX-License-Identifier: MIT */
/*
 * Applications: who serves one, and what it wants of its events.
 *
 * A rule stands for a type of event: it is dropped, or it is good for a while only. Most
 * applications have no rule, and pay nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/hub_internal.h"

struct event_rule {
	struct map_node node; /* application.rules */
	bool drop;
	uint64_t ttl_ms; /* 0: no end */
	char type[];
};

void application_destroy(struct application *a)
{
	map_for_each (it, &a->rules) {
		map_del(&a->rules, it);
		free(container_of(it, struct event_rule, node));
	}
	map_fini(&a->rules);
	away_fini(&a->away);
	free(a->dropped);
	(void)outlet_destroy(a->outlet);
	(void)stream_unref(a->announces);
	(void)outlet_destroy(a->out_events);
	(void)stream_unref(a->events);
	free(a);
}

static struct event_rule *rule_find(const struct application *a, struct str type)
{
	struct map_node *node = a->rules.count ? map_find(&a->rules, type) : NULL;

	return node ? container_of(node, struct event_rule, node) : NULL;
}

/* The rule of that type, made if it is new: 0 and *ret, or -ENOMEM. */
static int rule_open(struct application *a, struct str type, struct event_rule **ret)
{
	struct event_rule *rule = rule_find(a, type);
	int rc;

	*ret = rule;
	if (rule)
		return 0;
	rule = calloc(1, sizeof(*rule) + type.n + 1);
	if (!rule)
		return -ENOMEM;
	memcpy(rule->type, type.p, type.n);
	rc = map_add(&a->rules, &rule->node, str_make(rule->type, type.n));
	if (rc < 0) {
		free(rule);
		return rc;
	}
	*ret = rule;
	return 0;
}

static int add_rules(struct application *a, const struct application_options *o)
{
	struct event_rule *rule;
	int rc = 0;

	a->dropped = calloc(o->n_drop + 1, sizeof(*a->dropped));
	if (!a->dropped)
		return -ENOMEM;
	for (size_t i = 0; i < o->n_drop && rc == 0; i++) {
		rc = rule_open(a, o->drop[i], &rule);
		if (rc == 0 && !rule->drop) {
			rule->drop = true;
			a->dropped[a->n_dropped++] = rule->node.key;
		}
	}
	for (size_t i = 0; i < o->n_ttl && rc == 0; i++) {
		rc = rule_open(a, o->ttl[i].type, &rule);
		if (rc == 0)
			rule->ttl_ms = o->ttl[i].ms;
	}
	return rc;
}

/* "<prefix><name>": the stream, and its way out unless its readers pull. */
static int application_stream(struct hub *hub, struct application *a, struct str prefix,
			      struct str name, struct stream **ret, struct outlet **ret_outlet)
{
	char text[NAME_MAX_BYTES], topic[TOPIC_MAX + 8];
	int n = snprintf(topic, sizeof(topic), "%.*s%.*s", STR_ARG(prefix), STR_ARG(name));

	*ret = stream_open(hub->opt.streams, port_stream_name(a->bus, text, prefix, name),
			   a->record ? STREAM_RECORD : 0);
	if (!*ret)
		return -ENOMEM;
	if (a->bus->ops->roles & PORT_PULL)
		return 0;
	return outlet_create(a->bus, *ret, str_make(topic, (size_t)n), ret_outlet);
}

static int application_streams(struct hub *hub, struct application *a, struct str name,
			       bool application_events)
{
	int rc = application_stream(hub, a, STR(""), name, &a->announces, &a->outlet);

	if (rc < 0 || !application_events)
		return rc;
	return application_stream(hub, a, STR("events_"), name, &a->events, &a->out_events);
}

int hub_add_application(struct hub *hub, struct str name, const struct application_options *options)
{
	struct application *a;
	int rc;

	if (name.n >= TOPIC_MAX)
		return -EMSGSIZE;
	if (map_find(&hub->applications, name))
		return -EEXIST;
	a = calloc(1, sizeof(*a) + name.n + 1);
	if (!a)
		return -ENOMEM;
	memcpy(a->name, name.p, name.n);
	a->bus = options->bus;
	a->record = options->record;
	a->deduplicate = options->deduplicate;
	away_init(&a->away, options);
	a->keep_ms = options->bus->ops->roles & PORT_PULL ? 0 : options->keep_ms;
	if (a->keep_ms != options->keep_ms)
		log_warn(options->bus->log, "keep ignored", "application=%s then=%s", a->name,
			 "a message of this bus goes when it has been read");
	a->accept_ms = options->accept_ms;
	a->accept_tries = options->accept_tries;
	rc = add_rules(a, options);
	if (rc == 0)
		rc = application_streams(hub, a, name, options->application_events);
	if (rc == 0)
		rc = map_add(&hub->applications, &a->node, str_make(a->name, name.n));
	if (rc < 0)
		application_destroy(a);
	return rc;
}

bool hub_has_application(const struct hub *hub, struct str name)
{
	return map_find(&hub->applications, name) != NULL;
}

const struct str *port_dropped(const struct port *port, struct str application, size_t *ret_n)
{
	struct map_node *node = map_find(&port->hub->applications, application);
	const struct application *a = node ? container_of(node, struct application, node) : NULL;

	*ret_n = a ? a->n_dropped : 0;
	return *ret_n ? a->dropped : NULL;
}

bool application_keeps_results(const struct application *a)
{
	return a->deduplicate == DEDUPLICATE_ALWAYS ||
	       (a->deduplicate == DEDUPLICATE_REDELIVERED && a->bus->redelivers);
}

bool application_drops(const struct application *a, struct str type)
{
	const struct event_rule *rule = rule_find(a, type);

	return rule && rule->drop;
}

uint64_t application_ttl(const struct application *a, struct str type)
{
	const struct event_rule *rule = rule_find(a, type);

	return rule ? rule->ttl_ms : 0;
}
