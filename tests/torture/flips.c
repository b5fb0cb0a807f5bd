/* SPDX-License-Identifier: MIT */
/*
 * Every single bit of a small journal that was closed cleanly, flipped, one at a time: the journal
 * must open; nothing wrong may be served; at most what the bit lies in may be missing, and then the
 * journal must have said so, at its opening or at the read. A flip of which it says nothing must lie
 * where the format says that the bytes mean nothing (the rest of a header's page, the zeros that
 * fill a record up, room that no record has reached) or in a file that recovery may do without (an
 * index file, a spare).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "torture.h"

enum {
	FILES = 16,
	SEQS = 64,
	SHARES = 2,
	COMPLAINTS_MOST = 20,
	HEADER_USED = 64,
	ROOM_ALL = 1024,   /* bytes of free room of which every bit is flipped */
	ROOM_STEP = 32768, /* beyond them one byte of so many */
};

enum region {
	REGION_HEADER,
	REGION_PAGE,
	REGION_RECORD,
	REGION_INDEXED,
	REGION_PADDING,
	REGION_ROOM,
	REGION_SPARE,
	REGION_INDEX,
	REGIONS
};
static const char *const region_names[REGIONS] = { "file headers",
						   "rest of the headers' pages",
						   "records",
						   "records in an index file",
						   "padding of records",
						   "room not yet used",
						   "spare files",
						   "index files" };

struct copy {
	char name[DISK_NAME];
	char *bytes;
	size_t n, used, touched; /* zeros follow from the greater of both on */
	unsigned char *regions;
};

struct count {
	uint64_t bits, tried, reported, harmless, lost;
};

struct flips {
	struct run run;
	struct copy files[FILES];
	size_t n;
	bool all_bits;
	struct count counts[REGIONS];
	bool served[NAMES][SEQS], expected[NAMES][SEQS];
	bool states[KEYS], expected_states[KEYS];
};

static bool has_index(const char *name)
{
	char index[DISK_NAME];

	(void)snprintf(index, sizeof(index), "%.*s.vbi", (int)strcspn(name, "."), name);
	return names_find(&disk.now, index) != NULL;
}

static void classify(struct copy *c)
{
	bool indexed = has_index(c->name);
	struct file_header h;
	struct record r;
	bool damaged, room = true;
	size_t at = FILE_HEADER;

	memset(c->regions,
	       strstr(c->name, ".vbi")    ? REGION_INDEX
	       : strstr(c->name, "spare") ? REGION_SPARE
					  : REGION_ROOM,
	       c->n);
	room = strstr(c->name, ".vbi") == NULL && strstr(c->name, "spare") == NULL;
	if (!room || file_header_read(str_make(c->bytes, c->n), &h, &damaged) <= 0)
		return;
	memset(c->regions, REGION_PAGE, FILE_HEADER);
	memset(c->regions, REGION_HEADER, HEADER_USED);
	memset(c->regions + FILE_HEADER_COPY, REGION_HEADER, HEADER_USED);
	while (record_read(str_make(c->bytes + at, c->n - at), h.generation, &r) > 0) {
		size_t used = RECORD_HEADER + r.body.n;

		memset(c->regions + at, indexed ? REGION_INDEXED : REGION_RECORD, used);
		memset(c->regions + at + used, REGION_PADDING, record_size(r.body.n) - used);
		at += record_size(r.body.n);
	}
}

static void take_files(struct flips *f)
{
	for (size_t i = 0; i < disk.now.n; i++) {
		const struct bytes *b = &disk.now.v[i].inode->now;
		struct copy *c = &f->files[f->n++];

		assert(f->n < FILES);
		(void)snprintf(c->name, sizeof(c->name), "%s", disk.now.v[i].text);
		c->n = b->n;
		c->used = b->have;
		c->bytes = calloc(1, b->n + 1);
		c->regions = malloc(b->n + 1);
		assert(c->bytes && c->regions);
		if (b->have)
			memcpy(c->bytes, b->p, b->have);
		classify(c);
	}
}

/* As small as can be, with one of everything: sealed segments, a drop, trims, a name made again. */
static void make_journal(struct flips *f)
{
	struct run *run = &f->run;
	struct err e;

	run->options.quota_bytes = 1 << 20;
	if (run_open(run, &e) < 0)
		(void)complain("it can't be opened: %s", e.text);
	for (int i = 0; i < 14; i++) {
		(void)run_append(run, i % 4, (size_t)(i * 37 % 61));
		if (i % 5 == 0)
			(void)run_put(run, i % 4, false);
		if (i == 7)
			run_drop(run, 2);
		if (i % 6 == 0)
			(void)run_settle(run);
	}
	/* It does not fit: the first segment is sealed. */
	(void)run_append(run, 0, 3000);
	(void)run_append(run, 1, 20);
	run_trim(run, 1, 2);
	run_delete(run, 1);
	(void)run_settle(run);
	disk_cut_in(CALL_ANY, 0);
	run_close(run);
	model_durable(UINT64_MAX);
	take_files(f);
}

