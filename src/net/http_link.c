/* SPDX-License-Identifier: MIT */
/*
 * One connection of the HTTP server, from its first byte to its last (the states are drawn in
 * http_server_internal.h).
 *
 * One request is under way at a time. While it waits for its answer, reading goes on, so that a
 * client that goes is noticed: what a pipelining client sends meanwhile is kept unparsed in
 * `ahead`, and once that holds AHEAD_HIGH bytes the client is held back by TCP (and its end is
 * then seen only after the answer). The next request is looked at when the answer before it has
 * been taken by the kernel, so a client that does not read its answers stops itself.
 *
 * Where the handler wants to know that an answer has arrived (on_acked), the next request waits for
 * the peer's TCP instead. It is asked at once, whenever bytes come (a client that has read its
 * answer and goes on acknowledges with its next request, up to 40 ms before it would have done so
 * by itself), when the connection ends in order, and by the timer after 1, 2, 4 ms ... 1 s. That a
 * further request is there proves nothing: a pipelining client sends it unanswered.
 *
 * One timer serves all: each state sets it to its own limit.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "net/conn.h"
#include "net/http_server_internal.h"

enum {
	AHEAD_HIGH = 4096,
	AHEAD_MAX = 512 * 1024, /* above AHEAD_HIGH lies what one turn may bring */
	ROUNDS = 16,            /* requests of one connection in one turn */
	LINGER_MS = 2000,
	WINDOW_MS = 5000,
	HINT_EVERY_MS = 10000,
	ACK_MS = 30000,
	ACK_LOOK_MS = 1000, /* the longest time between two looks */
};

static bool is_reading(const struct link *l)
{
	return l->state == LINK_IDLE || l->state == LINK_HEAD || l->state == LINK_BODY;
}

static size_t ahead_len(const struct link *l)
{
	return l->ahead ? buf_len(l->ahead) : 0;
}

static void drop_ahead(struct link *l)
{
	if (l->ahead)
		buf_fini(l->ahead);
	free(l->ahead);
	l->ahead = NULL;
}

struct str link_rest(const struct link *l)
{
	if (l->inside)
		return l->server->rest;
	return l->ahead ? buf_str(l->ahead) : str_make(NULL, 0);
}

static void enter(struct link *l, enum link_state state, uint64_t limit_ms)
{
	l->state = state;
	if (limit_ms == 0)
		timer_stop(&l->timer);
	else if (timer_start(&l->timer, limit_ms) < 0)
		link_cut(l);
}

void link_cut(struct link *l)
{
	if (l->state == LINK_DEAD)
		return;
	l->state = LINK_DEAD;
	timer_stop(&l->timer);
	l->conn = conn_destroy(l->conn);
	task_defer(&l->task);
}

/* The last byte is written: FIN, and what still comes is dropped. */
static void linger(struct link *l)
{
	conn_shutdown(l->conn);
	drop_ahead(l);
	conn_pause(l->conn, false);
	enter(l, LINK_LINGER, LINGER_MS);
}

void link_refuse(struct link *l, const struct refusal *refusal)
{
	int rc;

	log_debug(l->server->log, "request refused", "peer=%s status=%d detail=%s",
		  conn_peer(l->conn), refusal->status, refusal->detail);
	rc = refusal_write(l, refusal);
	l->request = request_destroy(l->request);
	if (rc < 0)
		link_cut(l);
	else
		linger(l);
}

static void begin_request(struct link *l, struct http_head *head)
{
	struct str go_on = STR("HTTP/1.1 100 Continue\r\n\r\n");
	const struct http_mount *mount;
	struct refusal refusal;

	l->request = request_create(l, head);
	if (!l->request) {
		link_cut(l);
		return;
	}
	/* Bytes may follow that are a body, or not: nobody can tell. */
	if (request_lacks_length(l->request)) {
		refusal_set(&refusal, 411,
			    "say how long the body is: Content-Length (0 for "
			    "none), or Transfer-Encoding: chunked");
		link_refuse(l, &refusal);
		return;
	}
	if (!request_has_body(l->request))
		return;
	if (refusal_find(l, &refusal)) {
		link_refuse(l, &refusal);
		return;
	}
	mount = server_find_mount(l->server, l->request->content->info.path);
	buf_init(&l->request->content->body, mount->body_max);
	l->mark = 0;
	enter(l, LINK_BODY, WINDOW_MS);
	/* RFC 9110 section 10.1.1: not needed once the body has begun to come. */
	if (head->expect_continue && l->server->rest.n == 0 && l->state == LINK_BODY)
		(void)conn_write(l->conn, &go_on, 1);
}

