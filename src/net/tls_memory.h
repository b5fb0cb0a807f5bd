/* SPDX-License-Identifier: MIT */
/* OpenSSL's record buffers, kept for the next connection that wants one. */
#ifndef VOXBUS_NET_TLS_MEMORY_H
#define VOXBUS_NET_TLS_MEMORY_H

/*
 * From now on a few blocks of the size of record buffers are not given back to the heap, those that this
 * thread frees. Before anything of OpenSSL is used, on the loop's thread; later it changes nothing.
 */
void tls_memory_init(void);

#endif
