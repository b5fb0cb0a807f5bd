/* SPDX-License-Identifier: MIT */
/*
 * commands_<dialog>: a posted Command goes to the hub and is acknowledged when the hub has it for
 * good (not when the engine has answered: that comes on responses_<dialog>).
 *
 * The tag of a command is its struct, which lives until the hub has settled it, whether the client
 * still waits or not.
 */
#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"
#include "envelope/envelope.h"

enum { ID_BYTES = 16 };

struct command {
	struct list link;             /* longpoll.commands */
	struct http_request *request; /* NULL: the client has gone */
	char id[2 * ID_BYTES + 1];
};

static void command_gone(void *arg)
{
	struct command *command = arg;

	command->request = NULL;
}

static void answer_taken(struct http_request *request, const char *id)
{
	answer_empty(request, 200, &(struct http_header){ STR("X-Message-Id"), str_from(id) }, 1);
}

static int deliver(struct longpoll *bus, const struct envelope_command *envelope, struct str topic,
		   struct command *command)
{
	return port_deliver(bus->port, &(struct delivery){ .kind = MSG_COMMAND,
							   .tag = (uint64_t)(uintptr_t)command,
							   .topic = topic,
							   .type = envelope->method,
							   .target = envelope->url,
							   .id = envelope->unique_id,
							   .content_type = STR("application/json"),
							   .payload = envelope->body });
}

static void command_send(struct longpoll *bus, struct http_request *request, struct str topic,
			 const struct envelope_command *envelope)
{
	struct command *command = calloc(1, sizeof(*command));

	if (!command) {
		answer_refused(request, -ENOMEM);
		return;
	}
	rand_id_hex(command->id, ID_BYTES);
	command->request = request;
	int rc = deliver(bus, envelope, topic, command);
	if (rc < 0) {
		free(command);
		answer_refused(request, rc);
		return;
	}
	list_add_tail(&bus->commands, &command->link);
	http_request_on_gone(request, command_gone, command);
}

void command_handle(struct longpoll *bus, struct http_request *request, struct str key)
{
	struct envelope_command envelope;
	struct err e;

	if (bus->paused) {
		answer_retry(request, 503, 1,
			     "voxbus takes no commands for a moment; send it again");
		return;
	}
	int rc = envelope_command_parse(http_request_info(request)->body, &envelope, &e);
	if (rc == -ENOMEM) {
		answer_refused(request, rc);
		return;
	}
	if (rc < 0) {
		answer_problem(request, 400, NULL, 0, "%s", e.text);
		return;
	}
	if (envelope.dummy) {
		port_touched(bus->port, key);
		answer_empty(request, 200, NULL, 0);
	} else
		command_send(bus, request, key, &envelope);
	envelope_command_fini(&envelope);
}

void command_settle(struct longpoll *bus, uint64_t tag, int result)
{
	struct command *command = (struct command *)(uintptr_t)tag;

	list_del(&command->link);
	if (command->request) {
		http_request_on_gone(command->request, NULL, NULL);
		if (result == 0)
			answer_taken(command->request, command->id);
		else
			answer_refused(command->request, result);
	}
	free(command);
}

void commands_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->commands) {
		struct command *command = container_of(it, struct command, link);

		if (command->request) {
			http_request_on_gone(command->request, NULL, NULL);
			answer_retry(command->request, 503, 5,
				     "voxbus is stopping; whether the command ran is unknown");
		}
		list_del(&command->link);
		free(command);
	}
}