static void take_piece(struct link *l, struct str piece)
{
	int rc = buf_add(&l->request->content->body, piece);
	struct refusal refusal;

	if (rc == -ENOBUFS) {
		refusal_of_size(l, &refusal);
		link_refuse(l, &refusal);
	} else if (rc < 0) {
		link_cut(l);
	}
}

static void dispatch(struct link *l)
{
	struct http_request *r = l->request;
	const struct http_mount *mount = server_find_mount(l->server, r->content->info.path);
	struct refusal refusal;
	bool refused = refusal_find(l, &refusal);

	request_trim(r);
	enter(l, LINK_ASKED, 0);
	if (refused) {
		refusal_reply(r, &refusal);
		return;
	}
	l->server->stats.requests++;
	mount->handle(mount->arg, r);
}

/* What http_parse found. */
static void take_event(struct link *l, struct http_parser *p, int event, struct str piece)
{
	struct refusal refusal;

	if (event == HTTP_GOT_HEAD) {
		begin_request(l, http_parser_take_head(p));
	} else if (event == HTTP_GOT_BODY) {
		take_piece(l, piece);
	} else if (event == HTTP_GOT_END) {
		dispatch(l);
	} else if (event == -EBADMSG) {
		l->server->stats.malformed++;
		refusal_of_parser(l->server, p, &refusal);
		link_refuse(l, &refusal);
	} else {
		link_cut(l);
	}
}

/*
 * The parser for the bytes that are read now: the server's, unless a message has begun before. It
 * is in one place while handlers run, so that a link that waits has none.
 */
static void parser_get(struct link *l)
{
	struct http_server *s = l->server;
	struct http_limits limits = { s->options.header_max, s->options.target_max };

	if (!l->parser) {
		http_parser_init(&s->parser, HTTP_REQUESTS, &limits);
		return;
	}
	s->parser = *l->parser;
	free(l->parser);
	l->parser = NULL;
}

/* A message that has begun keeps it. */
static void parser_put(struct link *l)
{
	struct http_parser *p = &l->server->parser;

	if (is_reading(l) && !http_parser_is_new(p)) {
		l->parser = malloc(sizeof(*p));
		if (l->parser) {
			*l->parser = *p;
			return;
		}
		link_cut(l);
	}
	http_parser_fini(p);
}

/* Parses until the bytes end, a request waits, or the peer has had its turn. */
static void consume(struct link *l, struct str *data)
{
	struct http_server *s = l->server;
	struct str piece;
	int event = 1, ends = 0;

	parser_get(l);
	l->inside = true;
	while (is_reading(l) && ends < ROUNDS) {
		event = http_parse(&s->parser, data, &piece);
		if (event == HTTP_MORE)
			break;
		ends += event == HTTP_GOT_END;
		s->rest = *data;
		take_event(l, &s->parser, event, piece);
	}
	l->inside = false;
	if (l->state == LINK_IDLE && !http_parser_is_idle(&s->parser))
		enter(l, LINK_HEAD, s->options.header_timeout_ms);
	parser_put(l);
}

static void keep_ahead(struct link *l, struct str data)
{
	if (data.n == 0 || l->state == LINK_DEAD || l->state == LINK_LINGER ||
	    (l->state == LINK_ACKING && l->close))
		return;
	if (!l->ahead) {
		l->ahead = malloc(sizeof(*l->ahead));
		if (l->ahead)
			buf_init(l->ahead, AHEAD_MAX);
	}
	if (!l->ahead || buf_add(l->ahead, data) < 0) {
		link_cut(l);
		return;
	}
	if (ahead_len(l) >= AHEAD_HIGH)
		conn_pause(l->conn, true);
	if (is_reading(l))
		task_defer(&l->task);
}

