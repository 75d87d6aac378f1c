/* `current` has the sockets and is told changes; `next` is starting and follows it; `old` serve what they still have.
 */
#include "ingress/haproxy.h"

#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "ev/ev.h"
#include "ingress/command.h"
#include "ingress/sockets.h"
#include "ingress/workdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYS "ingress"
#define OLD_MAX 8
#define POLL_NS (10 * NS_PER_MS)
#define START_NS (10 * NS_PER_SEC) /* it takes some tens of milliseconds */
#define ANEW_NS (500 * NS_PER_MS)  /* between two; twice as long with each that follows at once, up to: */
#define ANEW_MAX_NS (5 * NS_PER_SEC)
#define STANDS_NS (200 * NS_PER_MS) /* until it is looked at again */
#define LIVED_NS (10 * NS_PER_SEC)
#define HANGS 3
#define LOG_KEEP_BYTES (10 << 20)

static const struct retry_policy haproxy_retry = { .first_ns = 250 * NS_PER_MS, .max_ns = 10 * NS_PER_SEC };

/* What an exit meets: it may be on its way while all else is freed. */
struct exits {
	pthread_mutex_t lock; /* covers `ended` and `status` of processes, and: */
	unsigned refs;
	bool stopping;
	void (*changed)(void *ctx);
	void *ctx;
};

struct process {
	struct exits *exits; /* a reference */
	struct child *child;
	int pid, status;
	bool ended;
	int64_t started_ns;
};

struct haproxy {
	struct env *env;
	struct ing_workdir work;
	char *log_file;
	const char *binary;
	struct exits *exits;

	/* Of the caller's tasks. */
	struct process *current, *next;
	int socket, next_socket; /* of current and of next (sockets.h) */
	VEC(struct process *) old;
	struct ing_state *serving, *starting; /* what current, and next, have read and were told */
	struct ing_state *wanted;	      /* NULL: that of next, or of current */
	int64_t anew_ns, anew_gap_ns;	      /* when it was last read anew, and how long the next has to wait */
	struct retry failed;
	int hangs;
	bool follows;	  /* next has somebody's sockets */
	size_t log_from;  /* what the newest one says begins there in the log */
	VEC(int) adopted; /* an earlier server's, until the first of ours has followed them */
};

struct ing_state *ing_state_new(void)
{
	return xcalloc(1, sizeof(struct ing_state));
}

struct ing_state *ing_state_free(struct ing_state *s)
{
	if (s) {
		arena_release(&s->arena);
		free(s);
	}
	return NULL;
}

/* --- processes of an earlier server --- */

static bool haproxy_is_ours(const char *pid, const char *config)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv cmd, program, word;
	bool ours = false;

	if (file_read(&a, arena_printf(&a, "/proc/%s/cmdline", pid), 1 << 16, &cmd, NULL) < 0 ||
	    !sv_split(&cmd, '\0', &program))
		return false;
	while (!ours && sv_split(&cmd, '\0', &word))
		ours = sv_is(word, config);
	return ours && sv_ends(program, SV("haproxy"));
}

/* Calls fn with each that runs. */
static void haproxy_find(const char *config, void (*fn)(int pid, void *ctx), void *ctx)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	int64_t pid;

	while (proc && (d = readdir(proc)))
		if (sv_to_i64(sv_from(d->d_name), &pid) && pid > 1 && haproxy_is_ours(d->d_name, config))
			fn((int)pid, ctx);
	if (proc)
		closedir(proc);
}

static void haproxy_adopt(int pid, void *ctx)
{
	struct haproxy *h = ctx;

	vec_push(&h->adopted, pid);
}

static void haproxy_kill_one(int pid, void *ctx)
{
	*(int *)ctx += kill(pid, SIGKILL) == 0;
}

int haproxy_cleanup(const char *data_dir)
{
	_cleanup_free_ char *config = xasprintf("%s/ingress/" ING_CONFIG, data_dir);
	int n = 0;

	haproxy_find(config, haproxy_kill_one, &n);
	return n;
}

/* --- one process --- */

