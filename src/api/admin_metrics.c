/* SPDX-License-Identifier: MIT */
/*
 * /metrics: every counter of the daemon in Prometheus text format.
 *
 * What comes from a struct of counters is a table of (name, help, offset); what comes once a port
 * or an application carries labels. Each metric has its line in docs/manual/metrics.md, and a test
 * compares the two.
 */
#include <stddef.h>

#include "api/admin_internal.h"
#include "api/metrics.h"
#include "base/clock.h"
#include "core/account.h"
#include "journal/journal.h"
#include "net/tls.h"

/* A uint64_t member of a struct of counters. */
struct field {
	struct metric metric;
	size_t offset;
};

#define COUNTER(type, member, name, help)                                     \
	{                                                                     \
		{ METRIC_COUNTER, name, help }, offsetof(struct type, member) \
	}
#define GAUGE(type, member, name, help)                                     \
	{                                                                   \
		{ METRIC_GAUGE, name, help }, offsetof(struct type, member) \
	}
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static const struct field hub_fields[] = {
	COUNTER(hub_stats, events, "voxbus_hub_events", "Events taken from engines."),
	COUNTER(hub_stats, unowned, "voxbus_hub_unowned_events",
		"Events that belong to no dialog, and that no application wanted."),
	COUNTER(hub_stats, application_events, "voxbus_hub_application_events",
		"Events that belong to no dialog and went to events_<application>."),
	COUNTER(hub_stats, synthetic, "voxbus_hub_synthetic_events",
		"Events that no engine sent: found missing after a lost link."),
	COUNTER(hub_stats, commands, "voxbus_hub_commands", "Commands taken from buses."),
	COUNTER(hub_stats, replies, "voxbus_hub_replies", "Replies to commands."),
	COUNTER(hub_stats, late_replies, "voxbus_hub_late_replies",
		"Replies of engines that came after the deadline and were dropped."),
	COUNTER(hub_stats, timeouts, "voxbus_hub_command_timeouts",
		"Commands answered 504: the engine did not answer in time."),
	COUNTER(hub_stats, refused, "voxbus_hub_refused_commands",
		"Commands that were not taken: no such dialog, too many waiting, journal full."),
	COUNTER(hub_stats, dialogs_opened, "voxbus_hub_dialogs_opened", "Dialogs opened."),
	COUNTER(hub_stats, dialogs_refused, "voxbus_hub_dialogs_refused",
		"Calls that got no dialog because the table was full."),
	COUNTER(hub_stats, announced_again, "voxbus_hub_calls_announced_again",
		"Calls announced anew because no worker had accepted them in time."),
	COUNTER(hub_stats, released_unaccepted, "voxbus_hub_calls_released_unaccepted",
		"Calls let go on in the dialplan because no worker accepted them at all."),
	COUNTER(hub_stats, released_away, "voxbus_hub_calls_released_away",
		"Calls let go on in the dialplan because their bus was away."),
	COUNTER(hub_stats, away_dropped, "voxbus_hub_away_dropped_messages",
		"Messages dropped because a bus was away and more waited, or longer, than may."),
	COUNTER(hub_stats, repeated, "voxbus_hub_repeated_commands",
		"Commands that came again and were not done again."),
	COUNTER(hub_stats, results_dropped, "voxbus_hub_dropped_results",
		"Results of commands dropped early because all of them took 128 MiB."),
	COUNTER(hub_stats, events_filtered, "voxbus_hub_filtered_events",
		"Events not given to an application because it has dropped their type."),
	COUNTER(hub_stats, events_cut, "voxbus_hub_cut_events",
		"Events that named more dialogs than the 32 that one event goes to."),
	COUNTER(hub_stats, events_lost, "voxbus_hub_lost_events",
		"Events that could not be kept because there was no memory."),
	COUNTER(hub_stats, unread_dropped, "voxbus_hub_unread_dropped_messages",
		"Messages of closed calls dropped because nobody came to read them."),
	GAUGE(hub_stats, dialogs, "voxbus_hub_dialogs", "Dialogs now."),
	GAUGE(hub_stats, closed, "voxbus_hub_closed_dialogs",
	      "Dialogs that are over and kept: unread, or by their application's keep."),
};