static void write_file(const struct copy *c)
{
	int fd = openat(disk.dirfd, c->name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t n = c->used > c->touched ? c->used : c->touched;
	int rc;

	assert(fd >= 0);
	rc = pwrite(fd, c->bytes, n, 0) == (ssize_t)n ? ftruncate(fd, (off_t)c->n) : -1;
	assert(rc == 0);
	(void)close(fd);
}

static void write_files(const struct flips *f)
{
	disk_remove_files();
	for (size_t i = 0; i < f->n; i++)
		write_file(&f->files[i]);
}

struct reading {
	struct flips *f;
	unsigned name;
	uint64_t next;
	bool done;
};

static void on_read(void *arg, int rc, const struct journal_record *records, size_t n)
{
	struct reading *rd = arg;

	rd->done = true;
	for (size_t i = 0; i < n; i++) {
		if (!model_known_record(rd->name, records[i].seq, records[i].body))
			(void)complain("%s record %" PRIu64 " is served with wrong bytes",
				       model_name(rd->name).p, records[i].seq);
		else if (model_live_record(rd->name, records[i].seq, records[i].body))
			rd->f->served[rd->name][records[i].seq % SEQS] = true;
		rd->next = records[i].seq + 1;
	}
	if (n == 0)
		rd->next = UINT64_MAX;
}

static void on_state(void *arg, struct str key, struct str value)
{
	struct flips *f = arg;
	int i = model_state(key, value);

	if (i < 0)
		(void)complain("state %.*s is served with wrong bytes", STR_ARG(key));
	else
		f->states[i] = true;
}

/* Opens, reads everything, closes: how many places it calls damaged or torn, -1: it can't be opened. */
static int look(struct flips *f)
{
	struct run *run = &f->run;
	struct journal_stats st;
	struct err e = { "" };

	memset(f->served, 0, sizeof(f->served));
	memset(f->states, 0, sizeof(f->states));
	if (run_open(run, &e) < 0) {
		(void)complain("it can't be opened: %s", e.text);
		return -1;
	}
	for (unsigned i = 0; i < NAMES; i++) {
		struct jstream *js = journal_stream(run->j, model_name(i));
		struct reading rd = { f, i, jstream_first(js), false };

		while (rd.next < jstream_next(js)) {
			rd.done = false;
			if (journal_read(run->j, js, rd.next, 1 << 20, on_read, &rd) < 0)
				break;
			while (!rd.done && works_step(NULL))
				;
		}
	}
	journal_each_state(run->j, STR(""), on_state, f);
	journal_stats(run->j, &st);
	run_close(run);
	return st.damaged + st.torn_bytes > INT32_MAX ? INT32_MAX
						      : (int)(st.damaged + st.torn_bytes);
}

static unsigned count_missing(const struct flips *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < NAMES; i++)
		for (unsigned s = 0; s < SEQS; s++)
			n += f->expected[i][s] && !f->served[i][s];
	for (unsigned i = 0; i < KEYS; i++)
		n += f->expected_states[i] && !f->states[i];
	return n;
}

/* Who reads the index file never sees names and marks themselves; data is seen when it is read. */
static bool may_be_silent(enum region region)
{
	return region == REGION_PAGE || region == REGION_PADDING || region == REGION_ROOM ||
	       region == REGION_SPARE || region == REGION_INDEX || region == REGION_INDEXED;
}

static void flip(struct flips *f, struct copy *c, size_t at, unsigned bit)
{
	enum region region = c->regions[at];
	struct count *count = &f->counts[region];
	unsigned missing;
	int said;

	(void)snprintf(where, sizeof(where), "flip of bit %u of byte %zu of %s (%s)", bit, at,
		       c->name, region_names[region]);
	c->bytes[at] ^= (char)(1 << bit);
	c->touched = at + 1;
	write_files(f);
	said = look(f);
	c->bytes[at] ^= (char)(1 << bit);
	c->touched = 0;
	missing = count_missing(f);
	count->tried++;
	count->lost += missing;
	if (said > 0)
		count->reported++;
	else
		count->harmless++;
	if (missing > (region == REGION_RECORD || region == REGION_INDEXED))
		(void)complain("%u records or states are missing", missing);
	else if (said == 0 && (missing || !may_be_silent(region)))
		(void)complain("nothing is said of it, %u missing", missing);
}

/*
 * Every bit of what means something. Of what does not, every bit only if all are asked for, else one
 * bit of each byte; and of long unused room (the states' log has a megabyte) some bytes.
 */
static bool is_tried(const struct flips *f, const struct copy *c, size_t at, unsigned bit,
		     size_t room)
{
	if (room > ROOM_ALL && room % ROOM_STEP != 0 && at + 8 < c->n)
		return false;
	return f->all_bits || bit == at % 8 || c->regions[at] == REGION_HEADER ||
	       c->regions[at] == REGION_RECORD || c->regions[at] == REGION_INDEXED ||
	       c->regions[at] == REGION_PADDING;
}

