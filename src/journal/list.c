/* SPDX-License-Identifier: MIT */
/* Which files are there at the start: segments, index files without one, spares. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/recover_internal.h"

/* The number in a name with that ending, 0 = it has none. */
static uint64_t number_of(const char *file, struct str ending)
{
	struct str name = str_from(file);
	uint64_t number;

	if (name.n < 8 + ending.n || !str_ends(name, ending) ||
	    str_u64(str_make(name.p, name.n - ending.n), &number) < 0)
		return 0;
	return number;
}

static int compare_found(const void *a, const void *b)
{
	uint64_t x = ((const struct found *)a)->number, y = ((const struct found *)b)->number;

	return x < y ? -1 : x > y;
}

static int add_found(struct recovery *rv, uint64_t number)
{
	struct found *more = realloc(rv->found, (rv->n_found + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	rv->found = more;
	rv->found[rv->n_found++] = (struct found){ .number = number, .fd = -1 };
	return 0;
}

/* What a power cut left of a segment that was removed. */
static void remove_orphans(struct recovery *rv, DIR *dir)
{
	for (struct dirent *d; (d = readdir(dir));) {
		struct found key = { .number = number_of(d->d_name, STR(".vbi")) };

		if (key.number && (!rv->n_found || !bsearch(&key, rv->found, rv->n_found,
							    sizeof(key), compare_found)))
			(void)rv->j->sys->unlinkat(rv->j->dirfd, d->d_name, 0);
	}
}

int recover_list(struct recovery *rv)
{
	DIR *dir = opendir(rv->j->dir);
	int rc = 0;

	if (!dir)
		return -errno;
	for (struct dirent *d; rc == 0 && (d = readdir(dir));) {
		uint64_t number = number_of(d->d_name, STR(".vbj"));

		rc = number ? add_found(rv, number) : 0;
	}
	if (rc == 0 && rv->n_found)
		qsort(rv->found, rv->n_found, sizeof(*rv->found), compare_found);
	rewinddir(dir);
	if (rc == 0)
		remove_orphans(rv, dir);
	(void)closedir(dir);
	return rc;
}

void recover_find_spares(struct journal *j, struct recovered *ret)
{
	char name[FILE_NAME_SIZE];
	struct stat st;

	for (size_t i = 0; i < SPARES_MAX; i++) {
		spare_name(name, i);
		if (fstatat(j->dirfd, name, &st, 0) < 0)
			continue;
		ret->spares[i] =
			(size_t)st.st_size == j->options.segment_bytes &&
			segments_bytes(j) + j->options.segment_bytes <= j->options.quota_bytes;
		j->n_spares += ret->spares[i];
		if (!ret->spares[i])
			(void)j->sys->unlinkat(j->dirfd, name, 0);
	}
}