static const struct field stream_fields[] = {
	GAUGE(stream_stats, streams, "voxbus_streams", "Streams now."),
	GAUGE(stream_stats, messages_in_memory, "voxbus_streams_messages_in_memory",
	      "Messages that streams hold in memory."),
	GAUGE(stream_stats, bytes_in_memory, "voxbus_streams_bytes_in_memory",
	      "Bytes of these messages."),
	COUNTER(stream_stats, appended, "voxbus_streams_appended_messages",
		"Messages appended to streams."),
	COUNTER(stream_stats, dropped, "voxbus_streams_dropped_messages",
		"Messages dropped unread because a stream was full."),
	COUNTER(stream_stats, expired, "voxbus_streams_expired_messages",
		"Messages that nobody had read before their time to live was over."),
	COUNTER(stream_stats, unrecorded, "voxbus_streams_unrecorded_messages",
		"Messages kept in memory alone because the journal refused them."),
	COUNTER(stream_stats, disk_reads, "voxbus_streams_disk_reads",
		"Reads of the journal for readers that were behind."),
	GAUGE(stream_stats, leases, "voxbus_streams_leases",
	      "Messages under way, or settled and not yet trimmed, that a restart will know of."),
	COUNTER(stream_stats, unleased, "voxbus_streams_unleased_messages",
		"Messages handed out without a lease because the table was full."),
};

static const struct field journal_fields[] = {
	COUNTER(journal_stats, appends, "voxbus_journal_appends", "Records appended."),
	COUNTER(journal_stats, bytes, "voxbus_journal_appended_bytes", "Bytes appended."),
	COUNTER(journal_stats, writes, "voxbus_journal_writes", "Writes to the disk."),
	COUNTER(journal_stats, syncs, "voxbus_journal_syncs", "Syncs of the disk."),
	COUNTER(journal_stats, refused, "voxbus_journal_refused_appends",
		"Appends refused: quota, full disk, too much in flight, failed."),
	GAUGE(journal_stats, segments, "voxbus_journal_segments", "Segment files now."),
	GAUGE(journal_stats, disk_bytes, "voxbus_journal_disk_bytes",
	      "Bytes that the segments take on the disk."),
	GAUGE(journal_stats, streams, "voxbus_journal_streams", "Streams in the journal."),
	GAUGE(journal_stats, records, "voxbus_journal_records", "Records kept."),
	GAUGE(journal_stats, states, "voxbus_journal_states", "Small states kept."),
	GAUGE(journal_stats, recovered, "voxbus_journal_recovered_records",
	      "Records found at the start."),
	GAUGE(journal_stats, torn_bytes, "voxbus_journal_torn_bytes",
	      "Bytes of a torn tail that were cut at the start."),
	GAUGE(journal_stats, damaged, "voxbus_journal_damaged_records",
	      "Records with a bad checksum, found at the start and never served."),
};

static const struct field http_fields[] = {
	COUNTER(http_server_stats, connections, "voxbus_http_connections",
		"Connections accepted by the public HTTP listener."),
	COUNTER(http_server_stats, requests, "voxbus_http_requests", "Requests taken."),
	COUNTER(http_server_stats, malformed, "voxbus_http_malformed_requests",
		"Requests refused because they were malformed or over a limit."),
	COUNTER(http_server_stats, timeouts, "voxbus_http_request_timeouts",
		"Requests cut because they came too slowly."),
	COUNTER(http_server_stats, refused, "voxbus_http_refused_connections",
		"Connections refused over a limit or while stopping."),
	COUNTER(http_server_stats, accept_failures, "voxbus_http_accept_failures",
		"Times that a connection could not be accepted for want of descriptors or memory."),
	GAUGE(http_server_stats, open, "voxbus_http_open_connections", "Connections now."),
	GAUGE(http_server_stats, limit, "voxbus_http_max_connections",
	      "Connections that may be open: http.connections, or what open files allow."),
};

static const struct field tls_fields[] = {
	COUNTER(tls_stats, handshakes, "voxbus_tls_handshakes",
		"TLS handshakes done by the public HTTP listener, resumed ones included."),
	COUNTER(tls_stats, resumed, "voxbus_tls_resumed_handshakes",
		"Those that took up an earlier session."),
	COUNTER(tls_stats, failed, "voxbus_tls_failed_handshakes",
		"TLS handshakes refused, cut or too slow."),
	COUNTER(tls_stats, reload_failures, "voxbus_tls_reload_failures",
		"Times that changed certificates or keys were not taken because they were wrong."),
};

