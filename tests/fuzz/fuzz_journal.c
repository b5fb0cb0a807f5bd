/* SPDX-License-Identifier: MIT */
/*
 * The scanner over arbitrary bytes. An odd first byte has the checksums of what looks like a
 * record put right before, so that the fuzzer gets behind them; then the whole recovery runs over
 * the same bytes as a segment, in a directory of its own.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "journal/journal_internal.h"
#include "journal/le.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	const char *bytes;
	size_t n, end, records;
};

static void on_record(void *arg, size_t offset, const struct record *r)
{
	struct seen *seen = arg;
	uint64_t next;
	struct str one, two;

	assert(offset >= seen->end && offset % RECORD_ALIGN == 0);
	assert(r->body.p == seen->bytes + offset + RECORD_HEADER);
	seen->end = offset + record_size(r->body.n);
	assert(seen->end <= seen->n);
	seen->records++;
	(void)record_mark(r, &next, &one);
	if (record_state(r, &one, &two))
		assert(one.n + two.n <= r->body.n);
}

static void on_damage(void *arg, size_t offset, size_t n)
{
	struct seen *seen = arg;

	assert(n && offset + n <= seen->n);
}

/* Seals what has a length that fits. */
static void put_right(char *bytes, size_t n, uint64_t generation)
{
	for (size_t at = FILE_HEADER; at + RECORD_HEADER <= n;) {
		size_t body = le32_get(bytes + at + 12);
		struct record r = { .stream = le64_get(bytes + at + 16) % 8,
				    .seq = le64_get(bytes + at + 24),
				    .type = (uint8_t)bytes[at + 38],
				    .lsn = le64_get(bytes + at + 40) };

		if (body > n || record_size(body) > n - at) {
			at += RECORD_ALIGN;
			continue;
		}
		r.body = str_make(bytes + at + RECORD_HEADER, body);
		record_seal(bytes + at, &r, generation);
		at += record_size(body);
	}
}

static void recover(const char *bytes, size_t n)
{
	static char dir[64];
	static struct loop *loop;
	struct journal_options o = { .dir = dir, .segment_bytes = 65536, .nosync = true };
	struct journal *j;
	char path[128];
	struct err e;
	int fd;

	if (!loop) {
		log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
		(void)snprintf(dir, sizeof(dir), "/dev/shm/voxbus-fuzz-XXXXXX");
		assert(mkdtemp(dir) && loop_create_manual(&loop) == 0);
	}
	(void)snprintf(path, sizeof(path), "%s/00000001.vbj", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	(void)close(fd);
	if (journal_open(loop, &o, NULL, NULL, &j, &e) == 0) {
		loop_turn(loop);
		(void)journal_close(j);
	}
	loop_turn(loop);
	for (int i = 1; i < 9; i++) {
		(void)snprintf(path, sizeof(path), "%s/%08d.vbj", dir, i);
		(void)unlink(path);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file_header h = { FILE_SEGMENT, FILE_VERSION, 0, 1, 77, 65536, 0, 0 };
	struct scan_events events = { on_record, on_damage, NULL };
	struct scan_result res;
	struct seen seen = { 0 };
	char *bytes;
	size_t n;

	if (size < 1 || size > 49152)
		return 0;
	n = FILE_HEADER + size - 1;
	bytes = malloc(n);
	if (!bytes)
		return 0;
	file_header_write(bytes, &h);
	memcpy(bytes + FILE_HEADER, data + 1, size - 1);
	if (data[0] & 1)
		put_right(bytes, n, h.generation);
	seen.bytes = bytes;
	seen.n = n;
	seen.end = FILE_HEADER;
	events.arg = &seen;
	res = scan_begin(&h);
	file_scan(str_make(bytes, n), &h, &events, &res);
	assert(res.records == seen.records && res.end == seen.end && res.end + res.tail <= n);
	if (data[0] & 2)
		recover(bytes, n);
	free(bytes);
	return 0;
}
