/* SPDX-License-Identifier: MIT */
/* What a check of the journal found, as lines. */
#include "check_journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "journal/check.h"

enum { PATH_MAX_BYTES = 4096 };

/* Names come from outside: what a terminal would act on is shown as its number. */
static void print_name(FILE *out, struct str name)
{
	(void)fputc('"', out);
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
			(void)fprintf(out, "\\x%02x", c);
		else
			(void)fputc(c, out);
	}
	(void)fputc('"', out);
}

static void print_problem(void *arg, const struct journal_problem *p)
{
	FILE *out = arg;

	(void)fprintf(out, "%s", p->file);
	if (p->bytes)
		(void)fprintf(out, " at %" PRIu64 ", %" PRIu64 " bytes", p->offset, p->bytes);
	(void)fprintf(out, ": %s", p->what);
	if (p->stream) {
		(void)fputs(" of stream ", out);
		if (p->name.n)
			print_name(out, p->name);
		else
			(void)fprintf(out, "%" PRIu64, p->stream);
	}
	if (p->seq)
		(void)fprintf(out, ", number %" PRIu64, p->seq);
	(void)fprintf(out, ": a start %s\n", p->then);
}

static void print_totals(FILE *out, const char *dir, const struct journal_checked *c)
{
	const struct journal_stats *st = &c->stats;

	(void)fprintf(out,
		      "%s: %" PRIu64 " segments, %" PRIu64 " records, %" PRIu64 " streams, %" PRIu64
		      " states; index files: %zu used, %zu ignored; %" PRIu64
		      " torn bytes, %" PRIu64 " damaged: %s\n",
		      dir, st->segments, st->records, st->streams, st->states, c->used, c->ignored,
		      st->torn_bytes, st->damaged, st->damaged ? "damaged" : "sound");
}

int check_journal(const char *dir, FILE *out)
{
	char inside[PATH_MAX_BYTES];
	struct journal_checked checked;
	struct err e = { "" };
	struct stat st;
	int rc;

	if (snprintf(inside, sizeof(inside), "%s/journal", dir) < (int)sizeof(inside) &&
	    stat(inside, &st) == 0 && S_ISDIR(st.st_mode))
		dir = inside;
	rc = journal_check(dir, print_problem, out, &checked, &e);
	if (rc == 0 || rc == -EBADMSG)
		print_totals(out, dir, &checked);
	(void)fflush(out);
	if (rc < 0)
		(void)fprintf(stderr, "voxbusd: %s\n", e.text);
	if (rc < 0 && rc != -EBADMSG)
		return CHECK_IMPOSSIBLE;
	return rc < 0 || checked.stats.damaged ? CHECK_DAMAGED : CHECK_SOUND;
}