static const struct field process_fields[] = {
	GAUGE(process_view, rss_bytes, "voxbus_process_resident_memory_bytes", "Resident memory."),
	GAUGE(process_view, open_fds, "voxbus_process_open_fds", "Open file descriptors."),
	GAUGE(process_view, max_fds, "voxbus_process_max_fds", "Limit of open file descriptors."),
	GAUGE(process_view, disk_bytes, "voxbus_data_dir_size_bytes",
	      "Size of the file system of the data directory."),
	GAUGE(process_view, disk_free_bytes, "voxbus_data_dir_free_bytes",
	      "Free bytes on the file system of the data directory."),
};

static void add_fields(struct metrics *m, const struct field *fields, size_t n, const void *values)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t value;

		memcpy(&value, (const char *)values + fields[i].offset, sizeof(value));
		metrics_add(m, &fields[i].metric, NULL, 0, (double)value);
	}
}

static const struct field port_fields[] = {
	COUNTER(port_view, events, "voxbus_port_events", "Events that came in by the port."),
	COUNTER(port_view, commands, "voxbus_port_commands", "Commands that came in by the port."),
	COUNTER(port_view, replies, "voxbus_port_replies", "Replies that came in by the port."),
	COUNTER(port_view, sent, "voxbus_port_sent_messages", "Messages given to the port."),
	COUNTER(port_view, settled, "voxbus_port_settled_messages",
		"Messages that the port has done with."),
	COUNTER(port_view, returned, "voxbus_port_returned_messages",
		"Messages that the port gave back, to be sent again."),
};

static void port_state_metrics(struct metrics *m, const struct port_view *view,
			       struct metric_label *labels)
{
	static const struct metric up = { METRIC_GAUGE, "voxbus_port_up",
					  "Whether the port works (1) or not (0)." };
	static const struct metric state = { METRIC_GAUGE, "voxbus_port_state",
					     "1 for the state that the port is in." };

	metrics_add(m, &up, labels, 2, view->state == PORT_UP);
	for (int s = PORT_DOWN; s <= PORT_CLOSED; s++) {
		labels[2] = (struct metric_label){ "state",
						   str_from(port_state_name((enum port_state)s)) };
		metrics_add(m, &state, labels, 3, view->state == (enum port_state)s);
	}
}

static void port_metrics(void *arg, const struct port_view *view)
{
	struct metrics *m = arg;
	struct metric_label labels[3] = { { "port", str_from(view->name) },
					  { "type", str_from(view->type) } };

	port_state_metrics(m, view, labels);
	for (size_t i = 0; i < LENGTH(port_fields); i++) {
		uint64_t value;

		memcpy(&value, (const char *)view + port_fields[i].offset, sizeof(value));
		metrics_add(m, &port_fields[i].metric, labels, 2, (double)value);
	}
	for (size_t i = 0; i < view->n_stats; i++) {
		const struct port_stat *stat = &view->stats[i];
		char name[160];

		(void)snprintf(name, sizeof(name), "voxbus_%s_%s", view->type, stat->name);
		struct metric metric = { stat->gauge ? METRIC_GAUGE : METRIC_COUNTER, name,
					 stat->help };
		metrics_add(m, &metric, labels, 2, (double)stat->value);
	}
}

static void application_metrics(void *arg, const struct application_view *view)
{
	static const struct metric announced = { METRIC_COUNTER, "voxbus_application_announced",
						 "AppStarts of the application." };
	static const struct metric unread = { METRIC_GAUGE, "voxbus_application_unread",
					      "AppStarts that nobody has taken." };
	static const struct metric oldest = { METRIC_GAUGE,
					      "voxbus_application_oldest_unread_seconds",
					      "Age of the oldest AppStart that nobody has taken." };
	struct metrics *m = arg;
	struct metric_label labels[] = { { "application", view->name },
					 { "bus", str_from(view->bus) } };

	metrics_add(m, &announced, labels, 2, (double)view->announced);
	metrics_add(m, &unread, labels, 2, (double)view->unread);
	metrics_add(m, &oldest, labels, 2, (double)view->oldest_unread_ms / 1000);
}

