/* SPDX-License-Identifier: MIT */
/*
 * The bare forwarder that bench/ari-proxy compares with: reads an Asterisk's websocket and publishes
 * each frame, unparsed, to one subject or queue. No order kept by dialog, no record, no reconnect.
 *
 *   forwarder count|nats|amqp ARI_PORT BROKER_PORT FRAMES
 *
 * "count" publishes nothing: the source's own ceiling. NATS goes by libnats; AMQP is written here, on one
 * channel with confirms, as many on their way as TCP takes. After FRAMES it waits for the
 * last confirm (NATS: flush) and prints seconds since the first byte and its processor time.
 */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum { IN_SIZE = 262144, OUT_SIZE = 1048576, ACKS_SIZE = 65536 };

static natsConnection *nats;
static int broker = -1;
static unsigned char out[OUT_SIZE], acks[ACKS_SIZE];
static size_t out_n, acks_n;
static uint64_t published, confirmed;

static void write_all(int fd, const void *data, size_t n)
{
	for (const char *p = data; n;) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);

		if (done <= 0)
			die("send");
		p += done;
		n -= (size_t)done;
	}
}

static void put(const void *data, size_t n)
{
	memcpy(out + out_n, data, n);
	out_n += n;
}

static void put_be(uint64_t value, int bytes)
{
	while (bytes--)
		out[out_n++] = (unsigned char)(value >> 8 * bytes);
}

static void put_frame(int type, int channel, const void *body, size_t n)
{
	put_be((uint64_t)type, 1);
	put_be((uint64_t)channel, 2);
	put_be(n, 4);
	put(body, n);
	put_be(0xce, 1);
}

static void amqp_flush(void)
{
	write_all(broker, out, out_n);
	out_n = 0;
}

/* Takes basic.ack (60, 80), forgets other methods. */
static void amqp_read(int flags)
{
	ssize_t got = recv(broker, acks + acks_n, sizeof(acks) - acks_n, flags);
	size_t at = 0;

	if (got <= 0) {
		if (got < 0 && flags)
			return;
		die("broker");
	}
	acks_n += (size_t)got;
	while (acks_n - at >= 8) {
		unsigned char *f = acks + at;
		size_t n = (size_t)f[3] << 24 | (size_t)f[4] << 16 | (size_t)f[5] << 8 | f[6];
		uint64_t tag = 0;

		if (acks_n - at < n + 8)
			break;
		if (f[0] == 1 && f[8] == 60 && f[10] == 80) {
			for (int i = 11; i < 19; i++)
				tag = tag << 8 | f[i];
			confirmed = f[19] & 1 ? tag : confirmed + 1;
		}
		at += n + 8;
	}
	memmove(acks, acks + at, acks_n -= at);
}

/* Sends a method and waits for whatever answers it. */
static void amqp_ask(int channel, const void *body, size_t n)
{
	put_frame(1, channel, body, n);
	amqp_flush();
	amqp_read(0);
}

#define ASK(channel, text) amqp_ask(channel, text, sizeof(text) - 1)

static void amqp_open(int port)
{
	static const char tune_ok[] = "\0\12\0\37\0\20\0\2\0\0\0\0";

	broker = dial(port);
	write_all(broker, "AMQP\0\0\11\1", 8);
	amqp_read(0);
	ASK(0, "\0\12\0\13\0\0\0\0\5PLAIN\0\0\0\14\0guest\0guest\5en_US");
	put_frame(1, 0, tune_ok, sizeof(tune_ok) - 1);
	ASK(0, "\0\12\0\50\1/\0\0");
	ASK(1, "\0\24\0\12\0");
	ASK(1, "\0\62\0\12\0\0\7forward\0\0\0\0\0");
	ASK(1, "\0\125\0\12\0");
}

static void amqp_publish(const char *text, size_t n)
{
	static const char method[] = "\0\74\0\50\0\0\0\7forward\0";

	if (out_n + n + 128 > sizeof(out))
		amqp_flush();
	put_frame(1, 1, method, sizeof(method) - 1);
	put("\2\0\1\0\0\0\16\0\74\0\0", 11);
	put_be(n, 8);
	put("\0\0\316", 3);
	put_frame(3, 1, text, n);
}

static void publish(const char *text, size_t n)
{
	published++;
	if (nats && natsConnection_Publish(nats, "forward", text, (int)n) != NATS_OK)
		die("nats");
	if (broker >= 0)
		amqp_publish(text, n);
}

/* Publishes the whole frames of a buffer; how many bytes they were. */
static size_t take(const unsigned char *p, size_t n)
{
	size_t at = 0;

	while (n - at >= 4) {
		size_t len = p[at + 1], head = 2;

		if (len == 126) {
			len = (size_t)p[at + 2] << 8 | p[at + 3];
			head = 4;
		}
		if (n - at < head + len)
			break;
		if (p[at] == 0x81)
			publish((const char *)p + at + head, len);
		at += head + len;
	}
	return at;
}

static int websocket_open(int port)
{
	static const char ask[] =
		"GET /ari/events?app=bench HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	int fd = dial(port);
	char c, last[4] = "";

	write_all(fd, ask, sizeof(ask) - 1);
	while (memcmp(last, "\r\n\r\n", 4) != 0) {
		if (recv(fd, &c, 1, 0) != 1)
			die("websocket");
		memmove(last, last + 1, 3);
		last[3] = c;
	}
	return fd;
}

static double now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void forward(int ws, uint64_t frames)
{
	static unsigned char in[IN_SIZE];
	double began = 0, cpu = cpu_s();
	size_t n = 0;

	while (published < frames) {
		ssize_t got = recv(ws, in + n, sizeof(in) - n, 0);
		size_t done;

		if (got <= 0)
			die("source");
		began = began > 0 ? began : now_s();
		done = take(in, n += (size_t)got);
		memmove(in, in + done, n -= done);
		if (broker >= 0) {
			amqp_flush();
			amqp_read(MSG_DONTWAIT);
		}
	}
	while (broker >= 0 && confirmed < published)
		amqp_read(0);
	if (nats)
		(void)natsConnection_Flush(nats);
	printf("%f %f\n", now_s() - began, cpu_s() - cpu);
}

int main(int argc, char **argv)
{
	char url[64];
	int ws;

	if (argc != 5)
		return 2;
	(void)snprintf(url, sizeof(url), "nats://127.0.0.1:%s", argv[3]);
	if (!strcmp(argv[1], "nats") && natsConnection_ConnectTo(&nats, url) != NATS_OK)
		die("nats");
	if (!strcmp(argv[1], "amqp"))
		amqp_open((int)strtol(argv[3], NULL, 10));
	ws = websocket_open((int)strtol(argv[2], NULL, 10));
	(void)puts("ready");
	(void)fflush(stdout);
	forward(ws, strtoull(argv[4], NULL, 10));
	return 0;
}
