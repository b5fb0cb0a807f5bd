/* SPDX-License-Identifier: MIT */
/*
 * Multipart bodies and gzip: whatever comes is refused or taken within its bounds. The first line is
 * the Content-Type, the rest the body; parts are slices of the body, in its order.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "codec/gzip.h"
#include "codec/multipart.h"

static void try_name(struct str name)
{
	char *out = malloc(name.n + 1);

	assert(multipart_unescape(out, name) <= name.n);
	free(out);
}

static void try_multipart(struct str type, struct str body)
{
	const char *at = body.p;
	struct multipart m;
	struct multipart_part part;
	int rc = multipart_begin(&m, type, body);

	while (rc == 0 && (rc = multipart_next(&m, &part)) == 1) {
		assert(part.body.p >= at && part.body.p + part.body.n <= body.p + body.n);
		at = part.body.p + part.body.n;
		assert(part.name.p);
		try_name(part.name);
		try_name(part.filename);
		assert(part.content_type.n <= body.n);
		rc = 0;
	}
	assert(rc == 0 || (rc == -EBADMSG && m.why));
}

static void try_gzip(struct str gz)
{
	struct buf b auto_buf;

	buf_init(&b, 10000);
	int rc = gzip_add_unpacked(&b, gz);
	assert(rc == 0 || rc == -EBADMSG || rc == -ENOBUFS);
	assert(buf_len(&b) <= 10000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 16384)
		return 0;
	char *copy = malloc(size + !size);
	memcpy(copy, data, size);
	struct str body = str_make(copy, size);
	try_gzip(body);
	struct str type = str_cut(&body, '\n');
	try_multipart(type, body.p ? body : str_make(copy + size, 0));
	free(copy);
	return 0;
}