static void own_metrics(struct metrics *m, const struct admin *admin)
{
	static const struct metric build = { METRIC_GAUGE, "voxbus_build_info",
					     "1, with the version and the node as labels." };
	static const struct metric start = { METRIC_GAUGE, "voxbus_process_start_time_seconds",
					     "When the daemon started, since 1970." };
	static const struct metric lines = { METRIC_COUNTER, "voxbus_log_lines",
					     "Lines logged, by level." };
	static const struct metric lost = { METRIC_COUNTER, "voxbus_tail_lost_messages",
					    "Messages that a slow tail did not get." };
	static const struct metric tails = { METRIC_GAUGE, "voxbus_tails", "Tails that run." };
	static const struct metric sessions = { METRIC_GAUGE, "voxbus_sessions",
						"Sessions of all accounts." };
	uint64_t started_ms = admin->env.started_wall_ns / 1000000;
	static const char *const levels[] = { "debug", "info", "warn", "error" };
	struct metric_label info[] = { { "version", str_from(admin->env.version) },
				       { "node", str_from(admin->env.node) } };

	metrics_add(m, &build, info, 2, 1);
	metrics_add(m, &start, NULL, 0, (double)started_ms / 1000);
	for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
		struct metric_label label = { "level", str_from(levels[level]) };

		metrics_add(m, &lines, &label, 1, (double)log_count((enum log_level)level));
	}
	metrics_add(m, &lost, NULL, 0, (double)admin->tail_lost);
	metrics_add(m, &tails, NULL, 0, (double)admin->n_tails);
	if (admin->env.accounts)
		metrics_add(m, &sessions, NULL, 0, (double)accounts_sessions(admin->env.accounts));
}

static void journal_metrics(struct metrics *m, const struct journal *journal)
{
	static const struct metric failed = { METRIC_GAUGE, "voxbus_journal_failed",
					      "1 when the journal takes nothing any more." };
	struct journal_stats s;

	if (!journal)
		return;
	journal_stats(journal, &s);
	add_fields(m, journal_fields, LENGTH(journal_fields), &s);
	metrics_add(m, &failed, NULL, 0, s.failed);
}

/* Without a certificate they are 0. */
static void tls_metrics(struct metrics *m, const struct admin_env *env)
{
	static const struct metric expiry = {
		METRIC_GAUGE, "voxbus_tls_certificate_expiry_seconds",
		"When the certificate of the public HTTP listener expires, in seconds since 1970; "
		"0 = there is none."
	};
	struct tls_certificate certificate = { .not_after = 0 };
	struct tls_stats stats = { 0 };

	if (env->tls) {
		tls_context_certificate(env->tls, &certificate);
		tls_context_stats(env->tls, &stats);
	}
	add_fields(m, tls_fields, LENGTH(tls_fields), &stats);
	metrics_add(m, &expiry, NULL, 0, (double)certificate.not_after);
}

static void gather(struct metrics *m, struct admin *admin)
{
	const struct admin_env *env = &admin->env;
	struct hub_stats hub;
	struct stream_stats streams;
	struct http_server_stats http;
	struct process_view process;

	own_metrics(m, admin);
	process_view(admin, &process);
	add_fields(m, process_fields, LENGTH(process_fields), &process);
	hub_stats(env->hub, &hub);
	add_fields(m, hub_fields, LENGTH(hub_fields), &hub);
	hub_each_port(env->hub, port_metrics, m);
	hub_each_application(env->hub, application_metrics, m);
	streams_stats(env->streams, &streams);
	add_fields(m, stream_fields, LENGTH(stream_fields), &streams);
	journal_metrics(m, env->journal);
	tls_metrics(m, env);
	if (!env->http)
		return;
	http_server_stats(env->http, &http);
	add_fields(m, http_fields, LENGTH(http_fields), &http);
}

void admin_metrics(struct admin *admin, struct http_request *request)
{
	auto_buf struct buf body;
	struct metrics *m = NULL;
	int rc = metrics_create(&m);

	buf_init(&body, ADMIN_ANSWER_MAX);
	if (rc == 0) {
		gather(m, admin);
		rc = metrics_write(m, &body);
	}
	metrics_destroy(m);
	admin_answer(request, 200, STR("text/plain; version=0.0.4; charset=utf-8"), &body, rc);
}
