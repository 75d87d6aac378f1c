/* kill -9 at any instruction loses nothing that was answered.
 *
 * Each round a child of this program writes to the store with many commits in flight and tells
 * each answer through a pipe; after a random number of answers it is killed. Then the store is
 * opened here and looked at: every answered write is in the history with the bytes it was made
 * of, no version is torn, revisions have no gap, the newest versions are what the history says.
 * Everything random comes from one seed per round, except where exactly the kill strikes. */
#include "store_kit.h"

#include "store/disk/crc32c.h"

#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 20
#define KEYS 300
#define IN_FLIGHT 64

/* One answer. Smaller than PIPE_BUF: written in one piece or not at all. */
struct ledger_entry {
	int64_t rev;
	uint32_t key, crc; /* crc of the value; 0: a tombstone */
};

static uint32_t next_random(uint64_t *rng)
{
	*rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*rng >> 33);
}

/* The value says how long it is and carries its own checksum at the end. */
static size_t make_value(uint64_t *rng, char value[4096])
{
	uint32_t n = 16 + next_random(rng) % 3000, crc;

	memcpy(value, &n, 4);
	for (uint32_t i = 4; i < n - 4; i++)
		value[i] = (char)next_random(rng);
	crc = crc32c(0, value, n - 4);
	memcpy(value + n - 4, &crc, 4);
	return n;
}

static bool value_sound(struct sv v)
{
	uint32_t n, crc;

	if (v.n < 16)
		return false;
	memcpy(&n, v.p, 4);
	memcpy(&crc, v.p + v.n - 4, 4);
	return n == v.n && crc == crc32c(0, v.p, v.n - 4);
}

static struct store *open_store(const char *dir)
{
	struct err err = ERR_INIT;
	struct store *s = store_disk_open(&thread_env, dir, (size_t)1 << 30, &err);

	if (!s) {
		fprintf(stderr, "open: %s\n", err_msg(&err));
		abort();
	}
	return s;
}

/* The child: never returns. */
struct child_op {
	struct store *s;
	uint64_t *rng;
	int fd;
	struct ledger_entry e;
};

static void child_next(struct child_op *op);

static void child_done(const struct store_result *r, void *ctx)
{
	struct child_op *op = ctx;

	BUG_ON(r->outcome == STORE_FAILED);
	if (r->outcome == STORE_OK) {
		struct ledger_entry e = { r->rev, op->e.key, op->e.crc };

		op->e = e;
		BUG_ON(write(op->fd, &e, sizeof(e)) != sizeof(e));
	}
	child_next(op);
}

static void child_next(struct child_op *op)
{
	char key[32], value[4096];
	struct store_write w = { .expect_rev = STORE_ANY_REV, .tombstone = next_random(op->rng) % 8 == 0 };

	op->e.key = next_random(op->rng) % KEYS;
	w.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "key-%03u", op->e.key));
	w.value = sv_make(value, make_value(op->rng, value));
	op->e.crc = w.tombstone ? 0 : crc32c(0, w.value.p, w.value.n);
	store_commit(op->s, &w, child_done, op);
}

static _noreturn_ void child_main(const char *dir, uint64_t seed, int fd)
{
	struct child_op op[IN_FLIGHT];
	struct store *s = open_store(dir);

	/* The store's thread alone uses rng once these are under way, and it starts with them. */
	for (int i = 0; i < IN_FLIGHT; i++) {
		op[i] = (struct child_op){ .s = s, .rng = xmalloc(sizeof(uint64_t)), .fd = fd };
		*op[i].rng = seed * 1000 + (uint64_t)i;
		child_next(&op[i]);
	}
	for (uint64_t n = 0;; n++) {
		int64_t rev = now_rev(s);

		/* Compaction gets in the way of the kill, too; the last rounds stay readable. */
		if (rev > 20000)
			store_compact(s, rev - 20000 + (int64_t)(n % 2), NULL);
		else
			usleep(1000);
	}
}

/* What the parent knows. */
struct history {
	VEC(struct ledger_entry) log; /* log.p[i] is revision i + 2 */
};

struct checker {
	struct seen seen;
	struct history *h;
};

static void checker_change(const struct store_change *c, void *ctx)
{
	struct checker *k = ctx;
	struct ledger_entry e = { .rev = c->kv.mod_rev };

	assert_int_equal(c->kv.mod_rev, 2 + (int64_t)k->h->log.n); /* no gap */
	assert_true(c->kv.deleted ? c->kv.value.n == 0 : value_sound(c->kv.value));
	assert_int_equal(sscanf(c->kv.key.p, "key-%3u", &e.key), 1);
	e.crc = c->kv.deleted ? 0 : crc32c(0, c->kv.value.p, c->kv.value.n);
	vec_push(&k->h->log, e);
}

