/* SPDX-License-Identifier: MIT */
/*
 * The doctor's table of checks.
 *
 * A port tells why it does not work by a sentence; the link checks read it, and each takes the
 * sentences that are its own. What no check takes is told by the last of them, "links", as it is.
 * Thresholds are at the top: a warning is what will become a fault, a failure is one.
 */
#include "api/doctor.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

enum {
	UNREAD_WARN_MS = 5000,
	UNREAD_FAIL_MS = 30000,
	DISK_FAIL_MIB = 128, /* two segments */
	DISK_WARN_MIB = 1024,
	FDS_MIN = 4096,
	CLOCK_JUMP_MS = 2000,
};

struct run {
	const struct doctor_facts *facts;
	doctor_fn fn;
	void *arg;
	const char *id;
	unsigned found;
};

const char *doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = { "ok", "warn", "fail" };

	return names[level];
}

static void say(struct run *run, enum doctor_level level, const char *what, const char *fix)
{
	struct doctor_finding finding = { .id = run->id, .level = level, .what = what, .fix = fix };

	run->found++;
	run->fn(run->arg, &finding);
}

/* How an Asterisk link fails, by the words of its reason. */
struct link_fault {
	const char *id, *words[4], *ok, *fix;
};

static const struct link_fault link_faults[] = {
	{ "asterisk-replaced",
	  { "taken over" },
	  "no application was taken over by another ARI client",
	  "two clients use one application: stop the other one (asterisk -rx 'ari show apps'), or "
	  "give this engine an application name of its own; then restart voxbusd" },
	{ "asterisk-login",
	  { "wrong user name or password" },
	  "no Asterisk refused user and password",
	  "make username and password of the engine the same as a [section] and its password in "
	  "ari.conf (where Asterisk dials: server_username, server_password and "
	  "websocket_client.conf), then: asterisk -rx 'module reload res_ari.so'" },
	{ "asterisk-denied",
	  { "not allowed" },
	  "no Asterisk keeps its ARI user out",
	  "let this host in by permit, deny and acl of the user in ari.conf, then: asterisk -rx "
	  "'module reload res_ari.so'" },
	{ "asterisk-ari",
	  { "404", "is not ARI" },
	  "ARI is there on every Asterisk that answers",
	  "set enabled = yes in http.conf and in ari.conf, see that prefix in http.conf fits the "
	  "engine's url, and that asterisk -rx 'module show like res_ari' lists res_ari.so" },
	{ "asterisk-dials",
	  { "waiting for Asterisk to dial", "has not registered" },
	  "every Asterisk that shall dial has dialled",
	  "see that websocket_client.conf has uri = ws://<an address of http.listen>/ari/<engine>, "
	  "that an outbound_websocket in ari.conf names it and lists the application in apps, and "
	  "asterisk -rx 'ari show outbound-websockets' (Asterisk 20.15, 21.10, 22.5 or later)" },
	{ "asterisk-tls",
	  { "TLS with Asterisk" },
	  "no Asterisk's certificate is refused",
	  "give the engine's tls a ca that has signed Asterisk's certificate (tlscertfile in "
	  "http.conf), and a server_name if it is for another name than the url's; see that the "
	  "url's port is that of tlsbindaddr, and whether the certificate has expired" },
	{ "asterisk-unreachable",
	  { "not reachable", "was lost", "no sign of life" },
	  "every Asterisk can be reached",
	  "see that Asterisk runs and is not overloaded, that http.conf has enabled = yes and that "
	  "bindaddr and bindport fit the engine's url, and that no firewall is between" },
};

enum { LINK_FAULTS = sizeof(link_faults) / sizeof(link_faults[0]) };

static bool is_word_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == ':' || c == '.' || c == '/' || c == '-';
}

/* Whether the words stand alone in the text: "404" is not in "10.0.0.1:4040". */
static bool has_words(struct str text, struct str words)
{
	bool boundary = true; /* in front of text */

	while (text.n >= words.n) {
		size_t at = str_find_str(text, words);
		struct str after;

		if (at >= text.n)
			return false;
		after = str_skip(text, at + words.n);
		if (at > 0)
			boundary = !is_word_byte(text.p[at - 1]);
		/* A full stop or colon behind is punctuation, not a part of the word. */
		if (boundary && (after.n == 0 || !is_word_byte(after.p[0]) || after.p[0] == '.' ||
				 after.p[0] == ':'))
			return true;
		boundary = !is_word_byte(text.p[at]);
		text = str_skip(text, at + 1);
	}
	return false;
}

static bool port_broken(const struct doctor_port *port)
{
	return port->state != PORT_UP;
}

