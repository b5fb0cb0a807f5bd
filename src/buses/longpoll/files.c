/* SPDX-License-Identifier: MIT */
/*
 * A multipart body's parts: fields and files, in two walks. The first says whether the body is well
 * formed, and how much room the names need; the second can't fail.
 */
#include "buses/longpoll/files.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/base64.h"
#include "codec/multipart.h"

struct counts {
	size_t fields, files, names;
};

static int count_parts(struct str content_type, struct str body, struct counts *ret, struct err *e)
{
	struct multipart_part part;
	struct multipart m;
	int rc = multipart_begin(&m, content_type, body);

	*ret = (struct counts){ 0 };
	while (rc == 0 && (rc = multipart_next(&m, &part)) > 0) {
		*(part.filename.p ? &ret->files : &ret->fields) += 1;
		ret->names += part.name.n + part.filename.n;
		if (ret->fields + ret->files > PARTS_MAX)
			return err_set(e, -E2BIG, "a multipart body has at most %d parts",
				       PARTS_MAX);
		rc = 0;
	}
	return rc < 0 ? err_set(e, rc, "%s", m.why) : 0;
}

static struct str unescape(char **out, struct str in)
{
	struct str name = str_make(*out, multipart_unescape(*out, in));

	*out += name.n;
	return name;
}

static void take_part(const struct multipart_part *part, struct fields *fields, struct files *files,
		      char **out)
{
	struct str name = unescape(out, part->name);

	if (part->filename.p) {
		files->items[files->n++] = (struct file){ .name = name,
							  .filename = unescape(out, part->filename),
							  .content_type = part->content_type,
							  .bytes = part->body };
	} else {
		fields->items[fields->n] =
			(struct field){ .name = name, .value = part->body, .place = fields->n };
		fields->n++;
	}
}

int files_read(struct str content_type, struct str body, struct fields *ret_fields,
	       struct files *ret_files, struct err *e)
{
	struct multipart_part part;
	struct multipart m;
	struct counts counts;
	int rc = count_parts(content_type, body, &counts, e);

	*ret_fields = (struct fields){ 0 };
	*ret_files = (struct files){ 0 };
	if (rc < 0)
		return rc;
	ret_fields->items = calloc(counts.fields + 1, sizeof(*ret_fields->items));
	ret_fields->memory = malloc(counts.names + 1);
	ret_files->items = calloc(counts.files + 1, sizeof(*ret_files->items));
	if (!ret_fields->items || !ret_fields->memory || !ret_files->items)
		return -ENOMEM;
	char *out = ret_fields->memory;
	rc = multipart_begin(&m, content_type, body);
	while (rc == 0 && multipart_next(&m, &part) > 0)
		take_part(&part, ret_fields, ret_files, &out);
	fields_sort(ret_fields);
	return 0;
}

void files_fini(struct files *files)
{
	free(files->items);
	*files = (struct files){ 0 };
}

void files_put(struct json_out *w, const struct files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct file *file = &files->items[i];

		json_out_string(w, i ? STR(",{\"Name\":") : STR(",\"Files\":[{\"Name\":"),
				file->name);
		json_out_string(w, STR(",\"Filename\":"), file->filename);
		json_out_string(w, STR(",\"ContentType\":"), file->content_type);
		json_out(w, STR(",\"Base64\":\""));
		if (w->rc == 0)
			w->rc = base64_add(w->buf, file->bytes);
		json_out(w, STR("\"}"));
	}
	if (files->n)
		json_out(w, STR("]"));
}
