/* SPDX-License-Identifier: MIT */
/*
 * Unpacking gzip into a buffer that has a maximum.
 *
 * A few bytes can stand for gigabytes, so nothing is believed about the size: the buffer grows
 * with what comes out, and one byte over its maximum ends it.
 */
#include "codec/gzip.h"

#include <errno.h>

#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 /* zlib's way of saying: a gzip header, and no other */ };
enum { PIECE = 8192 };

/* Room for the next piece, the last one of which may be smaller. */
static int more_room(z_stream *z, struct buf *out)
{
	size_t left = out->max - buf_len(out);
	size_t n = left < PIECE ? left : PIECE;
	int rc = n ? buf_reserve(out, n) : -ENOBUFS;

	if (rc < 0)
		return rc;
	z->next_out = (Bytef *)buf_tail(out);
	z->avail_out = (uInt)n;
	return 0;
}

/* When everything has come out the buffer may be exactly full: that is asked of a spare byte. */
static int is_finished(z_stream *z, int *ret_zrc)
{
	Bytef spare;

	z->next_out = &spare;
	z->avail_out = 1;
	*ret_zrc = inflate(z, Z_NO_FLUSH);
	z->next_out = Z_NULL;
	return z->avail_out == 1;
}

static int step(z_stream *z, struct buf *out, int *ret_zrc)
{
	int rc = more_room(z, out);

	if (rc == -ENOBUFS)
		return is_finished(z, ret_zrc) ? 0 : rc;
	if (rc < 0)
		return rc;
	size_t room = z->avail_out;
	*ret_zrc = inflate(z, Z_NO_FLUSH);
	buf_grew(out, room - z->avail_out);
	return 0;
}

static int unpack(z_stream *z, struct buf *out)
{
	for (;;) {
		int zrc = Z_OK;
		uInt before = z->avail_in;
		size_t had = buf_len(out);
		int rc = step(z, out, &zrc);

		if (rc < 0)
			return rc;
		if (zrc == Z_MEM_ERROR)
			return -ENOMEM;
		if (zrc == Z_STREAM_END) {
			if (!z->avail_in)
				return 0;
			if (inflateReset(z) != Z_OK)
				return -EBADMSG;
			continue;
		}
		if (zrc != Z_OK && zrc != Z_BUF_ERROR)
			return -EBADMSG;
		if (z->avail_in == before && buf_len(out) == had)
			return -EBADMSG; /* it wants more, and there is none */
	}
}

int gzip_add_unpacked(struct buf *out, struct str gz)
{
	z_stream z = { .next_in = (z_const Bytef *)gz.p, .avail_in = (uInt)gz.n };

	if (gz.n > UINT32_MAX)
		return -ENOBUFS;
	int zrc = inflateInit2(&z, GZIP_WINDOW);
	if (zrc != Z_OK)
		return zrc == Z_MEM_ERROR ? -ENOMEM : -EINVAL;
	int rc = unpack(&z, out);
	(void)inflateEnd(&z);
	return rc;
}
