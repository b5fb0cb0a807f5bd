/* SPDX-License-Identifier: MIT */
/*
 * The table of leases in its mapped file.
 *
 * A slot becomes valid, changes and becomes free by one store of eight bytes (`said`: state,
 * returns, checksum), so that a kill at any moment leaves either what was or what is. A power cut
 * may leave half a slot, an old one, or one message in two: the checksum, the journal and join()
 * see to these. The file has its blocks before it is mapped: a full disk is an error at the
 * start and never a SIGBUS.
 *
 * Beside the file, in memory, `next` chains each slot to the free ones or to those left behind
 * in its bucket; one that somebody holds is in neither.
 */
#include "core/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/crc32c.h"

enum { HEADER_BYTES = 4096, VERSION = 1, RETURNS_MAX = 255 };

static const char magic[8] = { 'v', 'o', 'x', 'b', 'u', 's', 'L', '\n' };

struct lease_header {
	char magic[8];
	uint32_t version;
	uint32_t slots;
};

struct lease_slot {
	struct lease_key key;
	uint64_t said; /* state, returns << 8, CRC of all else << 32; 0: free */
};

_Static_assert(sizeof(struct lease_slot) == 32, "the file's format");

enum { FILE_BYTES = HEADER_BYTES + LEASES_MAX * (int)sizeof(struct lease_slot) };

struct leases {
	char *map;
	uint32_t *next;    /* by id: in its chain; 0 = the last */
	uint32_t *buckets; /* those left behind, by bucket_of */
	uint32_t free;     /* a chain */
	struct leases_stats stats;
};

static struct lease_slot *slot_of(const struct leases *l, uint32_t id)
{
	return (struct lease_slot *)(l->map + HEADER_BYTES) + (id - 1);
}