static void flip_byte(struct flips *f, struct copy *c, size_t at, size_t room)
{
	for (unsigned bit = 0; bit < 8 && complaints < COMPLAINTS_MOST; bit++)
		if (is_tried(f, c, at, bit, room))
			flip(f, c, at, bit);
}

/* The share of one of the processes: the counts are its own. */
static void flip_share(struct flips *f, unsigned share)
{
	for (size_t i = 0; i < f->n; i++) {
		struct copy *c = &f->files[i];
		size_t room = 0;

		for (size_t at = 0; at < c->n; at++) {
			room = c->regions[at] == REGION_ROOM ? room + 1 : 0;
			if (at / 8 % SHARES != share)
				continue;
			f->counts[c->regions[at]].bits += 8;
			flip_byte(f, c, at, room);
		}
	}
}

/* What a process hands back. */
struct share {
	struct count counts[REGIONS];
	unsigned complaints;
};

static void child(struct flips *f, unsigned share, int out)
{
	struct share result = { .complaints = complaints };
	bool sent;

	disk_init(share);
	flip_share(f, share);
	memcpy(result.counts, f->counts, sizeof(result.counts));
	result.complaints = complaints - result.complaints;
	disk_fini();
	(void)fflush(stdout);
	sent = write(out, &result, sizeof(result)) == sizeof(result);
	_exit(sent ? 0 : 1);
}

/* In two processes, because it takes long; each has a directory of its own. */
static void flip_all(struct flips *f)
{
	int pipes[SHARES][2], status;
	pid_t pids[SHARES];

	(void)fflush(stdout);
	for (unsigned i = 0; i < SHARES; i++) {
		if (pipe(pipes[i]) < 0 || (pids[i] = fork()) < 0) {
			perror("fork");
			abort();
		}
		if (pids[i] == 0)
			child(f, i, pipes[i][1]);
		(void)close(pipes[i][1]);
	}
	for (unsigned i = 0; i < SHARES; i++) {
		struct share result;

		if (read(pipes[i][0], &result, sizeof(result)) != sizeof(result)) {
			result = (struct share){ .complaints = 1 };
			(void)complain("the process %u of the flips ended early", i);
		}
		(void)close(pipes[i][0]);
		(void)waitpid(pids[i], &status, 0);
		complaints += result.complaints;
		for (int r = 0; r < REGIONS; r++) {
			f->counts[r].bits += result.counts[r].bits;
			f->counts[r].tried += result.counts[r].tried;
			f->counts[r].reported += result.counts[r].reported;
			f->counts[r].harmless += result.counts[r].harmless;
			f->counts[r].lost += result.counts[r].lost;
		}
	}
}

static void print(const struct flips *f)
{
	struct count sum = { 0 };

	for (int i = 0; i < REGIONS; i++) {
		sum.bits += f->counts[i].bits;
		sum.tried += f->counts[i].tried;
		sum.reported += f->counts[i].reported;
		sum.harmless += f->counts[i].harmless;
	}
	printf("bit flips: %" PRIu64 " bits in %zu files, %" PRIu64 " flipped: %" PRIu64
	       " reported, %" PRIu64 " harmless\n",
	       sum.bits, f->n, sum.tried, sum.reported, sum.harmless);
	for (int i = 0; i < REGIONS; i++)
		if (f->counts[i].bits)
			printf("  %-27s %8" PRIu64 " bits, %6" PRIu64 " flipped, %6" PRIu64
			       " reported (%" PRIu64 " records or states lost), %6" PRIu64
			       " harmless\n",
			       region_names[i], f->counts[i].bits, f->counts[i].tried,
			       f->counts[i].reported, f->counts[i].lost, f->counts[i].harmless);
}

void torture_flips(uint64_t seed, bool all_bits, struct tally *tally)
{
	static struct flips f;
	unsigned before = complaints;

	f = (struct flips){ .all_bits = all_bits };
	(void)snprintf(where, sizeof(where), "making the journal for flips");
	run_init(&f.run, seed);
	make_journal(&f);
	f.run.bare = true;
	f.run.options.nosync = true;
	write_files(&f);
	if (look(&f) != 0)
		(void)complain("it is not sound before any flip");
	memcpy(f.expected, f.served, sizeof(f.expected));
	memcpy(f.expected_states, f.states, sizeof(f.expected_states));
	if (complaints == before)
		flip_all(&f);
	print(&f);
	for (int i = 0; i < REGIONS; i++)
		tally->passed += f.counts[i].tried && complaints == before;
	tally->failed += complaints != before;
	for (size_t i = 0; i < f.n; i++) {
		free(f.files[i].bytes);
		free(f.files[i].regions);
	}
	run_fini(&f.run);
}
