/* SPDX-License-Identifier: MIT */
/*
 * What recovery finds wrong goes one way: to the log at a start, to who asked at a check.
 *
 * The log gets one line for each stretch of bytes, however many records were in it; who checks gets
 * one for each record whose header can still be read, because it says whose it was.
 */
#include <inttypes.h>

#include "journal/recover_internal.h"

static void problem_log(const struct journal *j, const struct journal_problem *p)
{
	log_warn(j->log, p->torn ? "journal torn" : "journal damaged",
		 "dir=%s file=%s offset=%" PRIu64 " bytes=%" PRIu64 " stream=%" PRIu64
		 " seq=%" PRIu64 " what=%s then=%s",
		 j->dir, p->file, p->offset, p->bytes, p->stream, p->seq, p->what, p->then);
}

void problem_tell(struct journal *j, const struct journal_problem *p)
{
	if (p->torn)
		j->stats.torn_bytes += p->bytes;
	else
		j->stats.damaged++;
	if (j->problem)
		j->problem(j->problem_arg, p);
	else
		problem_log(j, p);
}

/* Whose record begins at `offset`, as far as its header can be trusted. Its size, or 0. */
static size_t name_record(struct journal *j, struct str bytes, uint64_t generation,
			  struct journal_problem *p)
{
	struct jstream *js;
	struct record r;

	if (record_header(str_skip(bytes, p->offset), generation, &r) <= 0 ||
	    record_size(r.body.n) > p->bytes)
		return 0;
	js = jstream_by_id(j, r.stream);
	p->what = "a damaged record";
	p->stream = r.stream;
	p->seq = record_is_data(&r) ? r.seq : 0;
	p->name = js && js->name ? jstream_name(js) : str_make(NULL, 0);
	return record_size(r.body.n);
}

static void tell_piece(struct journal *j, struct journal_problem p, uint64_t end)
{
	p.bytes = end - p.offset;
	if (p.bytes)
		problem_tell(j, &p);
}

/* One for each record that can still be read, and for what lies between. */
static void tell_pieces(struct journal *j, const struct journal_problem *p, struct str bytes,
			uint64_t generation)
{
	struct journal_problem rest = *p;
	uint64_t end = p->offset + p->bytes;

	for (uint64_t at = p->offset; at < end;) {
		struct journal_problem one = *p;
		size_t n;

		one.offset = at;
		one.bytes = end - at;
		n = name_record(j, bytes, generation, &one);
		if (n) {
			tell_piece(j, rest, at);
			tell_piece(j, one, at + n);
			rest.offset = at + n;
		}
		at += n ? n : RECORD_ALIGN;
	}
	tell_piece(j, rest, end);
}

void recover_report(struct recovery *rv, uint64_t number, size_t offset, size_t n, const char *what,
		    const char *then)
{
	char name[FILE_NAME_SIZE];
	struct journal_problem p = {
		.file = name, .offset = offset, .bytes = n, .what = what, .then = then
	};

	file_name(name, number);
	if (!rv->quiet)
		problem_tell(rv->j, &p);
}

void recover_report_range(struct recovery *rv, uint64_t number, size_t offset, size_t n)
{
	struct str bytes = str_make(rv->bytes, rv->n);
	char name[FILE_NAME_SIZE];
	struct journal_problem p = { .file = name,
				     .offset = offset,
				     .bytes = n,
				     .what = "not a record",
				     .then = "skips it" };

	file_name(name, number);
	if (offset + n > rv->n) { /* an index file told of it: its bytes were not read */
		problem_tell(rv->j, &p);
		return;
	}
	if (rv->j->problem) {
		tell_pieces(rv->j, &p, bytes, rv->generation);
		return;
	}
	(void)name_record(rv->j, bytes, rv->generation, &p);
	problem_tell(rv->j, &p);
}

void recover_report_torn(struct recovery *rv, uint64_t number, size_t offset, size_t n)
{
	char name[FILE_NAME_SIZE];
	struct journal_problem p = { .file = name,
				     .offset = offset,
				     .bytes = n,
				     .what = "torn, it was never acknowledged",
				     .then = "cuts it off",
				     .torn = true };

	file_name(name, number);
	if (n)
		problem_tell(rv->j, &p);
}
