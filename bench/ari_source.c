/* SPDX-License-Identifier: MIT */
/* The made-up Asterisk of ari_source.h: one thread a connection, one that floods. */
#include "ari_source.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "codec/json.h"
#include "codec/websocket.h"
#include "loop/loop.h"

enum { FRAMES_MAX = 512, FRAME_MAX = 4096, HEAD_MAX = 8192, BATCH = 65536 };

/* A recorded frame, cut where its id and its time's digits go. */
struct template
{
	char *text;
	size_t n, id_at, id_n, time_at;
};

struct ari_source {
	int listener, port, ws;
	struct template frames[FRAMES_MAX], start, end, destroyed;
	size_t n_frames;
	pthread_mutex_t writing; /* pongs go between batches, never into them */
	pthread_t flooder;
	unsigned first, calls, events;
};

static bool template_make(struct template *t, struct str line)
{
	static const char id[] = "\"channel\":{\"id\":\"", time[] = "\"timestamp\":\"";
	size_t at = str_find_str(line, STR("\"channel\":{\"id\":\""));
	size_t when = str_find_str(line, STR("\"timestamp\":\""));

	if (at == line.n || when == line.n || line.n > FRAME_MAX - 64)
		return false;
	t->text = str_dup(line);
	t->n = line.n;
	t->id_at = at + sizeof(id) - 1;
	t->id_n = str_find(str_skip(line, t->id_at), '"');
	t->time_at = when + sizeof(time) - 1 + 11; /* behind "2026-11-21T" */
	return t->text != NULL;
}

static void add_line(struct ari_source *s, struct str line)
{
	struct template t;

	/* Frames that name a bridge or a second channel would belong to many calls at a time. */
	if (str_find_str(line, STR("\"bridge")) < line.n ||
	    str_find_str(line, STR("\"replace_channel\"")) < line.n || !template_make(&t, line))
		return;
	if (str_starts(line, STR("{\"type\":\"StasisStart\""))) {
		s->start = t;
	} else if (str_starts(line, STR("{\"type\":\"StasisEnd\""))) {
		s->end = t;
	} else if (str_find_str(line, STR("\"type\":\"ChannelDestroyed\"")) < line.n) {
		s->destroyed = t;
	} else if (s->n_frames < FRAMES_MAX) {
		s->frames[s->n_frames++] = t;
	}
}

static void add_file(struct ari_source *s, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[FRAME_MAX];

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f))
		add_line(s, str_trim(str_from(line)));
	(void)fclose(f);
}

static void load(struct ari_source *s, const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);

	if (n < 0)
		die(dir);
	for (int i = 0; i < n; i++) {
		struct str name = str_from(names[i]->d_name);
		char path[1024];

		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (str_starts(name, STR("a22-")) && str_ends(name, STR(".jsonl")) &&
		    !str_ends(name, STR("-rest.jsonl")))
			add_file(s, path);
		free(names[i]);
	}
	free(names);
	if (!s->start.text || !s->end.text || !s->destroyed.text || !s->n_frames)
		die("no usable frames");
}

/* "HH:MM:SS.mmm" of nine digits of the number. */
static void put_number(char *at, unsigned number)
{
	static const int places[] = { 0, 1, 3, 4, 6, 7, 9, 10, 11 };

	for (int i = 8; i >= 0; i--, number /= 10)
		at[places[i]] = (char)('0' + number % 10);
}

long ari_source_number(struct str frame)
{
	size_t at = str_find_str(frame, STR("\"timestamp\":\""));
	long n = 0;

	if (frame.n - at < 40)
		return -1;
	for (const char *p = frame.p + at + 24; *p != '+'; p++)
		if (*p >= '0' && *p <= '9')
			n = n * 10 + (*p - '0');
	return n;
}

/* One text frame as a server sends it. */
static size_t put_frame(char *out, const struct template *t, unsigned call, unsigned number)
{
	char id[32], *at = out;
	int id_n = snprintf(id, sizeof(id), "bench-%06u.%u", call, call % 10);
	size_t tail = t->id_at + t->id_n, n = t->n - t->id_n + (size_t)id_n;

	*at++ = (char)0x81;
	if (n < 126) {
		*at++ = (char)n;
	} else {
		*at++ = 126;
		*at++ = (char)(n >> 8);
		*at++ = (char)n;
	}
	memcpy(at, t->text, t->id_at);
	memcpy(at + t->id_at, id, (size_t)id_n);
	memcpy(at + t->id_at + id_n, t->text + tail, t->n - tail);
	put_number(at + (t->time_at < t->id_at ? t->time_at : t->time_at - t->id_n + (size_t)id_n),
		   number);
	return (size_t)(at - out) + n;
}

static void write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);

		if (done < 0)
			return; /* the reader has gone: the benchmark will say so */
		p += done;
		n -= (size_t)done;
	}
}

static void write_frames(struct ari_source *s, const char *p, size_t n)
{
	(void)pthread_mutex_lock(&s->writing);
	write_all(s->ws, p, n);
	(void)pthread_mutex_unlock(&s->writing);
}

static const struct template *frame_of(const struct ari_source *s, unsigned number, unsigned call)
{
	if (number == 0)
		return &s->start;
	if (number == s->events - 1)
		return &s->destroyed;
	if (number == s->events - 2)
		return &s->end;
	return &s->frames[(number * 7 + call) % s->n_frames];
}

