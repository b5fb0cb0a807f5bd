/* SPDX-License-Identifier: MIT */
/*
 * Random commands and random kills: what is done at most once, what is answered.
 *
 * A child process is the daemon's core with a journal; it kills itself by SIGKILL between two turns
 * of its loop, while the journal's threads are wherever they are. The outside (who sent which
 * command, what the engine did, which replies came) lies in memory that the child shares with us,
 * and the next child finds it there. The bus is a broker: what it was not acknowledged it brings
 * again, and sometimes also what it was.
 *
 * At the end: no POST was done twice; a command that was acknowledged had a reply, none had more
 * than it had deliveries; a POST that was answered 200 was done.
 * The seed is printed; VOXBUS_SEED runs another one.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core_test.h"

enum {
	OPENS = OBJECT_OPENS | OBJECT_BINDS,
	LIVES = 25,
	COMMANDS = 250, /* fewer than the results that a call keeps */
	STEPS = 400,
	DRAIN = 20000,
	HELD = 32,
};

struct one {
	bool post, acked;
	unsigned channel, deliveries, done, replies, good;
};

struct outside {
	unsigned seed, n, lives;
	uint64_t highest; /* reply that was seen */
	char dialog[64];
	struct one at[COMMANDS];
};

struct life {
	struct world w;
	struct outside *o;
	struct msg *held[HELD]; /* the engine works on them */
	size_t n_held;
};

static unsigned draw(struct outside *o, unsigned below)
{
	o->seed = o->seed * 1103515245 + 12345;
	return (o->seed >> 8) % below;
}

static unsigned number_of(struct str text)
{
	uint64_t n = COMMANDS;

	(void)str_u64(text, &n);
	assert_true(n < COMMANDS);
	return (unsigned)n;
}

static void on_settle(void *arg, uint64_t tag, int result)
{
	struct life *l = container_of(arg, struct life, w);

	if (result == 0)
		l->o->at[tag - 1].acked = true;
}

static void deliver(struct life *l, unsigned n)
{
	struct one *one = &l->o->at[n];
	char topic[96], url[32], id[16];
	struct delivery c = {
		.kind = MSG_COMMAND,
		.flags = one->deliveries ? MSG_REDELIVERED : 0,
		.tag = n + 1,
		.type = one->post ? STR("POST") : STR("GET"),
	};

	c.topic = str_make(topic,
			   (size_t)snprintf(topic, sizeof(topic), "commands_%s", l->o->dialog));
	c.target =
		str_make(url, (size_t)snprintf(url, sizeof(url), "/channels/c%u/x", one->channel));
	c.id = str_make(id, (size_t)snprintf(id, sizeof(id), "%u", n));
	if (port_deliver(memory_port_port(l->w.bus), &c) == 0)
		one->deliveries++;
}

static void deliver_new(struct life *l)
{
	struct outside *o = l->o;
	unsigned n = o->n;

	if (n == COMMANDS)
		return;
	o->at[n] = (struct one){ .post = draw(o, 4) != 0, .channel = draw(o, 5) };
	o->n++;
	deliver(l, n);
}

/* What came out of the hub since the last look. */
static void look(struct life *l)
{
	struct world *w = &l->w;

	for (size_t i = 0; i < w->commands.n; i++) {
		assert_true(l->n_held < HELD);
		l->o->at[number_of(w->commands.at[i]->id)].done++;
		l->held[l->n_held++] = msg_ref(w->commands.at[i]);
	}
	got_clear(&w->commands);
	for (size_t i = 0; i < w->sent.n; i++) {
		const struct msg *m = w->sent.at[i];
		struct one *one;

		if (m->kind != MSG_REPLY || m->seq <= l->o->highest)
			continue;
		assert_int_equal(m->seq, l->o->highest + 1);
		l->o->highest = m->seq;
		one = &l->o->at[number_of(m->id)];
		one->replies++;
		one->good += m->status == 200;
	}
	got_clear(&w->sent);
}

static void answer(struct life *l)
{
	size_t i = l->n_held ? draw(l->o, (unsigned)l->n_held) : 0;
	struct msg *m = l->held[i];

	if (!l->n_held)
		return;
	l->held[i] = l->held[--l->n_held];
	memory_port_reply(l->w.engine, m, 200, STR("{}"));
	(void)msg_unref(m);
}

static void something(struct life *l)
{
	unsigned what = draw(l->o, 100);

	if (what < 25)
		deliver_new(l);
	else if (what < 60)
		answer(l);
	else if (what < 62 && l->o->n)
		deliver(l, draw(l->o, l->o->n));
	loop_turn(l->w.loop);
	if (what > 90)
		(void)usleep(100);
	look(l);
}

static bool all_answered(const struct life *l)
{
	for (unsigned i = 0; i < l->o->n; i++)
		if (!l->o->at[i].acked || !l->o->at[i].replies)
			return false;
	return !l->n_held;
}

/* The last life: everything comes to its end. */
static void drain(struct life *l)
{
	for (int i = 0; i < DRAIN && !all_answered(l); i++) {
		answer(l);
		loop_turn(l->w.loop);
		(void)usleep(100);
		look(l);
	}
	world_settle(&l->w);
	look(l);
}

static void live(struct outside *o, const char *dir, bool last)
{
	static struct life l;
	unsigned steps = draw(o, STEPS);

	l.o = o;
	world_create(&l.w, &(struct world_options){ .dir = dir, .broker = true, .parallel = true });
	l.w.bus_conf.on_settle = on_settle;
	if (!o->dialog[0]) {
		(void)world_event(&l.w, "StasisStart", OPENS, "c0", "{}");
		world_settle(&l.w);
		(void)snprintf(o->dialog, sizeof(o->dialog), "%s", l.w.dialog);
	}
	look(&l);
	for (unsigned i = 0; i < o->n; i++)
		if (!o->at[i].acked)
			deliver(&l, i);
	for (unsigned i = 0; i < steps; i++)
		something(&l);
	if (!last)
		(void)kill(getpid(), SIGKILL);
	drain(&l);
	_exit(all_answered(&l) ? 0 : 1);
}

static int run_life(struct outside *o, const char *dir, bool last)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
		live(o, dir, last);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void check(const struct outside *o)
{
	unsigned done = 0, twice = 0;

	for (unsigned i = 0; i < o->n; i++) {
		const struct one *one = &o->at[i];

		if ((one->post && one->done > 1) || (one->good && !one->done) || !one->replies ||
		    one->replies > one->deliveries)
			fail_msg("command %u (%s): %u deliveries, done %u times, %u replies, %u of "
				 "them 200",
				 i, one->post ? "POST" : "GET", one->deliveries, one->done,
				 one->replies, one->good);
		done += one->done;
		twice += one->deliveries > 1;
	}
	print_message("%u commands, %u of them delivered more than once, %u executions, %u lives\n",
		      o->n, twice, done, o->lives);
	assert_true(o->n > 50);
}

static void killed_again_and_again_no_command_is_done_twice(void **state)
{
	const char *seed = getenv("VOXBUS_SEED");
	struct outside *o =
		mmap(NULL, sizeof(*o), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char dir[64];

	assert_true(o != MAP_FAILED);
	dir_make(dir);
	o->seed = seed ? (unsigned)strtoul(seed, NULL, 10) : 1;
	print_message("seed %u\n", o->seed);
	for (o->lives = 1; o->lives < LIVES; o->lives++) {
		int status = run_life(o, dir, false);

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	assert_int_equal(run_life(o, dir, true), 0);
	check(o);
	dir_remove(dir);
	assert_int_equal(munmap(o, sizeof(*o)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_again_and_again_no_command_is_done_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
