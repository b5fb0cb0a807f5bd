/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where there is one. */
#ifndef VOXBUS_JOURNAL_CRC32C_H
#define VOXBUS_JOURNAL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from crc (0 at the start): crc32c(crc32c(0, a), b) is that of a and b together. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same by tables alone: what runs where the instruction is missing, and what tests compare. */
uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

#endif