static void exits_unref(struct exits *x)
{
	bool last;

	pthread_mutex_lock(&x->lock);
	last = --x->refs == 0;
	pthread_mutex_unlock(&x->lock);
	if (last) {
		pthread_mutex_destroy(&x->lock);
		free(x);
	}
}

static void haproxy_exited(int status, void *ctx)
{
	struct process *p = ctx;
	struct exits *x = p->exits;

	pthread_mutex_lock(&x->lock);
	p->ended = true;
	p->status = status;
	if (!x->stopping)
		x->changed(x->ctx);
	pthread_mutex_unlock(&x->lock);
}

static bool process_ended(const struct process *p)
{
	bool ended;

	pthread_mutex_lock(&p->exits->lock);
	ended = p->ended;
	pthread_mutex_unlock(&p->exits->lock);
	return ended;
}

/* Of one that has ended, as nobody else knows it then. */
static struct process *process_free(struct process *p)
{
	if (p) {
		(void)child_free(p->child);
		exits_unref(p->exits);
		free(p);
	}
	return NULL;
}

/* Of one that runs on. Its exit may be told this moment, so what that meets is left alone. */
static void process_let_go(struct process *p)
{
	if (process_ended(p))
		process_free(p);
	else
		(void)child_free(p->child);
}

static void haproxy_turn_log(struct haproxy *h)
{
	struct stat st;

	h->log_from = stat(h->log_file, &st) == 0 ? (size_t)st.st_size : 0;
	if (h->log_from > LOG_KEEP_BYTES) {
		_cleanup_free_ char *old = xasprintf("%s.1", h->log_file);

		(void)rename(h->log_file, old);
		h->log_from = 0;
	}
}

