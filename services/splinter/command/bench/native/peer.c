/* The other side of splinter bench for stores with a C interface: it loads the
 * library it is told, does what each line of the standard input asks and answers
 * with a line, so that a C library is timed without a call from Go in between.
 *
 *   peer lmdb LIBRARY FOLDER            peer libsplinter LIBRARY STORE SLOTS VALUEMAX [open]
 *   fill N SIZE       keys bench/0 .. bench/N-1
 *   set SIZE N | get SIZE N | miss 0 N  -> "ok NANOSECONDS SUCCEEDED"
 *   read SIZE MILLISECONDS | write SIZE MILLISECONDS -> the same; only whole reads count
 *   stamp GAP N       sets a key to the time, N times, GAP microseconds apart
 *   wait 0 N          sleeps until that key changes, N times -> "ok P50 P99" in nanoseconds
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char buffer[1 << 20], value[1 << 20];

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what) {
	printf("error %s: %s\n", what, dlerror() ? "library" : strerror(errno));
	exit(1);
}

static void *symbol(void *library, const char *name) {
	void *s = dlsym(library, name);
	if (!s) {
		printf("error the library has no %s\n", name);
		exit(1);
	}
	return s;
}

/* put and take return 1 when they succeeded. */
static int (*put)(const char *key, size_t size);
static int (*take)(const char *key);

/* libsplinter */
static int (*splinter_set)(const char *, const void *, size_t);
static int (*splinter_get)(const char *, void *, size_t, size_t *);

static int (*splinter_poll)(const char *, uint64_t);

static int splinter_put(const char *key, size_t size) { return splinter_set(key, value, size) == 0; }
static int splinter_take(const char *key) {
	size_t size;
	return splinter_get(key, buffer, sizeof buffer, &size) == 0;
}

static void splinter_begin(char **argv, int opened) {
	void *library = dlopen(argv[2], RTLD_NOW);
	if (!library) { printf("error %s\n", dlerror()); exit(1); }
	int (*create)(const char *, size_t, size_t) = symbol(library, "splinter_create");
	int (*open)(const char *) = symbol(library, "splinter_open");
	splinter_set = symbol(library, "splinter_set");
	splinter_get = symbol(library, "splinter_get");
	splinter_poll = symbol(library, "splinter_poll");
	if (opened ? open(argv[3]) : create(argv[3], strtoul(argv[4], 0, 10), strtoul(argv[5], 0, 10))) fail("open store");
	put = splinter_put;
	take = splinter_take;
}

/* LMDB: one transaction for each operation, as a bus has to do; nothing is synced. */
struct val { size_t size; void *data; };
static void *env, *reader;
static unsigned dbi;
static int (*txn_begin)(void *, void *, unsigned, void **), (*txn_commit)(void *), (*txn_renew)(void *);
static void (*txn_reset)(void *);
static int (*mdb_put)(void *, unsigned, struct val *, struct val *, unsigned), (*mdb_get)(void *, unsigned, struct val *, struct val *);

static int lmdb_put(const char *key, size_t size) {
	void *txn;
	struct val k = {strlen(key), (void *)key}, v = {size, value};
	if (txn_begin(env, 0, 0, &txn)) return 0;
	int bad = mdb_put(txn, dbi, &k, &v, 0);
	return !txn_commit(txn) && !bad;
}

static int lmdb_take(const char *key) {
	struct val k = {strlen(key), (void *)key}, v;
	if (txn_renew(reader)) return 0;
	int bad = mdb_get(reader, dbi, &k, &v);
	if (!bad) memcpy(buffer, v.data, v.size);
	txn_reset(reader);
	return !bad;
}