static void *flood(void *arg)
{
	struct ari_source *s = arg;
	char *batch = malloc(BATCH + FRAME_MAX);
	size_t n = 0;

	for (unsigned number = 0; batch && number < s->events; number++) {
		for (unsigned call = s->first; call < s->first + s->calls; call++) {
			n += put_frame(batch + n, frame_of(s, number, call), call, number);
			if (n >= BATCH) {
				write_frames(s, batch, n);
				n = 0;
			}
		}
	}
	write_frames(s, batch, n);
	free(batch);
	return NULL;
}

void ari_source_flood(struct ari_source *s, unsigned first, unsigned calls, unsigned events)
{
	s->first = first;
	s->calls = calls;
	s->events = events;
	if (pthread_create(&s->flooder, NULL, flood, s) != 0)
		die("pthread_create");
}

void ari_source_join(struct ari_source *s)
{
	(void)pthread_join(s->flooder, NULL);
}

uint64_t ari_source_call(struct ari_source *s, unsigned call)
{
	char frame[FRAME_MAX + 64];
	size_t n = put_frame(frame, &s->start, call, 0);
	uint64_t now = loop_now_us();

	write_frames(s, frame, n);
	return now;
}

double ari_source_frame_size(const struct ari_source *s)
{
	double sum = 0;

	for (size_t i = 0; i < s->n_frames; i++)
		sum += (double)s->frames[i].n;
	return sum / (double)s->n_frames;
}

static struct str header(struct str head, struct str name)
{
	size_t at = str_find_str(head, name);
	struct str rest = str_skip(head, at + name.n);

	return at < head.n ? str_trim(str_cut(&rest, '\n')) : STR("");
}

/* Answers pings, forgets everything else the client says; ends with the connection. */
static void serve_websocket(struct ari_source *s, int fd)
{
	unsigned char h[14];

	for (;;) {
		unsigned char body[256];
		size_t n;

		if (recv(fd, h, 6, MSG_WAITALL) != 6)
			return;
		n = h[1] & 0x7f; /* an engine sends control frames alone: short ones */
		if (n > 125 || (n && recv(fd, body, n, MSG_WAITALL) != (ssize_t)n))
			return;
		for (size_t i = 0; i < n; i++)
			body[i] ^= h[2 + i % 4];
		if ((h[0] & 0x0f) == 9) {
			char pong[130] = { (char)0x8a, (char)n };

			memcpy(pong + 2, body, n);
			write_frames(s, pong, n + 2);
		}
		if ((h[0] & 0x0f) == 8)
			return;
	}
}

static void open_websocket(struct ari_source *s, int fd, struct str head)
{
	char accept[WEBSOCKET_ACCEPT_SIZE], text[256];
	int n;

	(void)websocket_accept(header(head, STR("Sec-WebSocket-Key:")), accept);
	n = snprintf(text, sizeof(text),
		     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
		     "Sec-WebSocket-Protocol: ari\r\n\r\n",
		     accept);
	write_all(fd, text, (size_t)n);
	(void)pthread_mutex_lock(&s->writing);
	s->ws = fd;
	(void)pthread_mutex_unlock(&s->writing);
	serve_websocket(s, fd);
}

static const char *answer_to(struct str head)
{
	if (str_starts(head, STR("GET /ari/applications/")))
		return "{\"name\":\"bench\",\"channel_ids\":[],\"bridge_ids\":[],"
		       "\"endpoint_ids\":[],\"device_names\":[]}";
	return "[]";
}

struct client {
	struct ari_source *source;
	int fd;
};

static void *serve(void *arg)
{
	struct client c = *(struct client *)arg;
	char head[HEAD_MAX];
	size_t n = 0;

	free(arg);
	for (;;) {
		ssize_t got = recv(c.fd, head + n, sizeof(head) - n, 0);
		struct str all;
		size_t end;

		if (got <= 0)
			break;
		n += (size_t)got;
		all = str_make(head, n);
		end = str_find_str(all, STR("\r\n\r\n"));
		if (end == n)
			continue;
		if (str_starts(all, STR("GET /ari/events"))) {
			open_websocket(c.source, c.fd, all);
			break;
		}
		char text[512];
		const char *body = answer_to(all);
		int len = snprintf(text, sizeof(text),
				   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
				   "Content-Length: %zu\r\n\r\n%s",
				   strlen(body), body);

		write_all(c.fd, text, (size_t)len);
		n = 0;
	}
	(void)close(c.fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct ari_source *s = arg;

	for (;;) {
		struct client *c = malloc(sizeof(*c));
		pthread_t thread;
		int one = 1;

		if (!c)
			die("malloc");
		c->source = s;
		c->fd = accept(s->listener, NULL, NULL);
		if (c->fd < 0)
			die("accept");
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&thread, NULL, serve, c) != 0)
			die("pthread_create");
		(void)pthread_detach(thread);
	}
	return NULL;
}

struct ari_source *ari_source_start(const char *fixtures_dir)
{
	struct ari_source *s = calloc(1, sizeof(*s));
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	pthread_t thread;

	if (!s)
		die("calloc");
	load(s, fixtures_dir);
	s->ws = -1;
	(void)pthread_mutex_init(&s->writing, NULL);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, len) < 0 ||
	    listen(s->listener, 16) < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&address, &len) < 0)
		die("listen");
	s->port = ntohs(address.sin_port);
	if (pthread_create(&thread, NULL, accept_all, s) != 0)
		die("pthread_create");
	(void)pthread_detach(thread);
	return s;
}

int ari_source_port(const struct ari_source *s)
{
	return s->port;
}

bool ari_source_ready(struct ari_source *s)
{
	bool ready;

	(void)pthread_mutex_lock(&s->writing);
	ready = s->ws >= 0;
	(void)pthread_mutex_unlock(&s->writing);
	return ready;
}
