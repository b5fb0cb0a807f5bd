/* SPDX-License-Identifier: MIT */
#include "proof.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "disk_internal.h"
#include "torture.h"

/* Where a record was put. */
struct place {
	struct inode *inode;
	size_t offset, n;
	bool state;
};

struct proof_stats proof_stats;
bool proof_off;
static struct place *places; /* of lsn base + 1 + i */
static size_t n_places, cap_places;
static uint64_t base, checked;

static bool header_of(const struct inode *inode, struct file_header *ret)
{
	bool damaged;

	return inode->now.have >= FILE_HEADER &&
	       file_header_read(str_make(inode->now.p, FILE_HEADER), ret, &damaged) > 0;
}

static void note(struct inode *inode, const struct file_header *h, size_t offset,
		 const struct record *r)
{
	size_t i = (size_t)(r->lsn - base - 1), n = record_size(r->body.n);
	bool state = h->kind == FILE_STATES;

	/* A snapshot's records have the header's lsn; the mark at its end has the next. */
	if (state && (r->lsn <= h->lsn || (r->type == RECORD_SYNC && r->lsn == h->lsn + 1))) {
		inode->snapshot_end = offset + n;
		return;
	}
	if (r->lsn <= base)
		return;
	while (i >= n_places) {
		places = disk_grow(places, n_places, &cap_places, sizeof(*places));
		places[n_places++] = (struct place){ 0 };
	}
	if (places[i].inode)
		(void)complain("lsn %llu is written twice, in %s and %s",
			       (unsigned long long)r->lsn, disk_name_of(places[i].inode),
			       disk_name_of(inode));
	places[i] = (struct place){ inode, offset, n, state };
	proof_stats.records++;
	proof_stats.copies += r->type == RECORD_COPY;
}

static void parse(struct inode *inode)
{
	struct file_header h;
	struct record r;

	if (!header_of(inode, &h))
		return;
	if (h.generation != inode->generation || inode->parsed > inode->now.n) {
		inode->generation = h.generation;
		inode->parsed = inode->snapshot_end = FILE_HEADER;
		if (h.kind == FILE_SEGMENT)
			proof_stats.segments++;
		else
			proof_stats.snapshots++;
	}
	while (inode->parsed < inode->now.have &&
	       record_read(str_make(inode->now.p + inode->parsed, inode->now.have - inode->parsed),
			   h.generation, &r) > 0) {
		note(inode, &h, inode->parsed, &r);
		inode->parsed += record_size(r.body.n);
	}
}

void proof_begin(uint64_t lsn)
{
	struct proof_stats before = proof_stats;

	base = checked = lsn;
	n_places = 0;
	/* Nothing more is written to a file that has no name any more. */
	for (size_t i = 0; i < disk.now.n; i++) {
		disk.now.v[i].inode->generation = 0;
		parse(disk.now.v[i].inode);
	}
	proof_stats = before;
	disk.wrote = parse;
}

void proof_fini(void)
{
	free(places);
	places = NULL;
	n_places = cap_places = 0;
	disk.wrote = NULL;
}

static bool name_pending(const char *name)
{
	for (size_t i = 0; i < disk.n_entry_ops; i++)
		if (strcmp(disk.entry_ops[i].name, name) == 0 ||
		    strcmp(disk.entry_ops[i].to, name) == 0)
			return true;
	return false;
}

static bool segment_covered(const struct place *p, const char **ret_what)
{
	struct file_header h;
	char name[FILE_NAME_SIZE];

	if (!header_of(p->inode, &h) || !inode_sure(p->inode, 0, FILE_HEADER)) {
		*ret_what = "the file's header is not synced";
		return false;
	}
	file_name(name, h.number);
	*ret_what = "the file's name is not synced";
	if (names_find(&disk.sure, name) != p->inode || name_pending(name))
		return false;
	*ret_what = "the record is not synced";
	return inode_sure(p->inode, p->offset, p->offset + p->n);
}

/* In the file that may be `state.log` after a cut: is the record there, or what came of it? */
static bool state_covered_in(const struct place *p, uint64_t lsn, const struct inode *inode)
{
	struct file_header h;

	if (!inode || !header_of(inode, &h) || !inode_sure(inode, 0, FILE_HEADER))
		return false;
	if (inode == p->inode)
		return inode_sure(inode, p->offset, p->offset + p->n);
	return h.lsn + 1 >= lsn && inode_sure(inode, 0, inode->snapshot_end);
}

static bool state_covered(const struct place *p, uint64_t lsn, const char **ret_what)
{
	*ret_what = "the state is not synced";
	if (!state_covered_in(p, lsn, names_find(&disk.sure, "state.log")))
		return false;
	*ret_what = "the state is not in a state.log whose rename is not synced";
	for (size_t i = 0; i < disk.n_entry_ops; i++)
		if (strcmp(disk.entry_ops[i].to, "state.log") == 0 &&
		    !state_covered_in(p, lsn, disk.entry_ops[i].inode))
			return false;
	return true;
}

bool proof_check(uint64_t lsn)
{
	const char *what = "it was never written";

	if (proof_off)
		return true;
	for (; checked < lsn; checked++) {
		size_t i = (size_t)(checked - base);
		const struct place *p = i < n_places && places[i].inode ? &places[i] : NULL;

		if (p &&
		    (p->state ? state_covered(p, checked + 1, &what) : segment_covered(p, &what)))
			continue;
		checked = lsn;
		return complain(
			"lsn %llu is acknowledged (all up to %llu), but %s (%s, offset %zu)",
			(unsigned long long)(base + i + 1), (unsigned long long)lsn, what,
			p ? disk_name_of(p->inode) : "no file", p ? p->offset : 0);
	}
	proof_stats.acks++;
	return true;
}