/* FNV-1a: the same in each run, which str_hash is not. */
uint64_t lease_stream(struct str name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static uint64_t say(const struct lease_key *key, enum lease_state state, unsigned returns)
{
	uint32_t low = (uint32_t)state | (returns < RETURNS_MAX ? returns : RETURNS_MAX) << 8;
	uint32_t crc = crc32c(crc32c(0, key, sizeof(*key)), &low, sizeof(low));

	return (uint64_t)crc << 32 | low;
}

static enum lease_state state_of(const struct lease_slot *slot)
{
	return (enum lease_state)(slot->said & 0xff);
}

static unsigned returns_of(const struct lease_slot *slot)
{
	return slot->said >> 8 & 0xff;
}

static bool is_valid(const struct lease_slot *slot)
{
	enum lease_state state = state_of(slot);

	return (state == LEASE_HELD || state == LEASE_SETTLED) &&
	       slot->said == say(&slot->key, state, returns_of(slot));
}

/* Behind all stores to the key, as far as the compiler has a say. */
static void store(struct lease_slot *slot, uint64_t said)
{
	__atomic_store_n(&slot->said, said, __ATOMIC_RELEASE);
}

static void chain_push(struct leases *l, uint32_t *chain, uint32_t id)
{
	l->next[id] = *chain;
	*chain = id;
}

static uint32_t *bucket_of(const struct leases *l, const struct lease_key *key)
{
	uint64_t h = (key->stream ^ key->seq) * UINT64_C(0x9e3779b97f4a7c15);

	return &l->buckets[(h >> 32) % LEASES_MAX];
}

/* The link to the one left behind of that message, or to the end of its chain. */
static uint32_t *find_left(struct leases *l, const struct lease_key *key)
{
	uint32_t *at = bucket_of(l, key);

	for (; *at; at = &l->next[*at]) {
		const struct lease_key *left = &slot_of(l, *at)->key;

		if (left->stream == key->stream && left->seq == key->seq)
			break;
	}
	return at;
}

static void set_free(struct leases *l, uint32_t id)
{
	store(slot_of(l, id), 0);
	chain_push(l, &l->free, id);
}

/* Two of one number, as a power cut may leave them: the later says more. */
static bool says_more(const struct lease_slot *a, const struct lease_slot *b)
{
	if (a->key.wall_ns != b->key.wall_ns)
		return a->key.wall_ns > b->key.wall_ns;
	if (state_of(a) != state_of(b))
		return state_of(a) == LEASE_SETTLED;
	return returns_of(a) > returns_of(b);
}

static void join(struct leases *l, uint32_t id)
{
	uint32_t *at = find_left(l, &slot_of(l, id)->key), other = *at;

	if (other && !says_more(slot_of(l, id), slot_of(l, other))) {
		set_free(l, id);
		return;
	}
	if (other) {
		*at = l->next[other];
		set_free(l, other);
	} else {
		l->stats.used++;
		l->stats.left++;
	}
	chain_push(l, bucket_of(l, &slot_of(l, id)->key), id);
}

/* The lowest are free first: few pages are ever touched. */
static void load(struct leases *l)
{
	for (uint32_t id = LEASES_MAX; id > 0; id--)
		if (is_valid(slot_of(l, id)))
			join(l, id);
		else
			set_free(l, id);
}

static bool is_ours(const struct lease_header *h)
{
	return memcmp(h->magic, magic, sizeof(magic)) == 0 && h->version == VERSION &&
	       h->slots == LEASES_MAX;
}

/* Whether the file holds leases; a file of something else is emptied. */
static int look(int fd, const char *path, const struct log *log, bool *ret)
{
	struct lease_header h = { .version = 0 };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = st.st_size == FILE_BYTES && pread(fd, &h, sizeof(h), 0) == sizeof(h) && is_ours(&h);
	if (*ret || st.st_size == 0)
		return 0;
	log_warn(log, "no lease file", "file=%s bytes=%lld then=%s", path, (long long)st.st_size,
		 "replaced; what was under way when voxbusd ended comes again unmarked");
	return ftruncate(fd, 0) < 0 ? -errno : 0;
}

/* All blocks are there afterwards, also of a copy that was made with holes. */
static int prepare(int fd, const char *path, const struct log *log)
{
	struct lease_header h = { .version = VERSION, .slots = LEASES_MAX };
	bool good = false;
	int rc = look(fd, path, log, &good);

	if (rc == 0)
		rc = -posix_fallocate(fd, 0, FILE_BYTES);
	if (rc < 0 || good)
		return rc;
	memcpy(h.magic, magic, sizeof(magic));
	return pwrite(fd, &h, sizeof(h), 0) == sizeof(h) ? 0 : -errno;
}

static int map_file(struct leases *l, int fd)
{
	void *map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	l->map = map;
	l->stats.locked = mlock(map, FILE_BYTES) == 0;
	return 0;
}

int leases_open(const char *path, const struct log *log, struct leases **ret, struct err *e)
{
	struct leases *l = calloc(1, sizeof(*l));
	int fd = -1, rc = -ENOMEM;

	if (!l)
		return err_set(e, rc, "leases %s: no memory", path);
	l->next = calloc(LEASES_MAX + 1, sizeof(*l->next));
	l->buckets = calloc(LEASES_MAX, sizeof(*l->buckets));
	if (!l->next || !l->buckets)
		goto fail;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : prepare(fd, path, log);
	if (rc == 0)
		rc = map_file(l, fd);
	if (fd >= 0)
		(void)close(fd);
	if (rc < 0)
		goto fail;
	load(l);
	*ret = l;
	return 0;

fail:
	(void)leases_close(l);
	return err_set(e, rc, "leases %s can't be kept: %s", path, strerror(-rc));
}

struct leases *leases_close(struct leases *l)
{
	if (!l)
		return NULL;
	if (l->map)
		(void)munmap(l->map, FILE_BYTES);
	free(l->next);
	free(l->buckets);
	free(l);
	return NULL;
}

uint32_t lease_take(struct leases *l, const struct lease_key *key, unsigned returns)
{
	uint32_t id = l->free;

	if (!id) {
		l->stats.refused++;
		return 0;
	}
	l->free = l->next[id];
	l->stats.used++;
	slot_of(l, id)->key = *key;
	store(slot_of(l, id), say(key, LEASE_HELD, returns));
	return id;
}

uint32_t lease_recall(struct leases *l, const struct lease_key *key, enum lease_state *ret,
		      unsigned *ret_returns)
{
	uint32_t *at, id;

	if (!l->stats.left)
		return 0;
	at = find_left(l, key);
	id = *at;
	if (!id)
		return 0;
	*at = l->next[id];
	l->stats.left--;
	if (slot_of(l, id)->key.wall_ns != key->wall_ns) {
		lease_free(l, id); /* of a message that a power cut took */
		return 0;
	}
	*ret = state_of(slot_of(l, id));
	*ret_returns = returns_of(slot_of(l, id));
	return id;
}

void lease_hold(struct leases *l, uint32_t id, unsigned returns)
{
	store(slot_of(l, id), say(&slot_of(l, id)->key, LEASE_HELD, returns));
}

void lease_settle(struct leases *l, uint32_t id)
{
	struct lease_slot *slot = slot_of(l, id);

	store(slot, say(&slot->key, LEASE_SETTLED, returns_of(slot)));
}

void lease_free(struct leases *l, uint32_t id)
{
	set_free(l, id);
	l->stats.used--;
}

void lease_leave(struct leases *l, uint32_t id)
{
	l->stats.used--;
	join(l, id);
}

uint64_t lease_seq(const struct leases *l, uint32_t id)
{
	return slot_of(l, id)->key.seq;
}

void leases_sweep(struct leases *l, bool (*is_wanted)(void *arg, const struct lease_key *key),
		  void *arg)
{
	for (size_t i = 0; i < LEASES_MAX && l->stats.left; i++)
		for (uint32_t *at = &l->buckets[i]; *at;) {
			uint32_t id = *at;

			if (is_wanted(arg, &slot_of(l, id)->key)) {
				at = &l->next[id];
				continue;
			}
			*at = l->next[id];
			l->stats.left--;
			lease_free(l, id);
		}
}

void leases_stats(const struct leases *l, struct leases_stats *ret)
{
	*ret = l->stats;
}
