/* SPDX-License-Identifier: MIT */
/* The port contract suite: contract.h says what it is and how a new port gets its row. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "contract.h"

enum { TURNS = 20000, IDLE_TURNS = 60, FEW = 16 };

static const struct contract_row *const rows[] = {
	&contract_memory_bus, &contract_memory_broker, &contract_memory_engine, &contract_asterisk,
	&contract_longpoll,   &contract_amqp,          &contract_nats,
};

static struct contract *now; /* whose upcalls these are */

/* ---- the upcalls end here */

static void called(void)
{
	assert_non_null(now);
	assert_false(now->inside); /* `send` never calls back inline */
	assert_false(now->closed); /* after CLOSED nothing more comes */
	now->upcalls++;
}

static void answered(struct contract *c, const struct msg *msg, bool good)
{
	assert_true(msg->seq > 0 && msg->seq <= CONTRACT_MESSAGES);
	if (good)
		c->settled[msg->seq]++;
	else
		c->refused[msg->seq]++;
	c->order[c->n_answers++] = msg->seq;
}

int __wrap_port_deliver(struct port *port, const struct delivery *delivery);
void __wrap_port_settle(struct port *port, const struct msg *msg, int result);
int __wrap_port_bind(struct port *port, const struct msg *command, const struct object_ref *objects,
		     size_t n);
void __wrap_port_set_state(struct port *port, enum port_state state, const char *reason);
void __wrap_port_listening(struct port *port, struct str topic, int result);
void __wrap_port_writable(struct port *port);
void __wrap_port_touched(struct port *port, struct str topic);

int __wrap_port_deliver(struct port *port, const struct delivery *delivery)
{
	called();
	if (delivery->kind == MSG_REPLY)
		answered(now, delivery->answers, delivery->status < 400);
	return 0;
}

void __wrap_port_settle(struct port *port, const struct msg *msg, int result)
{
	called();
	answered(now, msg, result == 0);
}

int __wrap_port_bind(struct port *port, const struct msg *command, const struct object_ref *objects,
		     size_t n)
{
	return 0; /* the one that may come from inside `send` */
}

void __wrap_port_set_state(struct port *port, enum port_state state, const char *reason)
{
	called();
	assert_non_null(reason);
	now->state = state;
	now->closed = state == PORT_CLOSED;
}

void __wrap_port_listening(struct port *port, struct str topic, int result)
{
	called();
	now->listened++;
	now->listen_result = result;
	(void)snprintf(now->listen_topic, sizeof(now->listen_topic), "%.*s", STR_ARG(topic));
}

void __wrap_port_writable(struct port *port)
{
	called();
	now->writable++;
}

void __wrap_port_touched(struct port *port, struct str topic)
{
	called();
}

/* ---- a port in a hub */

static struct port_ops spy; /* the row's ops, but `create` tells us what it made */

static int spy_create(struct port *port, const struct port_env *env, const void *conf, void **ret,
		      struct err *e)
{
	int rc = now->row->ops->create(port, env, conf, ret, e);

	if (rc == 0)
		now->self = *ret;
	return rc;
}

static int files_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

struct contract *contract_create(const struct contract_row *row)
{
	struct contract *c = calloc(1, sizeof(*c));
	struct hub_options options;
	const void *conf;
	struct err e = { "" };
	int files;