static int haproxy_spawn(struct haproxy *h, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const int *pids = haproxy_pids(h, &a);
	int from = h->current ? h->socket : *pids ? ing_socket_find(h->work.dir) : -1; /* -1: nobody has sockets */
	VEC(const char *) argv = VEC_INIT;
	_cleanup_close_ int log = -1;
	struct process *p;

	haproxy_turn_log(h);
	log = open(h->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (log < 0)
		return err_set_errno(err, errno, "opening '%s'", h->log_file);
	vec_push(&argv, h->binary);
	vec_push(&argv, "-db");
	vec_push(&argv, "-f");
	vec_push(&argv, h->work.config);
	h->next_socket = (from + 1) % ING_SOCKETS;
	vec_push(&argv, "-f");
	vec_push(&argv, ing_socket_config(h->next_socket));
	h->follows = *pids;
	if (*pids) {
		if (from >= 0) {
			vec_push(&argv, "-x");
			vec_push(&argv, ing_socket_name(from));
		}
		vec_push(&argv, "-sf");
		for (; *pids; pids++)
			vec_push(&argv, arena_printf(&a, "%d", *pids));
	}
	vec_push(&argv, NULL);
	p = xcalloc(1, sizeof(*p));
	p->exits = h->exits;
	p->started_ns = env_mono_ns(h->env);
	pthread_mutex_lock(&h->exits->lock); /* its end waits until it is known */
	h->exits->refs++;
	p->child = child_start(h->env,
			       &(struct child_opts){ .argv = argv.p,
						     .cwd = h->work.dir,
						     .stdin_fd = -1,
						     .stdout_fd = log,
						     .stderr_fd = log,
						     .new_session = true,
						     .class = ENV_NODE },
			       haproxy_exited, p, err);
	p->pid = p->child ? child_pid(p->child) : 0;
	pthread_mutex_unlock(&h->exits->lock);
	vec_release(&argv);
	if (!p->child) {
		process_free(p);
		return err_wrap(err, "starting haproxy");
	}
	h->next = p;
	return 0;
}

/* The first error that it told since it was started. */
static struct sv haproxy_last_words(struct haproxy *h, struct arena *a)
{
	struct sv text, line;

	if (file_read(a, h->log_file, 2 * LOG_KEEP_BYTES, &text, NULL) == 0) {
		text = sv_sub(text, h->log_from, text.n);
		while (sv_split(&text, '\n', &line))
			if (sv_find_sv(line, SV("[ALERT]")) >= 0)
				return line;
	}
	return arena_svf(a, "see %s", h->log_file);
}

/* --- one state after the other --- */

static void haproxy_reap_old(struct haproxy *h)
{
	for (size_t i = h->old.n; i-- > 0;)
		if (process_ended(h->old.p[i])) {
			process_free(h->old.p[i]);
			vec_remove(&h->old, i);
		}
	for (size_t i = 0; i + OLD_MAX < h->old.n; i++) {
		log_warn(SYS, "one that was followed still has connections, and there are too many: ended", "pid", "%d",
			 h->old.p[i]->pid);
		(void)child_kill(h->old.p[i]->child, SIGKILL);
	}
}

/* Who had it ended. It is what is to be served, unless something newer is. */
static void haproxy_want_again(struct haproxy *h, struct ing_state **state)
{
	if (!h->wanted && (state == &h->starting || !h->starting)) {
		h->wanted = *state;
		*state = NULL;
	}
	*state = ing_state_free(*state);
}

/* What ended by itself. -1: the one that served, and its pause is not over. */
static int haproxy_reap(struct haproxy *h, int64_t now, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	haproxy_reap_old(h);
	if (h->next && process_ended(h->next)) {
		h->next = process_free(h->next);
		haproxy_want_again(h, &h->starting);
		(void)retry_failed(&haproxy_retry, &h->failed, now);
		return err_set(err, ERR_UNAVAILABLE, "haproxy does not start: %.*s", SV_ARG(haproxy_last_words(h, &a)));
	}
	if (h->current && process_ended(h->current)) {
		/* One that has been followed may end before we have seen that. */
		if (!h->next) {
			log_warn(SYS, "haproxy ended, and is started anew", "status", "%d, see %s", h->current->status,
				 h->log_file);
			if (now - h->current->started_ns < LIVED_NS)
				(void)retry_failed(&haproxy_retry, &h->failed, now);
		}
		h->current = process_free(h->current);
		haproxy_want_again(h, &h->serving);
	}
	return 0;
}

static void haproxy_arrived(struct haproxy *h)
{
	log_info(SYS, h->follows ? "haproxy read its configuration anew" : "haproxy serves", "pid", "%d", h->next->pid);
	if (h->current)
		vec_push(&h->old, h->current);
	h->current = h->next;
	h->socket = h->next_socket;
	h->next = NULL;
	ing_socket_serves(h->work.dir, h->socket);
	ing_state_free(h->serving);
	h->serving = h->starting;
	h->starting = NULL;
	h->hangs = 0;
	vec_release(&h->adopted);
	retry_forget(&h->failed);
}

/* 1: it still starts; 0: it is there, or was given up. */
static int haproxy_wait(struct haproxy *h, int64_t now)
{
	if (!h->next)
		return 0;
	if (ing_socket_answers(h->work.dir, h->next_socket, h->next->pid, NULL)) {
		haproxy_arrived(h);
		return 0;
	}
	if (now - h->next->started_ns > START_NS)
		(void)child_kill(h->next->child, SIGKILL); /* and is reaped next time */
	return 1;
}

static int haproxy_send(struct haproxy *h, struct arena *a, const struct ing_steps *steps)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	uint64_t version = 0;

	for (size_t i = 0; i < steps->n; i++) {
		struct sv answer;

		if (ing_socket_ask(a, h->work.dir, h->socket, ing_step_text(a, &steps->p[i], version), &answer, &err) <
		    0) {
			if (!h->next) /* or it may be followed this moment, and listen no more */
				log_warn(SYS, "haproxy was not told a change, and is to read anew", "why", "%s",
					 err_msg(&err));
			return -1;
		}
		if (!ing_step_answered(&steps->p[i], answer, &version)) {
			log_warn(SYS, "haproxy did not take a command, and reads anew", "answer", "%.*s",
				 SV_ARG(sv_trim(answer)));
			return -1;
		}
	}
	if (steps->n)
		log_debug(SYS, "haproxy was told changes", "commands", "%zu", steps->n);
	return 0;
}

