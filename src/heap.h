/* SPDX-License-Identifier: MIT */
/* jemalloc, the daemon's heap (docs/decisions/0022). */
#ifndef VOXBUS_HEAP_H
#define VOXBUS_HEAP_H

/*
 * From now on a thread gives back what is free, also when we are idle. Once the journal is open: reading
 * it frees much, and until then whoever allocates gives back, at once. With another heap nothing happens.
 */
void heap_give_back(void);

#endif
