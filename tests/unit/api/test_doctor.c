/* SPDX-License-Identifier: MIT */
/* The doctor's judgement on made-up facts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "api/doctor.h"
#include "base/str.h"

struct tally {
	const char *id; /* the check that is looked at */
	enum doctor_level worst;
	unsigned findings, others; /* others: of other checks, not ok */
	char what[1024];
};

static void count(void *arg, const struct doctor_finding *f)
{
	struct tally *t = arg;

	assert_non_null(f->what);
	assert_true((f->level == DOCTOR_OK) == (f->fix[0] == 0));
	if (strcmp(f->id, t->id) != 0) {
		t->others += f->level != DOCTOR_OK;
		return;
	}
	t->findings++;
	if (f->level < t->worst)
		return;
	t->worst = f->level;
	(void)snprintf(t->what, sizeof(t->what), "%s", f->what);
}

/* A healthy daemon. */
static struct doctor_facts *facts_create(void)
{
	struct doctor_facts *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->data_dir = "/var/lib/voxbus";
	f->data_dir_writable = true;
	f->disk_bytes = 100ULL << 30;
	f->disk_free_bytes = 50ULL << 30;
	f->journal = true;
	f->journal_quota = 8ULL << 30;
	f->open_fds = 20;
	f->max_fds = 65536;
	f->n_ports = 2;
	f->ports[0] = (struct doctor_port){
		.name = "pbx1", .type = "asterisk", .role = "engine", .state = PORT_UP
	};
	f->ports[1] = (struct doctor_port){
		.name = "http", .type = "longpoll", .role = "bus", .state = PORT_UP
	};
	f->n_applications = 1;
	f->applications[0] = (struct doctor_application){ .name = "hello", .bus = "http" };
	return f;
}

static struct tally run(const struct doctor_facts *f, const char *id)
{
	struct tally t = { .id = id };

	doctor_run(f, count, &t);
	assert_true(t.findings > 0);
	return t;
}

static void a_healthy_daemon_has_no_finding(void **state)
{
	struct doctor_facts *f = facts_create();
	struct tally t = run(f, "links");

	assert_int_equal(t.worst, DOCTOR_OK);
	assert_int_equal(t.others, 0);
	free(f);
}

