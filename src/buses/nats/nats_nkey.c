/* SPDX-License-Identifier: MIT */
/*
 * An nkey in text is Base32 (RFC 4648, without padding) of: what it is, 32 bytes, and a CRC-16
 * (XMODEM, low byte first). A seed has two bytes in front, that it is a seed and of what (SU: of a
 * user). The library signs with a seed but wants to be told the public key, so it is made here.
 */
#include "buses/nats/nats_nkey.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
	PREFIX_SEED = 18 << 3,
	PREFIX_USER = 20 << 3,
	KEY_BYTES = 32,
	SEED_BYTES = 2 + KEY_BYTES + 2,
	SEED_TEXT = 58,
	LINE_MAX_BYTES = 512,
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static uint16_t crc16(const unsigned char *p, size_t n)
{
	uint16_t crc = 0;

	while (n--) {
		crc ^= (uint16_t)(*p++ << 8);
		for (int i = 0; i < 8; i++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

static int seed_decode(const char *text, unsigned char out[SEED_BYTES])
{
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;

	for (int i = 0; i < SEED_TEXT; i++) {
		const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;

		if (!at)
			return -EINVAL;
		bits = (bits << 5 | (unsigned)(at - alphabet)) & 0xffff;
		n_bits += 5;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		if (n < SEED_BYTES)
			out[n++] = (unsigned char)(bits >> n_bits);
	}
	if (n != SEED_BYTES || (out[0] & 0xf8) != PREFIX_SEED ||
	    (((out[0] & 7) << 5 | out[1] >> 3) & 0xf8) != PREFIX_USER)
		return -EINVAL;
	return crc16(out, SEED_BYTES - 2) == (out[SEED_BYTES - 2] | out[SEED_BYTES - 1] << 8)
		       ? 0
		       : -EINVAL;
}

static void public_encode(const unsigned char key[KEY_BYTES], char ret[NATS_NKEY_SIZE])
{
	unsigned char raw[1 + KEY_BYTES + 2] = { PREFIX_USER };
	unsigned bits = 0, n_bits = 0;
	uint16_t crc;
	size_t n = 0;

	memcpy(raw + 1, key, KEY_BYTES);
	crc = crc16(raw, 1 + KEY_BYTES);
	raw[1 + KEY_BYTES] = (unsigned char)crc;
	raw[2 + KEY_BYTES] = (unsigned char)(crc >> 8);
	for (size_t i = 0; i < sizeof(raw); i++) {
		bits = (bits << 8 | raw[i]) & 0xffff;
		for (n_bits += 8; n_bits >= 5; n_bits -= 5)
			ret[n++] = alphabet[bits >> (n_bits - 5) & 31];
	}
	ret[n] = '\0';
}

static int public_of(const unsigned char seed[SEED_BYTES], char ret[NATS_NKEY_SIZE])
{
	unsigned char key[KEY_BYTES];
	size_t n = sizeof(key);
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed + 2, KEY_BYTES);
	int ok = pkey && EVP_PKEY_get_raw_public_key(pkey, key, &n) == 1 && n == KEY_BYTES;

	EVP_PKEY_free(pkey);
	if (!ok)
		return -EINVAL;
	public_encode(key, ret);
	return 0;
}

int nats_nkey_public(const char *file, char ret[NATS_NKEY_SIZE], char *reason, size_t n)
{
	unsigned char seed[SEED_BYTES] = { 0 };
	char line[LINE_MAX_BYTES];
	FILE *f = fopen(file, "re");
	int rc = -EINVAL;

	if (!f) {
		(void)snprintf(reason, n, "nkey %s can't be read: %s", file, strerror(errno));
		return -EINVAL;
	}
	while (rc < 0 && fgets(line, sizeof(line), f)) {
		const char *at = line + strspn(line, " \t");

		if (strncmp(at, "SU", 2) == 0 && strcspn(at, " \t\r\n") == SEED_TEXT)
			rc = seed_decode(at, seed);
	}
	(void)fclose(f);
	if (rc == 0)
		rc = public_of(seed, ret);
	if (rc < 0)
		(void)snprintf(reason, n, "nkey %s holds no seed of a user (SU...)", file);
	OPENSSL_cleanse(seed, sizeof(seed));
	OPENSSL_cleanse(line, sizeof(line));
	return rc;
}
