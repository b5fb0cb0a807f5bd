/* SPDX-License-Identifier: MIT */
/*
 * Spare segments: the next one is there before it is needed, and a dead one is used again.
 *
 * A spare is a file `spare-N.vbj` of a segment's size. It is made ahead, when the loop asks (so that
 * no append waits for fallocate, and a full disk shows while there is still room for trims), or it
 * is a dead segment, renamed: its blocks are written already, so that syncs need no change of the
 * file system's own. To become a segment it gets a header with a new generation, then its name; the
 * directory is synced before a record is written, so that a later segment never stands without it.
 *
 *   dead segment ──rename, sync──► spare-1.vbj ──header, rename, sync──► NNNNNNNN.vbj
 *   fallocate ───────────────────►
 *
 * In the other order (or unsynced) a power cut could leave a new header under an old name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "journal/writer_internal.h"

void spare_name(char out[FILE_NAME_SIZE], size_t slot)
{
	(void)snprintf(out, FILE_NAME_SIZE, "spare-%zu.vbj", slot + 1);
}

/* The first slot in that state, which it then leaves for `to`: SPARES_MAX = there is none. */
static size_t slot_move(struct writer *w, enum spare_state from, enum spare_state to)
{
	size_t slot = 0;

	pthread_mutex_lock(&w->mutex);
	while (slot < SPARES_MAX && w->spares[slot].state != from)
		slot++;
	if (slot < SPARES_MAX)
		w->spares[slot].state = to;
	pthread_mutex_unlock(&w->mutex);
	return slot;
}

static void slot_set(struct writer *w, size_t slot, enum spare_state state, bool recycled)
{
	pthread_mutex_lock(&w->mutex);
	w->spares[slot] = (struct spare){ .state = state, .recycled = recycled };
	if (state == SPARE_READY) {
		w->report.spares_made++;
		w->report.no_room = false;
		writer_post(w);
	}
	pthread_mutex_unlock(&w->mutex);
}

static void slot_unlink(struct writer *w, size_t slot)
{
	char name[FILE_NAME_SIZE];

	spare_name(name, slot);
	(void)w->o.sys->unlinkat(w->o.dirfd, name, 0);
	slot_set(w, slot, SPARE_NONE, false);
}

size_t spare_take(struct writer *w, int *ret_fd, bool *ret_recycled)
{
	size_t slot = slot_move(w, SPARE_READY, SPARE_BUSY);
	char name[FILE_NAME_SIZE];

	if (slot == SPARES_MAX)
		return slot;
	spare_name(name, slot);
	*ret_recycled = w->spares[slot].recycled;
	*ret_fd = w->o.sys->openat(w->o.dirfd, name, O_RDWR | O_CLOEXEC, 0);
	if (*ret_fd >= 0)
		return slot;
	slot_unlink(w, slot);
	return SPARES_MAX;
}

int spare_rename(struct writer *w, size_t slot, const char *to)
{
	char name[FILE_NAME_SIZE];

	spare_name(name, slot);
	if (w->o.sys->renameat(w->o.dirfd, name, w->o.dirfd, to) < 0)
		return -errno;
	slot_set(w, slot, SPARE_NONE, false);
	return 0;
}

void spare_discard(struct writer *w, size_t slot)
{
	slot_unlink(w, slot);
}

void spare_make(struct writer *w)
{
	size_t slot = slot_move(w, SPARE_NONE, SPARE_BUSY);
	char name[FILE_NAME_SIZE];
	int fd, rc;

	if (slot == SPARES_MAX)
		return;
	spare_name(name, slot);
	fd = w->o.sys->openat(w->o.dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : write_step_reserve(w, fd, 0, w->o.segment_bytes);
	if (fd >= 0)
		(void)close(fd);
	if (rc == 0) {
		slot_set(w, slot, SPARE_READY, false);
		return;
	}
	slot_unlink(w, slot);
	pthread_mutex_lock(&w->mutex);
	w->report.no_room = true;
	writer_post(w);
	pthread_mutex_unlock(&w->mutex);
}

bool spare_keep(struct writer *w, const struct file *f)
{
	char from[FILE_NAME_SIZE], to[FILE_NAME_SIZE];
	size_t slot = slot_move(w, SPARE_NONE, SPARE_BUSY);

	if (slot == SPARES_MAX)
		return false;
	file_name(from, f->number);
	spare_name(to, slot);
	if (w->o.sys->renameat(w->o.dirfd, from, w->o.dirfd, to) < 0) {
		slot_set(w, slot, SPARE_NONE, false);
		return false;
	}
	if (!w->o.nosync && w->o.sys->fsync(w->o.dirfd) < 0)
		slot_unlink(w, slot); /* nobody knows which name it has */
	else
		slot_set(w, slot, SPARE_READY, true);
	return true;
}