/* The fault that explains the port, or NULL. */
static const struct link_fault *port_fault(const struct doctor_port *port)
{
	if (!port_broken(port) || strcmp(port->type, "asterisk") != 0)
		return NULL;
	for (size_t i = 0; i < LINK_FAULTS; i++)
		for (size_t w = 0; w < 4 && link_faults[i].words[w]; w++)
			if (has_words(str_from(port->reason), str_from(link_faults[i].words[w])))
				return &link_faults[i];
	return NULL;
}

static void port_say(struct run *run, const struct doctor_port *port, const char *fix)
{
	char what[768];
	enum doctor_level level = port->state == PORT_CONNECTING ? DOCTOR_WARN : DOCTOR_FAIL;

	(void)snprintf(what, sizeof(what), "%s %s: %s for %" PRIu64 " s%s%s", port->role,
		       port->name, port_state_name(port->state), port->since_ms / 1000,
		       port->reason[0] ? ": " : "", port->reason);
	say(run, level, what, fix);
}

static void check_link(struct run *run, const struct link_fault *fault)
{
	run->id = fault->id;
	run->found = 0;
	for (size_t i = 0; i < run->facts->n_ports; i++)
		if (port_fault(&run->facts->ports[i]) == fault)
			port_say(run, &run->facts->ports[i], fault->fix);
	if (run->found == 0)
		say(run, DOCTOR_OK, fault->ok, "");
}

static void check_links(struct run *run)
{
	for (size_t i = 0; i < run->facts->n_ports; i++) {
		const struct doctor_port *port = &run->facts->ports[i];

		if (port_broken(port) && !port_fault(port))
			port_say(run, port,
				 "the log of voxbusd tells what was tried; look at the peer's log "
				 "as well");
	}
	if (run->found == 0)
		say(run, DOCTOR_OK, "no other port is out of order", "");
}

static void check_unread(struct run *run)
{
	for (size_t i = 0; i < run->facts->n_applications; i++) {
		const struct doctor_application *a = &run->facts->applications[i];
		char what[512];

		if (a->unread == 0 || a->oldest_unread_ms < UNREAD_WARN_MS)
			continue;
		(void)snprintf(what, sizeof(what),
			       "no worker takes the calls of application %s on bus %s: %" PRIu64
			       " unread, the oldest for %" PRIu64 " s",
			       a->name, a->bus, a->unread, a->oldest_unread_ms / 1000);
		say(run, a->oldest_unread_ms < UNREAD_FAIL_MS ? DOCTOR_WARN : DOCTOR_FAIL, what,
		    "start the application's workers, and see that they read the topic of exactly "
		    "that name");
	}
	if (run->found == 0)
		say(run, DOCTOR_OK, "every new call is taken by a worker", "");
}

static void check_lost(struct run *run)
{
	const struct doctor_facts *f = run->facts;
	char what[256];

	if (f->dialogs_refused) {
		(void)snprintf(what, sizeof(what),
			       "%" PRIu64 " calls got no dialog: too many at once",
			       f->dialogs_refused);
		say(run, DOCTOR_WARN, what, "spread the calls over more daemons");
	}
	if (f->dropped) {
		(void)snprintf(what, sizeof(what), "%" PRIu64 " messages were dropped unread",
			       f->dropped);
		say(run, DOCTOR_WARN, what,
		    "set record: on for the application, or add workers that read faster");
	}
	if (f->unrecorded) {
		(void)snprintf(what, sizeof(what), "%" PRIu64 " messages were kept in memory alone",
			       f->unrecorded);
		say(run, DOCTOR_WARN, what, "see the checks of the journal and the disk");
	}
	if (run->found == 0)
		say(run, DOCTOR_OK, "no message was lost", "");
}

static void check_commands(struct run *run)
{
	char what[128];

	if (run->facts->timeouts == 0) {
		say(run, DOCTOR_OK, "every command was answered in time", "");
		return;
	}
	(void)snprintf(what, sizeof(what),
		       "%" PRIu64 " commands got no answer from an engine in time",
		       run->facts->timeouts);
	say(run, DOCTOR_WARN, what,
	    "see whether Asterisk is overloaded (asterisk -rx 'core show taskprocessors'), or set "
	    "a "
	    "longer commands.deadline");
}

static void check_data_dir(struct run *run)
{
	char what[512];

	if (!run->facts->data_dir) {
		say(run, DOCTOR_OK, "no data directory is used", "");
		return;
	}
	(void)snprintf(what, sizeof(what), "data directory %.400s is %swritable",
		       run->facts->data_dir, run->facts->data_dir_writable ? "" : "not ");
	if (run->facts->data_dir_writable)
		say(run, DOCTOR_OK, what, "");
	else
		say(run, DOCTOR_FAIL, what,
		    "give it to the user that voxbusd runs as (chown), mode 0700, on a file system "
		    "that is not mounted read-only");
}

