/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C two ways. The tables take eight bytes a step ("slicing by 8": table k holds what a byte
 * does k bytes further on); SSE4.2 has an instruction for the same polynomial. Which one runs is
 * decided once, before main, so that no thread ever sees it change.
 */
#include "journal/crc32c.h"

#include <string.h>

static const uint32_t polynomial_reflected = 0x82f63b78;

static uint32_t tables[8][256];
static uint32_t (*update)(uint32_t crc, const unsigned char *p, size_t n);

static uint32_t update_table(uint32_t crc, const unsigned char *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
				      (uint32_t)p[3] << 24);

		crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^
		      tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^ tables[3][p[4]] ^
		      tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
	}
	for (; n; p++, n--)
		crc = tables[0][(crc ^ *p) & 255] ^ crc >> 8;
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t update_sse42(uint32_t crc, const unsigned char *p,
							       size_t n)
{
	uint64_t wide = crc, word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; n; p++, n--)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return crc;
}
#endif

__attribute__((constructor)) static void choose(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? polynomial_reflected : 0);
		tables[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 255];
	update = update_table;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2"))
		update = update_sse42;
#endif
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	return ~update(~crc, p, n);
}

uint32_t crc32c_table(uint32_t crc, const void *p, size_t n)
{
	return ~update_table(~crc, p, n);
}