	print_message("%s\n", row->what);
	assert_non_null(c);
	now = c;
	c->row = row;
	c->state = PORT_DOWN;
	assert_int_equal(loop_create_manual(&c->loop), 0);
	assert_int_equal(streams_create(c->loop, NULL, NULL, &c->streams), 0);
	assert_int_equal(accounts_create(c->loop, NULL, &c->accounts), 0);
	assert_int_equal(http_server_create(c->loop, NULL, NULL, &c->http), 0);
	options = (struct hub_options){ .loop = c->loop,
					.node = "test",
					.streams = c->streams,
					.http = c->http,
					.accounts = c->accounts };
	assert_int_equal(hub_create(&options, &c->hub), 0);
	row->setup(c, &conf);
	spy = *row->ops;
	spy.create = spy_create;
	files = files_open();
	if (hub_add_port(c->hub, &spy, "port", conf, &c->port, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(files_open(), files); /* create does no I/O */
	assert_int_equal(c->upcalls, 0);
	return c;
}

void contract_destroy(struct contract *c)
{
	(void)http_server_destroy(c->http);
	(void)hub_destroy(c->hub); /* and the port with it */
	c->row->teardown(c);
	(void)accounts_destroy(c->accounts);
	(void)streams_destroy(c->streams);
	(void)loop_destroy(c->loop);
	for (size_t i = 0; i <= CONTRACT_MESSAGES; i++)
		(void)msg_unref(c->sent[i]);
	free(c);
	now = NULL;
}

void contract_until(struct contract *c, bool (*done)(struct contract *c), const char *what)
{
	for (int i = 0; i < TURNS; i++) {
		if (done(c))
			return;
		loop_turn(c->loop);
		if (i > 1000)
			(void)usleep(100);
	}
	fail_msg("%s: %s; its state is %s", c->row->what, what, port_state_name(c->state));
}

/* For what must not happen: many turns. */
static void turn_on(struct contract *c)
{
	for (int i = 0; i < IDLE_TURNS; i++) {
		loop_turn(c->loop);
		(void)usleep(50);
	}
}

static bool is_up(struct contract *c)
{
	return c->state == PORT_UP;
}

static bool is_not_up(struct contract *c)
{
	return c->state != PORT_UP;
}

static bool is_closed(struct contract *c)
{
	return c->closed;
}

static bool is_writable(struct contract *c)
{
	return c->writable > 0;
}

static bool has_listened(struct contract *c)
{
	return c->listened > 0;
}

static void start(struct contract *c)
{
	struct err e = { "" };
	uint64_t before = loop_now_us();

	assert_int_equal(c->row->ops->start(c->self, &e), 0);
	assert_true(loop_now_us() - before < 1000000); /* it returns at once */
}

static void stop(struct contract *c)
{
	bool was = c->closed;

	c->row->ops->stop(c->self);
	assert_true(was || !c->closed); /* CLOSED comes in a later turn */
	contract_until(c, is_closed, "it does not close");
	turn_on(c);
}

static bool sends(const struct contract_row *row)
{
	return !(row->ops->roles & PORT_PULL);
}

static int send_one(struct contract *c, uint64_t seq)
{
	bool bus = c->row->ops->roles & PORT_BUS;
	struct msg init = { .kind = bus ? MSG_EVENT : MSG_COMMAND,
			    .seq = seq,
			    .topic = bus ? STR("events_d") : STR("commands_d"),
			    .application = STR("app"),
			    .dialog = STR("d"),
			    .type = bus ? STR("Dial") : STR("POST"),
			    .target = STR("/channels/c/answer"),
			    .id = STR("u"),
			    .payload = blob_create(STR("{}")) };
	int rc;

	if (!c->sent[seq])
		c->sent[seq] = msg_create(&init);
	(void)blob_unref(init.payload);
	assert_non_null(c->sent[seq]);
	c->inside = true;
	rc = c->row->ops->send(c->self, c->sent[seq]);
	c->inside = false;
	assert_true(rc == 0 || rc == -EAGAIN);
	return rc;
}

/* Sends until the port is full, at most `most`: how many it took. */
static uint64_t fill(struct contract *c, uint64_t most)
{
	uint64_t n = 0;

	while (n < most && send_one(c, n + 1) == 0)
		n++;
	return n;
}

static size_t answers_wanted;

static bool has_answers(struct contract *c)
{
	return c->n_answers >= answers_wanted;
}

/* The outside answers n messages, one after the other, each once it has come. */
static void answer(struct contract *c, size_t n, bool good)
{
	answers_wanted = c->n_answers;
	while (n--) {
		answers_wanted++;
		for (int i = 0; !c->row->answer(c, good); i++) {
			assert_true(i < TURNS);
			loop_turn(c->loop);
			if (i > 1000)
				(void)usleep(100);
		}
		contract_until(c, has_answers, "the answer does not come through");
	}
}

/* ---- the checks */

static void created_and_destroyed_without_a_start(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	turn_on(c);
	assert_int_equal(c->upcalls, 0);
	contract_destroy(c);
}

static void comes_up_and_closes(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	start(c);
	contract_until(c, is_up, "it does not come up");
	stop(c);
	contract_destroy(c);
}

static void closes_before_it_is_up_and_when_told_twice(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	start(c);
	c->row->ops->stop(c->self);
	assert_false(c->closed);
	c->row->ops->stop(c->self);
	contract_until(c, is_closed, "it does not close");
	turn_on(c);
	contract_destroy(c);
}

static void destroyed_while_it_comes_up(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	start(c);
	contract_destroy(c);
	c = contract_create(row);
	start(c);
	loop_turn(c->loop);
	loop_turn(c->loop);
	contract_destroy(c);
}

static void answers_each_message_once_and_in_order(const struct contract_row *row)
{
	struct contract *c = contract_create(row);
	uint64_t n;

	if (sends(row)) {
		start(c);
		contract_until(c, is_up, "it does not come up");
		n = fill(c, 5);
		assert_int_equal(n, 5);
		answer(c, 5, true);
		turn_on(c);
		assert_int_equal(c->n_answers, 5);
		for (uint64_t i = 1; i <= 5; i++) {
			assert_int_equal(c->settled[i], 1);
			assert_int_equal(c->refused[i], 0);
			assert_int_equal(c->order[i - 1], i);
		}
		stop(c);
	}
	contract_destroy(c);
}

static void says_once_what_was_refused(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	if (sends(row) && !row->takes_all) {
		start(c);
		contract_until(c, is_up, "it does not come up");
		assert_int_equal(fill(c, 2), 2);
		answer(c, 1, false);
		answer(c, 1, true);
		assert_int_equal(c->refused[1], 1);
		assert_int_equal(c->settled[1], 0);
		assert_int_equal(c->settled[2], 1);
		/* The hub offers what a bus refused again: that is a new message to the port. */
		assert_int_equal(send_one(c, 1), 0);
		answer(c, 1, true);
		turn_on(c);
		assert_int_equal(c->n_answers, 3);
		assert_int_equal(c->settled[1], 1);
		stop(c);
	}
	contract_destroy(c);
}

static void says_when_it_has_room_again(const struct contract_row *row)
{
	struct contract *c = contract_create(row);
	uint64_t n;

	if (sends(row)) {
		start(c);
		contract_until(c, is_up, "it does not come up");
		n = fill(c, CONTRACT_MESSAGES);
		assert_true(n < CONTRACT_MESSAGES); /* every queue has a maximum */
		assert_int_equal(c->writable, 0);
		answer(c, 1, true);
		contract_until(c, is_writable, "it never has room again");
		assert_int_equal(send_one(c, n + 1), 0);
		stop(c);
	}
	contract_destroy(c);
}

static void closes_with_messages_in_flight(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	if (sends(row)) {
		start(c);
		contract_until(c, is_up, "it does not come up");
		assert_int_equal(fill(c, 3), 3);
		loop_turn(c->loop);
		stop(c);
		for (size_t i = 1; i <= 3; i++)
			assert_true(c->settled[i] + c->refused[i] <= 1);
	}
	contract_destroy(c);
}

static void destroyed_with_messages_in_flight(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	if (sends(row)) {
		start(c);
		contract_until(c, is_up, "it does not come up");
		assert_int_equal(fill(c, 3), 3);
		loop_turn(c->loop);
		loop_turn(c->loop);
	}
	contract_destroy(c);
}

static void listening_is_answered_in_a_later_turn(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	start(c);
	contract_until(c, is_up, "it does not come up");
	if (row->ops->listen) {
		c->inside = true;
		assert_int_equal(row->ops->listen(c->self, STR("commands_d"), true), 0);
		c->inside = false;
		contract_until(c, has_listened, "listen is not answered");
		assert_int_equal(c->listen_result, 0);
		assert_string_equal(c->listen_topic, "commands_d");
		assert_int_equal(row->ops->listen(c->self, STR("commands_d"), false), 0);
		turn_on(c);
		assert_int_equal(c->listened, 1); /* the end of it is not answered */
		assert_int_equal(row->ops->listen(c->self, STR("commands_e"), true), 0);
	}
	stop(c);
	contract_destroy(c);
}

static void pauses_and_goes_on(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	assert_true(!row->ops->pause || !(row->ops->roles & PORT_ENGINE));
	start(c);
	contract_until(c, is_up, "it does not come up");
	if (row->ops->pause) {
		c->inside = true;
		row->ops->pause(c->self, true);
		row->ops->pause(c->self, false);
		row->ops->pause(c->self, true);
		c->inside = false;
	}
	stop(c);
	contract_destroy(c);
}

static void comes_back_after_a_lost_link(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	start(c);
	contract_until(c, is_up, "it does not come up");
	if (row->lose) {
		row->lose(c);
		contract_until(c, is_not_up, "it does not see that its link is lost");
		row->restore(c);
		for (unsigned ms = 0; c->state != PORT_UP && ms < row->back_ms; ms += 100) {
			loop_test_advance(c->loop, 100);
			turn_on(c);
		}
		contract_until(c, is_up, "it does not come back");
		if (sends(row)) {
			assert_int_equal(send_one(c, 1), 0);
			answer(c, 1, true);
			assert_int_equal(c->settled[1], 1);
		}
	}
	stop(c);
	contract_destroy(c);
}

/* Whatever becomes of them, the core hears of no answer, and it may be stopped in the middle. */
static void releases_calls_without_a_word(const struct contract_row *row)
{
	struct contract *c = contract_create(row);

	if (row->ops->release) {
		assert_true(row->ops->roles & PORT_ENGINE);
		start(c);
		contract_until(c, is_up, "it does not come up");
		for (int round = 0; round < 2; round++) {
			c->inside = true;
			row->ops->release(c->self, STR("app"), STR("a b/c"), "AWAY");
			row->ops->release(c->self, STR("nobody"), STR("c2"), "UNACCEPTED");
			c->inside = false;
			for (int i = 0; i < 8 && round == 0; i++) {
				turn_on(c);
				(void)row->answer(c, i % 3 != 0);
				loop_test_advance(c->loop, 1000);
			}
		}
		for (size_t i = 1; i <= CONTRACT_MESSAGES; i++)
			assert_int_equal(c->settled[i] + c->refused[i], 0);
		stop(c);
		row->ops->release(c->self, STR("app"), STR("late"), "AWAY");
	}
	contract_destroy(c);
}

static void numbers_are_named(const struct contract_row *row)
{
	struct contract *c = contract_create(row);
	struct port_stat stats[FEW];
	size_t n = row->ops->stats ? row->ops->stats(c->self, stats, FEW) : 0;

	assert_true(n <= FEW);
	for (size_t i = 0; i < n; i++)
		assert_true(stats[i].name[0] && stats[i].help[0]);
	if (row->ops->stats)
		assert_true(row->ops->stats(c->self, stats, 1) <= 1);
	contract_destroy(c);
}

#define EVERY(check)                                                      \
	static void check##_each(void **state)                            \
	{                                                                 \
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) \
			check(rows[i]);                                   \
	}

EVERY(created_and_destroyed_without_a_start)
EVERY(comes_up_and_closes)
EVERY(closes_before_it_is_up_and_when_told_twice)
EVERY(destroyed_while_it_comes_up)
EVERY(answers_each_message_once_and_in_order)
EVERY(says_once_what_was_refused)
EVERY(says_when_it_has_room_again)
EVERY(closes_with_messages_in_flight)
EVERY(destroyed_with_messages_in_flight)
EVERY(listening_is_answered_in_a_later_turn)
EVERY(pauses_and_goes_on)
EVERY(comes_back_after_a_lost_link)
EVERY(names_what_a_command_touches)
EVERY(releases_calls_without_a_word)
EVERY(numbers_are_named)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(created_and_destroyed_without_a_start_each),
		cmocka_unit_test(comes_up_and_closes_each),
		cmocka_unit_test(closes_before_it_is_up_and_when_told_twice_each),
		cmocka_unit_test(destroyed_while_it_comes_up_each),
		cmocka_unit_test(answers_each_message_once_and_in_order_each),
		cmocka_unit_test(says_once_what_was_refused_each),
		cmocka_unit_test(says_when_it_has_room_again_each),
		cmocka_unit_test(closes_with_messages_in_flight_each),
		cmocka_unit_test(destroyed_with_messages_in_flight_each),
		cmocka_unit_test(listening_is_answered_in_a_later_turn_each),
		cmocka_unit_test(pauses_and_goes_on_each),
		cmocka_unit_test(comes_back_after_a_lost_link_each),
		cmocka_unit_test(names_what_a_command_touches_each),
		cmocka_unit_test(releases_calls_without_a_word_each),
		cmocka_unit_test(numbers_are_named_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