/* 0: told; -1: something it did not take. */
static int haproxy_tell(struct haproxy *h, const struct ing_conf *c)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct ing_steps steps;

	return ing_steps_between(&a, &h->serving->conf, c, &steps) ? haproxy_send(h, &a, &steps) : -1;
}

/* What is wanted has to be read, and not yet, or the one that serves is about to be followed. Endpoints do not wait for
 * that: one that is gone would be asked. */
static void haproxy_tell_endpoints(struct haproxy *h)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct ing_steps steps;

	if (!h->wanted || !h->serving || !h->current)
		return;
	ing_steps_endpoints(&a, &h->serving->conf, &h->wanted->conf, &steps);
	h->serving->ahead |= steps.n > 0;
	if (haproxy_send(h, &a, &steps) < 0)
		h->serving->conf.shape = SV(""); /* of no state: nothing more is told but by reading */
}

static bool conf_same(const struct ing_conf *x, const struct ing_conf *y)
{
	bool same = sv_eq(x->config, y->config) && ing_lists_same(x, y) && x->n_pems == y->n_pems;

	for (int i = 0; same && i < ING_MAPS; i++)
		same = sv_eq(x->maps[i], y->maps[i]);
	for (size_t i = 0; same && i < x->n_pems; i++)
		same = sv_eq(x->pems[i].pem, y->pems[i].pem);
	return same;
}

/* wanted is nobody's yet: it is written, and told or read. */
static int haproxy_serve_wanted(struct haproxy *h, int64_t now, int64_t *ret_after_ns, struct err *err)
{
	/* Also for one that is only told: what starts next, for whatever reason, reads the same. */
	if (!h->serving)
		ing_workdir_forget(&h->work);
	if (ing_workdir_write(&h->work, &h->wanted->conf, err) < 0) {
		*ret_after_ns = retry_failed(&haproxy_retry, &h->failed, now);
		return -1;
	}
	if (h->serving && haproxy_tell(h, &h->wanted->conf) == 0) {
		ing_state_free(h->serving);
		h->serving = h->wanted;
		h->wanted = NULL;
		return 0;
	}
	/* The next one takes the sockets from it, and cannot while it stands. What it was told it may have done in
	 * part. */
	if (h->current && !ing_socket_answers(h->work.dir, h->socket, h->current->pid, NULL)) {
		h->serving->conf.shape = SV("");
		h->serving->ahead = true;
		*ret_after_ns = STANDS_NS;
		return 0;
	}
	/* Each leaves an old one behind for as long as its connections live. */
	h->anew_gap_ns = now - h->anew_ns < 2 * h->anew_gap_ns ? MIN(2 * h->anew_gap_ns, ANEW_MAX_NS) : ANEW_NS;
	h->anew_ns = now;
	if (haproxy_spawn(h, err) < 0) {
		*ret_after_ns = retry_failed(&haproxy_retry, &h->failed, now);
		return -1;
	}
	h->starting = h->wanted;
	h->wanted = NULL;
	*ret_after_ns = POLL_NS;
	return 0;
}

int haproxy_apply(struct haproxy *h, struct ing_state *take, int64_t *ret_after_ns, struct err *err)
{
	int64_t now = env_mono_ns(h->env), left;

	*ret_after_ns = 0;
	if (take) {
		ing_state_free(h->wanted);
		h->wanted = take;
	}
	if (haproxy_reap(h, now, err) < 0) {
		*ret_after_ns = MAX(retry_left_ns(&haproxy_retry, &h->failed, h->failed.failed_ns, now), 1);
		return -1;
	}
	if (haproxy_wait(h, now)) {
		haproxy_tell_endpoints(h);
		*ret_after_ns = POLL_NS;
		return 0;
	}
	if (h->wanted && h->serving && !h->serving->ahead && conf_same(&h->serving->conf, &h->wanted->conf))
		h->wanted = ing_state_free(h->wanted);
	if (!h->wanted)
		return 0;
	left =
	    MAX(retry_left_ns(&haproxy_retry, &h->failed, h->failed.failed_ns, now),
		h->current && !sv_eq(h->serving->conf.shape, h->wanted->conf.shape) ? h->anew_ns + h->anew_gap_ns - now
										    : 0);
	if (left > 0) {
		haproxy_tell_endpoints(h);
		*ret_after_ns = left;
		return 0;
	}
	return haproxy_serve_wanted(h, now, ret_after_ns, err);
}

