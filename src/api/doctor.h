/* SPDX-License-Identifier: MIT */
/*
 * The commonest faults, found from what the daemon knows, each with its fix.
 *
 * Pure: facts in, findings out. Every check of the table says at least one thing, so that a reader
 * sees what was looked at; a check may find several faults (one a port).
 */
#ifndef VOXBUS_API_DOCTOR_H
#define VOXBUS_API_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/port.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };
/* "ok", "warn", "fail" */
const char *doctor_level_name(enum doctor_level level);

struct doctor_port {
	char name[64], type[32], role[8];
	enum port_state state;
	char reason[512];
	uint64_t since_ms; /* how long it has been in that state */
};

struct doctor_application {
	char name[128], bus[64];
	uint64_t unread, oldest_unread_ms;
};

enum { DOCTOR_PORTS_MAX = 64, DOCTOR_APPLICATIONS_MAX = 256 };

struct doctor_facts {
	struct doctor_port ports[DOCTOR_PORTS_MAX];
	size_t n_ports;
	struct doctor_application applications[DOCTOR_APPLICATIONS_MAX];
	size_t n_applications;
	uint64_t dialogs_refused, dropped, unrecorded, timeouts;

	const char *data_dir; /* NULL: none */
	bool data_dir_writable;
	uint64_t disk_bytes, disk_free_bytes; /* 0, 0: can't be told */

	bool journal, journal_failed;
	uint64_t journal_bytes, journal_quota, journal_refused, journal_damaged;

	const char *certificate; /* what is to be said of it; NULL: none is shown */
	enum doctor_level certificate_level;

	uint64_t open_fds, max_fds;
	uint64_t clock_jump_ms; /* wall clock against monotonic clock since the start */
};

/* Strings are valid inside the call. */
struct doctor_finding {
	const char *id;
	enum doctor_level level;
	const char *what; /* a sentence without a full stop */
	const char *fix;  /* what to do; "" when ok */
};

typedef void (*doctor_fn)(void *arg, const struct doctor_finding *finding);

void doctor_run(const struct doctor_facts *facts, doctor_fn fn, void *arg);

#endif