static void check_disk(struct run *run)
{
	uint64_t free_mib = run->facts->disk_free_bytes >> 20;
	char what[128];

	if (run->facts->disk_bytes == 0) {
		say(run, DOCTOR_OK, "no disk is watched", "");
		return;
	}
	(void)snprintf(what, sizeof(what), "%" PRIu64 " MiB are free on the data directory's disk",
		       free_mib);
	if (free_mib >= DISK_WARN_MIB)
		say(run, DOCTOR_OK, what, "");
	else
		say(run, free_mib < DISK_FAIL_MIB ? DOCTOR_FAIL : DOCTOR_WARN, what,
		    "make room, or move data_dir to a larger disk");
}

static void check_journal(struct run *run)
{
	const struct doctor_facts *f = run->facts;
	char what[256];

	if (f->journal_failed)
		say(run, DOCTOR_FAIL,
		    "the journal has failed: nothing is recorded any more, acknowledged publishes "
		    "are refused",
		    "see the log for the disk's error, mend the disk or make room, restart "
		    "voxbusd");
	if (f->journal_quota && f->journal_bytes >= f->journal_quota / 10 * 9) {
		(void)snprintf(what, sizeof(what),
			       "the journal takes %" PRIu64 " of %" PRIu64 " MiB",
			       f->journal_bytes >> 20, f->journal_quota >> 20);
		say(run,
		    f->journal_bytes >= f->journal_quota / 100 * 99 ? DOCTOR_FAIL : DOCTOR_WARN,
		    what, "let workers read what waits (voxbus status), or raise the quota");
	}
	if (f->journal_refused) {
		(void)snprintf(what, sizeof(what), "the journal refused %" PRIu64 " records",
			       f->journal_refused);
		say(run, DOCTOR_WARN, what, "the disk is full or too slow: see the log for which");
	}
	if (f->journal_damaged) {
		(void)snprintf(what, sizeof(what),
			       "%" PRIu64 " damaged records were found at the start and left out",
			       f->journal_damaged);
		say(run, DOCTOR_WARN, what, "test the disk (smartctl -a) and the memory");
	}
	if (run->found == 0)
		say(run, DOCTOR_OK, f->journal ? "the journal works" : "no journal is used", "");
}

static void check_open_files(struct run *run)
{
	const struct doctor_facts *f = run->facts;
	const char *fix = "LimitNOFILE=65536 in the systemd unit, or ulimit -n 65536 before the "
			  "start";
	char what[128];

	if (f->max_fds == 0) {
		say(run, DOCTOR_OK, "the limit of open files can't be told", "");
		return;
	}
	(void)snprintf(what, sizeof(what), "%" PRIu64 " of %" PRIu64 " open files are used",
		       f->open_fds, f->max_fds);
	if (f->open_fds >= f->max_fds / 10 * 9)
		say(run, DOCTOR_FAIL, what, fix);
	else if (f->max_fds < FDS_MIN)
		say(run, DOCTOR_WARN, what, fix);
	else
		say(run, DOCTOR_OK, what, "");
}

static void check_certificate(struct run *run)
{
	const struct doctor_facts *f = run->facts;

	if (!f->certificate)
		say(run, DOCTOR_OK, "no certificate is used to listen", "");
	else if (f->certificate_level == DOCTOR_OK)
		say(run, DOCTOR_OK, f->certificate, "");
	else
		say(run, f->certificate_level, f->certificate,
		    "put the new files in the place of the old ones: voxbusd takes them within a "
		    "minute, or at once on SIGHUP");
}

static void check_clock(struct run *run)
{
	char what[128];

	if (run->facts->clock_jump_ms < CLOCK_JUMP_MS) {
		say(run, DOCTOR_OK, "the clock runs evenly", "");
		return;
	}
	(void)snprintf(what, sizeof(what),
		       "the clock was set by %" PRIu64 " s since voxbusd started",
		       run->facts->clock_jump_ms / 1000);
	say(run, DOCTOR_WARN, what,
	    "run a time service (chrony or systemd-timesyncd) that is in step before voxbusd "
	    "starts: times in events and the age of records depend on it");
}

static const struct {
	const char *id;
	void (*fn)(struct run *run);
} checks[] = {
	{ "links", check_links },
	{ "unread-calls", check_unread },
	{ "lost-messages", check_lost },
	{ "commands", check_commands },
	{ "data-directory", check_data_dir },
	{ "disk-space", check_disk },
	{ "journal", check_journal },
	{ "open-files", check_open_files },
	{ "certificate", check_certificate },
	{ "clock", check_clock },
};

void doctor_run(const struct doctor_facts *facts, doctor_fn fn, void *arg)
{
	struct run run = { .facts = facts, .fn = fn, .arg = arg };

	for (size_t i = 0; i < LINK_FAULTS; i++)
		check_link(&run, &link_faults[i]);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		run.id = checks[i].id;
		run.found = 0;
		checks[i].fn(&run);
	}
}