/* A TLS record of type handshake (RFC 8446 section 5.1): the client took us for https. */
static bool is_client_hello(struct str data)
{
	return data.n >= 3 && data.p[0] == 0x16 && data.p[1] == 0x03;
}

/* No answer of ours would be understood. */
static void refuse_tls(struct link *l)
{
	struct http_server *server = l->server;
	uint64_t now = loop_now(server->loop);

	server->stats.malformed++;
	if (server->hinted_ms == 0 || now - server->hinted_ms >= HINT_EVERY_MS) {
		server->hinted_ms = now;
		log_info(server->log, "TLS on a plain port", "peer=%s then=%s", conn_peer(l->conn),
			 "closed: say http:// there, or give this listener TLS");
	}
	link_cut(l);
}

/* The kernel has the whole answer. */
static bool is_sent(const struct link *l)
{
	return l->state == LINK_SENDING && l->taken && conn_pending(l->conn) == 0;
}

static void next_request(struct link *l);
static void answer_taken(struct link *l);

static void on_data(void *arg, struct str data)
{
	struct link *l = arg;

	if (is_sent(l))
		answer_taken(l); /* before its task has come */
	else if (l->state == LINK_ACKING && conn_is_acked(l->conn))
		next_request(l);
	if (l->state == LINK_IDLE && is_client_hello(data)) {
		refuse_tls(l);
		return;
	}
	if (is_reading(l) && ahead_len(l) == 0)
		consume(l, &data);
	keep_ahead(l, data);
}

static void consume_ahead(struct link *l)
{
	struct str data;
	size_t n;

	if (!ahead_len(l))
		return;
	data = buf_str(l->ahead);
	n = data.n;
	consume(l, &data);
	if (l->state == LINK_DEAD || l->state == LINK_LINGER)
		return; /* an upgrade's rest may point into it */
	buf_consume(l->ahead, n - data.n);
	if (ahead_len(l) < AHEAD_HIGH)
		conn_pause(l->conn, false);
	if (ahead_len(l) == 0)
		drop_ahead(l);
	else if (is_reading(l))
		task_defer(&l->task);
}

/* The whole answer is the kernel's, or the peer's. */
static void next_request(struct link *l)
{
	struct http_request *r = l->request;

	if (r->on_sent)
		r->on_sent(r->sent_arg);
	l->request = request_destroy(r);
	if (l->state == LINK_DEAD)
		return;
	if (l->close) {
		linger(l);
		return;
	}
	enter(l, LINK_IDLE, l->server->options.idle_timeout_ms);
	if (!l->inside && ahead_len(l))
		task_defer(&l->task);
}

static void look_for_ack(struct link *l)
{
	uint64_t wait_ms = l->mark + 1;

	if (conn_is_acked(l->conn)) {
		next_request(l);
		return;
	}
	if (l->mark >= ACK_MS) {
		l->server->stats.timeouts++;
		link_cut(l);
		return;
	}
	/* As long as all the waits before it together. */
	if (wait_ms > ACK_LOOK_MS)
		wait_ms = ACK_LOOK_MS;
	if (wait_ms > ACK_MS - l->mark)
		wait_ms = ACK_MS - l->mark;
	l->mark += wait_ms;
	enter(l, LINK_ACKING, wait_ms);
}

/* The kernel has the whole answer. */
static void answer_taken(struct link *l)
{
	if (!l->request->until_acked) {
		next_request(l);
		return;
	}
	if (l->close) {
		conn_shutdown(l->conn);
		drop_ahead(l);
		conn_pause(l->conn, false);
	}
	l->mark = 0;
	look_for_ack(l);
}

static void on_task(void *arg)
{
	struct link *l = arg;

	if (l->state == LINK_DEAD)
		link_free(l);
	else if (is_sent(l))
		answer_taken(l);
	else if (is_reading(l))
		consume_ahead(l);
}

void link_answered(struct link *l, bool sent)
{
	struct http_request *r = l->request;

	/* Who does not ask to be told is done with the request now. */
	if (!r->on_sent)
		r->on_gone = NULL;
	if (l->state == LINK_DEAD)
		return;
	l->mark = conn_pending(l->conn);
	if (sent && l->mark == 0 && !r->on_sent) {
		next_request(l);
		return;
	}
	enter(l, LINK_SENDING, l->server->options.idle_timeout_ms);
	l->taken = sent && l->mark == 0;
	if (l->taken)
		task_defer(&l->task);
}