void haproxy_look(struct haproxy *h)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (!h->current || h->next || ing_socket_answers(h->work.dir, h->socket, h->current->pid, &err)) {
		h->hangs = 0;
		return;
	}
	if (++h->hangs < HANGS)
		return;
	log_warn(SYS, "haproxy does not answer, is ended and started anew", "pid", "%d: %s", h->current->pid,
		 err_msg(&err));
	(void)child_kill(h->current->child, SIGKILL);
	h->hangs = 0;
}

bool haproxy_runs(struct haproxy *h)
{
	return h->current && !process_ended(h->current);
}

const int *haproxy_pids(struct haproxy *h, struct arena *a)
{
	int *pids = ARENA_ARRAY(a, int, h->adopted.n + h->old.n + 3), n = 0;

	if (h->current)
		pids[n++] = h->current->pid;
	if (h->next)
		pids[n++] = h->next->pid;
	for (size_t i = 0; i < h->old.n; i++)
		pids[n++] = h->old.p[i]->pid;
	for (size_t i = 0; i < h->adopted.n; i++)
		pids[n++] = h->adopted.p[i];
	return pids;
}

static void haproxy_all_old(struct haproxy *h)
{
	if (h->next)
		vec_push(&h->old, h->next);
	if (h->current)
		vec_push(&h->old, h->current);
	h->next = h->current = NULL;
}

void haproxy_end(struct haproxy *h)
{
	haproxy_reap_old(h);
	if (h->next)
		(void)child_kill(h->next->child, SIGUSR1);
	if (h->current)
		(void)child_kill(h->current->child, SIGUSR1);
	haproxy_all_old(h);
	ing_workdir_drop_pems(&h->work, NULL);
	h->serving = ing_state_free(h->serving);
	h->starting = ing_state_free(h->starting);
	h->wanted = ing_state_free(h->wanted);
	for (size_t i = 0; i < h->adopted.n; i++)
		(void)kill(h->adopted.p[i], SIGUSR1);
	vec_release(&h->adopted);
}

/* --- life --- */

struct haproxy *haproxy_new(const struct haproxy_opts *o, struct err *err)
{
	struct haproxy *h = xcalloc(1, sizeof(*h));

	h->env = o->env;
	h->exits = xcalloc(1, sizeof(*h->exits));
	pthread_mutex_init(&h->exits->lock, NULL);
	h->exits->refs = 1;
	h->exits->changed = o->changed;
	h->exits->ctx = o->ctx;
	h->binary = file_is_program("/usr/sbin/haproxy") ? "/usr/sbin/haproxy" : "haproxy";
	if (!file_is_program(h->binary)) {
		(void)err_set(err, ERR_NOT_FOUND, "haproxy is not installed: apt-get install haproxy");
		return haproxy_free(h);
	}
	if (ing_workdir_open(&h->work, o->data_dir, env_now_ns(h->env), err) < 0)
		return haproxy_free(h);
	h->log_file = xasprintf("%s/log", h->work.dir);
	haproxy_find(h->work.config, haproxy_adopt, h);
	return h;
}

struct haproxy *haproxy_free(struct haproxy *h)
{
	if (!h)
		return NULL;
	pthread_mutex_lock(&h->exits->lock);
	h->exits->stopping = true;
	pthread_mutex_unlock(&h->exits->lock);
	haproxy_all_old(h);
	for (size_t i = 0; i < h->old.n; i++)
		process_let_go(h->old.p[i]);
	exits_unref(h->exits);
	vec_release(&h->old);
	vec_release(&h->adopted);
	ing_state_free(h->serving);
	ing_state_free(h->starting);
	ing_state_free(h->wanted);
	ing_workdir_release(&h->work);
	free(h->log_file);
	free(h);
	return NULL;
}