static void checker_progress(int64_t rev, void *ctx)
{
	seen_progress(rev, &((struct checker *)ctx)->seen);
}

struct newest {
	const struct history *h;
	struct ledger_entry want[KEYS];
	size_t n;
};

static int check_newest(const struct store_kv *kv, void *ctx)
{
	struct newest *n = ctx;
	unsigned key;

	assert_null(kv->why);
	assert_int_equal(sscanf(kv->key.p, "key-%3u", &key), 1);
	assert_true(key < KEYS);
	assert_int_equal(kv->mod_rev, n->want[key].rev);
	assert_int_equal(crc32c(0, kv->value.p, kv->value.n), n->want[key].crc);
	n->n++;
	return 0;
}

static void check_store(const char *dir, struct history *h, const struct ledger_entry *acked, size_t n_acked)
{
	static const struct store_watch_cb cb = { .change = checker_change, .progress = checker_progress };
	struct checker k = { .h = h };
	struct newest now = { .h = h };
	struct store *s = open_store(dir);
	struct store_stats st;
	size_t live = 0;

	store_stats(s, &st);
	seen_init(&k.seen);
	if (st.rev > (int64_t)h->log.n + 1) {
		assert_int_equal(
		    store_watch(s, SV("key-"), SV("key."), (int64_t)h->log.n + 1, &cb, &k, &k.seen.w, NULL), 0);
		seen_wait_progress(&k.seen, st.rev);
		store_unwatch(s, k.seen.w);
	}
	seen_release(&k.seen);
	assert_int_equal(st.rev, (int64_t)h->log.n + 1); /* nor less than was there before */
	for (size_t i = 0; i < n_acked; i++) {
		assert_true(acked[i].rev <= st.rev);
		assert_memory_equal(&h->log.p[acked[i].rev - 2], &acked[i], sizeof(acked[i]));
	}
	for (size_t i = 0; i < h->log.n; i++)
		now.want[h->log.p[i].key] = h->log.p[i];
	for (size_t i = 0; i < h->log.n; i++)
		h->log.p[i].rev = (int64_t)i + 2;
	for (size_t i = 0; i < KEYS; i++)
		live += now.want[i].crc != 0;
	assert_int_equal(store_range(s, SV("key-"), SV("key."), 0, 0, check_newest, &now, NULL, NULL), 0);
	assert_int_equal(now.n, live);
	assert_int_equal(st.keys, live);
	store_close(s);
}

static void test_crash(void **state)
{
	char dir[64], seed[16], fd[16];
	struct history h = { VEC_INIT };
	uint64_t rng = 42;
	size_t total = 0;

	(void)state;
	kit_mkdir(dir);
	for (int round = 0; round < ROUNDS; round++) {
		VEC(struct ledger_entry) acked = VEC_INIT;
		size_t enough = round % 4 == 0 ? next_random(&rng) % 50 : next_random(&rng) % 5000;
		struct ledger_entry e;
		int pipefd[2], status;
		pid_t pid;

		assert_int_equal(pipe(pipefd), 0);
		snprintf(seed, sizeof(seed), "%d", round);
		snprintf(fd, sizeof(fd), "%d", pipefd[1]);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(pipefd[0]);
			execl("/proc/self/exe", "store_crash", "child", dir, seed, fd, NULL);
			_exit(127);
		}
		close(pipefd[1]);
		while (acked.n < enough && read(pipefd[0], &e, sizeof(e)) == sizeof(e))
			vec_push(&acked, e);
		kill(pid, SIGKILL);
		/* Answers that were on their way count as well. */
		while (read(pipefd[0], &e, sizeof(e)) == sizeof(e))
			vec_push(&acked, e);
		close(pipefd[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_true(acked.n >= enough);
		check_store(dir, &h, acked.p, acked.n);
		total += acked.n;
		vec_release(&acked);
	}
	assert_true(h.log.n >= total); /* what was not answered may be there, or not */
	vec_release(&h.log);
	kit_rmdir(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_crash) };

	if (argc == 5 && strcmp(argv[1], "child") == 0)
		child_main(argv[2], (uint64_t)atoi(argv[3]), atoi(argv[4]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