static void on_drain(void *arg)
{
	struct link *l = arg;

	if (l->state == LINK_SENDING && conn_pending(l->conn) == 0)
		answer_taken(l);
}

/* The kernel had the whole answer before the connection ended. */
static bool is_taken(const struct link *l)
{
	return l->state == LINK_ACKING || (l->state == LINK_SENDING && l->taken);
}

/* Who reads an answer in pieces and goes when it has read enough has what it acknowledged. */
static void note_end_of_stream(const struct link *l, int reason)
{
	struct http_request *r = l->request;

	if (r && r->streaming && (reason == 0 || reason == -ECONNABORTED))
		r->had_all = conn_is_acked(l->conn);
}

static void on_end(void *arg, int reason)
{
	struct link *l = arg;

	note_end_of_stream(l, reason);

	/*
	 * A client may have read its answer and gone before our own next turn. Many go without
	 * TLS's goodbye, and what they have acknowledged they have.
	 */
	if ((reason == 0 || reason == -ECONNABORTED) && is_taken(l) && conn_is_acked(l->conn))
		next_request(l);
	link_cut(l);
}

static void late(struct link *l, const struct refusal *refusal)
{
	l->server->stats.timeouts++;
	link_refuse(l, refusal);
}

static void head_is_late(struct link *l)
{
	struct refusal refusal;

	refusal_set(&refusal, 408,
		    "the request's head did not come within %" PRIu64 " s; send it again",
		    l->server->options.header_timeout_ms / 1000);
	late(l, &refusal);
}

static void look_at_body(struct link *l)
{
	size_t n = buf_len(&l->request->content->body), rate = l->server->options.body_rate_min;
	struct refusal refusal;

	if (n - l->mark < rate * (WINDOW_MS / 1000)) {
		refusal_set(
			&refusal, 408,
			"the body came at less than %zu bytes/s over %d s, or is shorter than was "
			"said; nothing was stored; send it again",
			rate, WINDOW_MS / 1000);
		late(l, &refusal);
		return;
	}
	l->mark = n;
	enter(l, LINK_BODY, WINDOW_MS);
}

static void look_at_reader(struct link *l)
{
	size_t pending = conn_pending(l->conn);

	if (pending >= l->mark) {
		l->server->stats.timeouts++;
		link_cut(l);
		return;
	}
	l->mark = pending;
	enter(l, LINK_SENDING, l->server->options.idle_timeout_ms);
}

static void on_timer(void *arg)
{
	struct link *l = arg;

	if (l->state == LINK_HEAD)
		head_is_late(l);
	else if (l->state == LINK_BODY)
		look_at_body(l);
	else if (l->state == LINK_SENDING)
		look_at_reader(l);
	else if (l->state == LINK_ACKING)
		look_for_ack(l);
	else
		link_cut(l);
}

struct link *link_create(struct http_server *server, struct conn *conn)
{
	static const struct conn_events events = {
		.on_data = on_data,
		.on_drain = on_drain,
		.on_end = on_end,
	};
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->server = server;
	l->conn = conn;
	timer_init(&l->timer, server->loop, on_timer, l);
	task_init(&l->task, server->loop, on_task, l);
	list_add_tail(&server->links, &l->node);
	server->stats.open++;
	conn_set_events(conn, &events, l);
	enter(l, LINK_IDLE, server->options.idle_timeout_ms);
	return l;
}

void link_free(struct link *l)
{
	struct http_server *server = l->server;
	struct http_request *r = l->request;

	list_del(&l->node);
	l->state = LINK_DEAD;
	timer_stop(&l->timer);
	l->conn = conn_destroy(l->conn);
	if (r) {
		r->gone = true;
		if (r->on_gone)
			r->on_gone(r->gone_arg);
	}
	task_cancel(&l->task);
	(void)request_destroy(r);
	if (l->parser)
		http_parser_fini(l->parser);
	free(l->parser);
	drop_ahead(l);
	server_drop_address(server, l->address);
	free(l);
	server->stats.open--;
	server_link_freed(server);
}
