/* SPDX-License-Identifier: MIT */
/* The files of a multipart form; its other parts are fields. */
#ifndef VOXBUS_LONGPOLL_FILES_H
#define VOXBUS_LONGPOLL_FILES_H

#include "base/err.h"
#include "buses/longpoll/fields.h"

enum { PARTS_MAX = 1000 };

struct file {
	struct str name, filename;      /* without escapes */
	struct str content_type, bytes; /* borrowed from the body */
};

struct files {
	struct file *items;
	size_t n;
};

/*
 * Takes a multipart/form-data body apart: 0; -EBADMSG (malformed) or -E2BIG (more than PARTS_MAX
 * parts) and a sentence; -ENOMEM. Both results are then to be given back, here and by fields_fini.
 */
int files_read(struct str content_type, struct str body, struct fields *ret_fields,
	       struct files *ret_files, struct err *e);
/* Also of zeroed memory. Before fields_fini of its fields, where its names lie. */
void files_fini(struct files *files);
/* ,"Files":[...]; nothing if there is none. */
void files_put(struct json_out *w, const struct files *files);

#endif