static void lmdb_begin(char **argv) {
	void *library = dlopen(argv[2], RTLD_NOW), *txn;
	if (!library) { printf("error %s\n", dlerror()); exit(1); }
	int (*env_create)(void **) = symbol(library, "mdb_env_create");
	int (*set_mapsize)(void *, size_t) = symbol(library, "mdb_env_set_mapsize");
	int (*env_open)(void *, const char *, unsigned, unsigned) = symbol(library, "mdb_env_open");
	int (*dbi_open)(void *, const char *, unsigned, unsigned *) = symbol(library, "mdb_dbi_open");
	txn_begin = symbol(library, "mdb_txn_begin");
	txn_commit = symbol(library, "mdb_txn_commit");
	txn_renew = symbol(library, "mdb_txn_renew");
	txn_reset = symbol(library, "mdb_txn_reset");
	mdb_put = symbol(library, "mdb_put");
	mdb_get = symbol(library, "mdb_get");
	/* MDB_NOSYNC 0x10000 | MDB_WRITEMAP 0x80000; MDB_RDONLY 0x20000 */
	if (env_create(&env) || set_mapsize(env, 256u << 20) || env_open(env, argv[3], 0x90000, 0600)) fail("open lmdb");
	if (txn_begin(env, 0, 0, &txn) || dbi_open(txn, 0, 0, &dbi) || txn_commit(txn)) fail("open lmdb database");
	if (txn_begin(env, 0, 0x20000, &reader)) fail("begin reading");
	txn_reset(reader);
	put = lmdb_put;
	take = lmdb_take;
}

static void stamp(unsigned long gap, unsigned long n) {
	for (unsigned long i = 0; i < n; i++) {
		struct timespec t = {gap / 1000000, gap % 1000000 * 1000 + rand() % 1000000};
		nanosleep(&t, 0);
		uint64_t at = now();
		splinter_set("bench/stamp", &at, sizeof at);
	}
}

static int larger(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void wait_stamps(unsigned long n) {
	uint64_t *took = calloc(n, sizeof *took), at;
	size_t size;
	for (unsigned long i = 0; i < n;) {
		if (splinter_poll("bench/stamp", 1000)) continue;
		uint64_t woke = now();
		if (splinter_get("bench/stamp", &at, sizeof at, &size) == 0) took[i++] = woke - at;
	}
	qsort(took, n, sizeof *took, larger);
	printf("ok %llu %llu\n", (unsigned long long)took[n / 2], (unsigned long long)took[n * 99 / 100]);
	free(took);
}

int main(int argc, char **argv) {
	setvbuf(stdout, 0, _IOLBF, 0);
	if (argc >= 4 && !strcmp(argv[1], "lmdb")) lmdb_begin(argv);
	else if (argc >= 6 && !strcmp(argv[1], "libsplinter")) splinter_begin(argv, argc > 6);
	else return 2;
	memset(value, 'v', sizeof value);
	puts("ok 0 0");
	char line[200], op[20], key[64];
	unsigned long a, n;
	while (fgets(line, sizeof line, stdin) && sscanf(line, "%19s %lu %lu", op, &a, &n) == 3) {
		if (a > sizeof value) a = sizeof value;
		snprintf(key, sizeof key, "bench/%lu", a);
		if (!strcmp(op, "wait")) {
			wait_stamps(n);
			continue;
		}
		unsigned long good = 0;
		uint64_t begin = now();
		if (!strcmp(op, "fill"))
			for (unsigned long i = 0; i < a; i++) {
				snprintf(key, sizeof key, "bench/%lu", i);
				good += put(key, n);
			}
		else if (!strcmp(op, "set"))
			for (unsigned long i = 0; i < n; i++) good += put(key, a);
		else if (!strcmp(op, "get"))
			for (unsigned long i = 0; i < n; i++) good += take(key);
		else if (!strcmp(op, "miss"))
			for (unsigned long i = 0; i < n; i++) good += !take("bench/none");
		else if (!strcmp(op, "read"))
			while (now() - begin < n * 1000000u)
				for (int i = 0; i < 100; i++) good += take(key);
		else if (!strcmp(op, "write"))
			while (now() - begin < n * 1000000u)
				for (int i = 0; i < 100; i++) good += put(key, a);
		else if (!strcmp(op, "stamp"))
			stamp(a, n);
		printf("ok %llu %lu\n", (unsigned long long)(now() - begin), good);
	}
	return 0;
}