static void a_link_fault_is_named_by_its_reason(void **state)
{
	static const struct {
		const char *what, *reason, *id;
		enum port_state state;
		const char *type;
	} cases[] = {
		{ "refused", "Asterisk is not reachable at http://127.0.0.1:4041/ari (refused)",
		  "asterisk-unreachable", PORT_DOWN, "asterisk" },
		{ "401", "wrong user name or password for ARI user \"ari\"", "asterisk-login",
		  PORT_FAILED, "asterisk" },
		{ "404", "ARI is not there at http://127.0.0.1:4010/ari (404): is it loaded?",
		  "asterisk-ari", PORT_FAILED, "asterisk" },
		{ "404 with a full stop", "Asterisk answered 404.", "asterisk-ari", PORT_FAILED,
		  "asterisk" },
		{ "replaced", "the application was taken over by another ARI client",
		  "asterisk-replaced", PORT_FAILED, "asterisk" },
		{ "403", "ARI user \"ari\" is not allowed to read events", "asterisk-denied",
		  PORT_FAILED, "asterisk" },
		{ "stale", "no sign of life from Asterisk", "asterisk-unreachable", PORT_STALE,
		  "asterisk" },
		{ "a port that looks like a status", "no pong from 10.0.0.1:404", "links",
		  PORT_STALE, "asterisk" },
		{ "another adapter", "connection refused", "links", PORT_DOWN, "nats" },
		{ "no reason", "", "links", PORT_DOWN, "asterisk" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doctor_facts *f = facts_create();
		struct doctor_port *port = &f->ports[0];
		struct tally t;

		port->state = cases[i].state;
		(void)snprintf(port->reason, sizeof(port->reason), "%s", cases[i].reason);
		(void)snprintf(port->type, sizeof(port->type), "%s", cases[i].type);
		t = run(f, cases[i].id);
		if (t.worst != DOCTOR_FAIL || t.others != 0)
			fail_msg("%s: level %d, %u others", cases[i].what, t.worst, t.others);
		assert_non_null(strstr(t.what, "pbx1"));
		free(f);
	}
}

static void two_ports_with_one_fault_are_two_findings(void **state)
{
	struct doctor_facts *f = facts_create();
	struct tally t;

	f->ports[1] = f->ports[0];
	for (int i = 0; i < 2; i++) {
		f->ports[i].state = PORT_DOWN;
		(void)snprintf(f->ports[i].reason, sizeof(f->ports[i].reason), "not reachable");
	}
	t = run(f, "asterisk-unreachable");
	assert_int_equal(t.findings, 2);
	free(f);
}

static void a_port_that_still_connects_is_a_warning(void **state)
{
	struct doctor_facts *f = facts_create();

	f->ports[0].state = PORT_CONNECTING;
	assert_int_equal(run(f, "links").worst, DOCTOR_WARN);
	free(f);
}

/* One number of the facts is changed; the check must say so, and no other. */
static void numbers_have_their_thresholds(void **state)
{
	static const struct {
		const char *what, *id;
		size_t offset;
		uint64_t value;
		enum doctor_level level;
	} cases[] = {
#define FACT(member) offsetof(struct doctor_facts, member)
		{ "disk nearly full", "disk-space", FACT(disk_free_bytes), 500 << 20, DOCTOR_WARN },
		{ "disk full", "disk-space", FACT(disk_free_bytes), 1 << 20, DOCTOR_FAIL },
		{ "no disk", "disk-space", FACT(disk_bytes), 0, DOCTOR_OK },
		{ "quota nears", "journal", FACT(journal_bytes), 7500ULL << 20, DOCTOR_WARN },
		{ "quota reached", "journal", FACT(journal_bytes), 8ULL << 30, DOCTOR_FAIL },
		{ "refused", "journal", FACT(journal_refused), 3, DOCTOR_WARN },
		{ "damaged", "journal", FACT(journal_damaged), 1, DOCTOR_WARN },
		{ "few files", "open-files", FACT(max_fds), 1024, DOCTOR_WARN },
		{ "files used up", "open-files", FACT(open_fds), 65000, DOCTOR_FAIL },
		{ "no limit known", "open-files", FACT(max_fds), 0, DOCTOR_OK },
		{ "clock set", "clock", FACT(clock_jump_ms), 3600000, DOCTOR_WARN },
		{ "clock slewed", "clock", FACT(clock_jump_ms), 100, DOCTOR_OK },
		{ "dropped", "lost-messages", FACT(dropped), 1, DOCTOR_WARN },
		{ "time-outs", "commands", FACT(timeouts), 1, DOCTOR_WARN },
		{ "no dialog", "lost-messages", FACT(dialogs_refused), 1, DOCTOR_WARN },
		{ "unrecorded", "lost-messages", FACT(unrecorded), 1, DOCTOR_WARN },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doctor_facts *f = facts_create();
		struct tally t;

		memcpy((char *)f + cases[i].offset, &cases[i].value, sizeof(cases[i].value));
		t = run(f, cases[i].id);
		if (t.worst != cases[i].level || t.others != 0)
			fail_msg("%s: level %d, %u others", cases[i].what, t.worst, t.others);
		free(f);
	}
}

static void calls_that_nobody_takes_are_found_by_their_age(void **state)
{
	static const struct {
		uint64_t unread, age_ms;
		enum doctor_level level;
	} cases[] = {
		{ 1, 4999, DOCTOR_OK },
		{ 1, 5000, DOCTOR_WARN },
		{ 7, 30000, DOCTOR_FAIL },
		{ 0, 30000, DOCTOR_OK },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doctor_facts *f = facts_create();
		struct tally t;

		f->applications[0].unread = cases[i].unread;
		f->applications[0].oldest_unread_ms = cases[i].age_ms;
		t = run(f, "unread-calls");
		assert_int_equal(t.worst, cases[i].level);
		free(f);
	}
}

static void flags_are_failures(void **state)
{
	struct doctor_facts *f = facts_create();

	f->data_dir_writable = false;
	f->journal_failed = true;
	assert_int_equal(run(f, "data-directory").worst, DOCTOR_FAIL);
	assert_int_equal(run(f, "journal").worst, DOCTOR_FAIL);
	f->data_dir = NULL;
	assert_int_equal(run(f, "data-directory").worst, DOCTOR_OK);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_healthy_daemon_has_no_finding),
		cmocka_unit_test(a_link_fault_is_named_by_its_reason),
		cmocka_unit_test(two_ports_with_one_fault_are_two_findings),
		cmocka_unit_test(a_port_that_still_connects_is_a_warning),
		cmocka_unit_test(numbers_have_their_thresholds),
		cmocka_unit_test(calls_that_nobody_takes_are_found_by_their_age),
		cmocka_unit_test(flags_are_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
