/* SPDX-License-Identifier: MIT */
/*
 * The scanner over arbitrary bytes. An odd first byte has the checksums of what looks like a
 * record put right before, so that the fuzzer gets behind them; then the whole recovery runs over
 * the same bytes as a segment, in a directory of its own. With 4 in the first byte the input is all
 * the files of a directory.
 */
#include <assert.h>
#include <dirent.h>
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

static char dir[64];
static struct loop *loop;

static void prepare(void)
{
	if (loop)
		return;
	log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
	(void)snprintf(dir, sizeof(dir), "/dev/shm/voxbus-fuzz-XXXXXX");
	assert(mkdtemp(dir) && loop_create_manual(&loop) == 0);
}

static void spill(const char *name, const char *bytes, size_t n)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	(void)close(fd);
}

static void wipe(void)
{
	DIR *d = opendir(dir);

	assert(d);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	(void)closedir(d);
}

static void on_state(void *arg, struct str key, struct str value)
{
	assert(key.n + value.n <= RECORD_BODY_MAX);
}

/* Opens, says something, closes; twice, because the first has mended what it found. */
static void recover(void)
{
	struct journal_options o = { .dir = dir, .segment_bytes = 65536, .nosync = true };
	struct journal_inject in = { .loop = loop, .options = &o, .stepped = true };
	struct journal *j;
	struct err e;
	uint64_t lsn;

	for (int i = 0; i < 2 && journal_open_injected(&in, &j, &e) == 0; i++) {
		struct jstream *js = journal_stream(j, STR("s"));
		struct str body = STR("body");

		journal_each_state(j, STR(""), on_state, NULL);
		if (js)
			(void)journal_append(j, js, jstream_next(js), &body, 1, &lsn);
		(void)journal_put(j, STR("k"), body, &lsn);
		loop_turn(loop);
		(void)journal_close(j);
		loop_turn(loop);
	}
	wipe();
}

/*
 * A whole directory: for each file a byte that says what it is (its lowest two bits: segment, index
 * file, state.log, spare; 4: a header is put before it; 8: its records are put right), one for its
 * number, two for its length, and its bytes.
 */
static void recover_directory(const uint8_t *data, size_t size)
{
	while (size >= 4) {
		unsigned what = data[0], number = data[1] % 8 + 1;
		size_t n = le16_get((const char *)data + 2), head = what & 4 ? FILE_HEADER : 0;
		struct file_header h = { .kind = (what & 3) == 2 ? FILE_STATES : FILE_SEGMENT,
					 .version = FILE_VERSION,
					 .flags = FILE_MARKED,
					 .number = (what & 3) == 2 ? 0 : number,
					 .generation = 77,
					 .size = 65536 };
		char name[32], *bytes;

		n = n < size - 4 ? n : size - 4;
		bytes = malloc(head + n + 1);
		assert(bytes);
		if (head)
			file_header_write(bytes, &h);
		memcpy(bytes + head, data + 4, n);
		if ((what & 8) && head)
			put_right(bytes, head + n, h.generation);
		if ((what & 3) == 2)
			(void)snprintf(name, sizeof(name), "state.log");
		else
			(void)snprintf(name, sizeof(name),
				       (what & 3) == 0   ? "%08u.vbj"
				       : (what & 3) == 1 ? "%08u.vbi"
							 : "spare-%u.vbj",
				       number);
		spill(name, bytes, head + n);
		free(bytes);
		data += 4 + n;
		size -= 4 + n;
	}
	recover();
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
	prepare();
	if (data[0] & 4) {
		recover_directory(data + 1, size - 1);
		return 0;
	}
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
	if (data[0] & 2) {
		spill("00000001.vbj", bytes, n);
		recover();
	}
	free(bytes);
	return 0;
}
