#include "cli/etcd_member.h"

#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/said.h"
#include "base/vec.h"
#include "cli/agent.h"
#include "ev/ev.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYS "etcd"
#define PROGRAM "etcd"
#define TEXT_MAX ((size_t)64 << 10)
#define LOG_KEEP_BYTES (10 << 20)
#define LIFE_NS (3650 * INT64_C(86400) * NS_PER_SEC)
#define STOP_NS (10 * NS_PER_SEC) /* then it is killed: what it has answered is in its log */
#define LIVED_NS (60 * NS_PER_SEC)
#define LAST_BYTES ((size_t)16 << 10) /* of its log, looked at when it ends */
#define REMOVED "permanently removed from the cluster"
#define LINE_MAX_BYTES ((size_t)400) /* of what it said, in a line of ours */

/* A server that has crashed and begins anew finds the old one ending. */
static const struct retry_policy member_retry = { .first_ns = 500 * NS_PER_MS, .max_ns = 15 * NS_PER_SEC };

struct etcd_member {
	struct env *env;
	char *dir, *log_file;
	void (*removed_fn)(void *ctx);
	void *removed_ctx;
	struct arena arena; /* of its arguments */
	VEC(const char *) argv;

	pthread_mutex_t lock; /* guards these */
	pthread_cond_t quiet;
	struct child *child; /* NULL: it does not run */
	struct env_timer *timer;
	int64_t started_ns;
	off_t log_at; /* where its log began when it was started */
	uint64_t failures;
	bool stopping, armed; /* armed: the timer, or what it runs */
	bool guard_ran;
};

/* --- who it is --- */

int etcd_member_check(struct err *err)
{
	return file_is_program(PROGRAM)
		   ? 0
		   : err_set(err, ERR_NOT_FOUND,
			     "there is no program '" PROGRAM "' in PATH, which a cluster of several servers keeps its "
			     "objects with: apt-get install etcd-server etcd-client (and systemctl disable --now etcd, "
			     "which would "
			     "have its ports)");
}

int etcd_member_can_listen(const struct etcd_member_opts *o, struct err *err)
{
	for (int port = o->port; port <= o->port + 1; port++) {
		struct err why = ERR_INIT;

		if (host_can_listen(o->address, port, &why)) {
			err_release(&why);
			continue;
		}
		if (why.errnum == EADDRINUSE)
			err_set(
			    err, ERR_ALREADY_EXISTS,
			    "something listens at %s port %d already, where this server's etcd is to: another server "
			    "of this machine? End it, or take another --etcd-port",
			    o->address, port);
		else if (why.errnum == EADDRNOTAVAIL)
			err_set(
			    err, ERR_INVALID,
			    "%s is no address of this machine: --advertise-address takes the one at which the other "
			    "servers reach it",
			    o->address);
		else
			err_move(err, &why);
		err_release(&why);
		return -1;
	}
	return 0;
}

bool etcd_member_there(const char *data_dir)
{
	_cleanup_free_ char *path = xasprintf("%s/etcd/data/member", data_dir);

	return access(path, F_OK) == 0;
}

static const char *member_url(struct arena *a, const char *host, int port)
{
	return arena_printf(a, strchr(host, ':') ? "https://[%s]:%d" : "https://%s:%d", host, port);
}

/* What --initial-cluster takes apart is not in it. */
static const char *member_new_name(struct arena *a, struct env *env)
{
	char host[64] = "server";

	(void)gethostname(host, sizeof(host) - 1);
	for (char *c = host; *c; c++)
		if (*c == ',' || *c == '=')
			*c = '-';
	return arena_printf(a, "%s-%08x", host, (unsigned)env_random_u64(env));
}

int etcd_member_identify(struct arena *a, const struct etcd_member_opts *o, struct etcd_member_id *ret, struct err *err)
{
	const char *dir = arena_printf(a, "%s/etcd", o->data_dir), *path = arena_printf(a, "%s/name", dir);
	struct err why = ERR_INIT;
	struct sv text = SV("");

	if (dir_make(dir, 0700, err) < 0)
		return -1;
	if (file_read(a, path, TEXT_MAX, &text, &why) < 0 && why.errnum != ENOENT)
		return err_move(err, &why);
	err_release(&why);
	ret->name = arena_cstr(a, sv_trim(text));
	if (!*ret->name) {
		ret->name = member_new_name(a, o->env);
		if (file_write(path, sv_from(ret->name), 0600, err) < 0)
			return -1;
	}
	ret->peer = member_url(a, o->address, o->port + 1);
	ret->client = member_url(a, o->address, o->port);
	return 0;
}

/* --- its certificate and arguments --- */

static int member_cert(const struct etcd_member_opts *o, const struct etcd_member_id *id, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *dir = arena_printf(&a, "%s/etcd", o->data_dir);
	const char *names[] = { "localhost", NULL }, *addrs[] = { "127.0.0.1", "::1", o->address, NULL };
	const struct cert_opts c = { .common_name = id->name,
				     .dns_names = names,
				     .ip_addrs = addrs,
				     .server = true,
				     .client = true,
				     .not_after_ns = MAX(env_now_ns(o->env), CLOCK_FLOOR_NS) + LIFE_NS };
	struct sv ca, ca_key, cert, key;

	if (file_read(&a, arena_printf(&a, "%s/pki/etcd-ca.crt", o->data_dir), TEXT_MAX, &ca, err) < 0 ||
	    file_read(&a, arena_printf(&a, "%s/pki/etcd-ca.key", o->data_dir), TEXT_MAX, &ca_key, err) < 0 ||
	    cert_make(&a, &c, ca, ca_key, &cert, &key, err) < 0)
		return err_wrap(err, "the certificate of this server's etcd");
	return file_write_several((const struct file_out[]){ { arena_printf(&a, "%s/member.key", dir), key, 0600 },
							     { arena_printf(&a, "%s/member.crt", dir), cert, 0600 } },
				  2, err);
}

static void member_arg(struct etcd_member *m, const char *name, const char *value)
{
	vec_push(&m->argv, arena_strdup(&m->arena, name));
	vec_push(&m->argv, arena_strdup(&m->arena, value));
}

static void member_args(struct etcd_member *m, const struct etcd_member_opts *o, const struct etcd_member_id *id,
			const char *cluster)
{
	struct arena *a = &m->arena;
	const char *own = member_url(a, "127.0.0.1", o->port);
	const char *ca = arena_printf(a, "%s/pki/etcd-ca.crt", o->data_dir);
	const char *cert = arena_printf(a, "%s/member.crt", m->dir), *key = arena_printf(a, "%s/member.key", m->dir);

	vec_push(&m->argv, PROGRAM);
	member_arg(m, "--name", id->name);
	member_arg(m, "--data-dir", arena_printf(a, "%s/%s", m->dir, o->into ? o->into : "data"));
	if (o->into)
		vec_push(&m->argv, "--unsafe-no-fsync");
	if (o->alone)
		vec_push(&m->argv, "--force-new-cluster");
	member_arg(m, "--listen-client-urls",
		   strcmp(own, id->client) == 0 ? own : arena_printf(a, "%s,%s", own, id->client));
	member_arg(m, "--advertise-client-urls", id->client);
	member_arg(m, "--listen-peer-urls", id->peer);
	member_arg(m, "--initial-advertise-peer-urls", id->peer);
	member_arg(m, "--initial-cluster", cluster ? cluster : arena_printf(a, "%s=%s", id->name, id->peer));
	member_arg(m, "--initial-cluster-state", cluster ? "existing" : "new");
	member_arg(m, "--initial-cluster-token", "caravel");
	member_arg(m, "--cert-file", cert);
	member_arg(m, "--key-file", key);
	member_arg(m, "--trusted-ca-file", ca);
	vec_push(&m->argv, "--client-cert-auth");
	member_arg(m, "--peer-cert-file", cert);
	member_arg(m, "--peer-key-file", key);
	member_arg(m, "--peer-trusted-ca-file", ca);
	vec_push(&m->argv, "--peer-client-cert-auth");
	/* Slow disks and busy machines elect no leader anew for that; a dead one is missed for two seconds. */
	member_arg(m, "--heartbeat-interval", "200");
	member_arg(m, "--election-timeout", "2000");
	/* What a write may be (store.h). */
	member_arg(m, "--max-txn-ops", "10000");
	member_arg(m, "--max-request-bytes", "8000000");
	member_arg(m, "--quota-backend-bytes", "8589934592");
	vec_push(&m->argv, NULL);
}

/* --- the process --- */

static void member_spawn_locked(struct etcd_member *m);

static void member_fired(void *ctx)
{
	struct etcd_member *m = ctx;

	pthread_mutex_lock(&m->lock);
	m->timer = env_timer_cancel(m->env, m->timer);
	m->armed = false;
	if (!m->stopping)
		member_spawn_locked(m);
	pthread_cond_broadcast(&m->quiet);
	pthread_mutex_unlock(&m->lock);
}

static void member_later_locked(struct etcd_member *m)
{
	int64_t pause = retry_pause_ns(&member_retry, ++m->failures);

	m->armed = true;
	m->timer = env_after(m->env, ENV_SLOW, pause, member_fired, m);
}

/* The end of what it wrote since it was started. */
static struct sv member_last(struct etcd_member *m, struct arena *a)
{
	_cleanup_close_ int fd = open(m->log_file, O_RDONLY | O_CLOEXEC);
	char *text = arena_alloc(a, LAST_BYTES);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return SV("");
	n = pread(fd, text, LAST_BYTES, MAX(m->log_at, st.st_size - (off_t)LAST_BYTES));
	return sv_make(text, n > 0 ? (size_t)n : 0);
}

static void member_exited(int status, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct etcd_member *m = ctx;
	bool removed = false;
	struct sv last;

	pthread_mutex_lock(&m->lock);
	m->child = child_free(m->child);
	last = member_last(m, &a);
	if (!m->stopping && memmem(last.p, last.n, REMOVED, sizeof(REMOVED) - 1)) {
		removed = true;
	} else if (!m->stopping) {
		log_warn(SYS, "etcd ended, and is started again", "status", "%d, see %s: %.*s", status, m->log_file,
			 SV_ARG(said_last(last, LINE_MAX_BYTES)));
		if (env_mono_ns(m->env) - m->started_ns > LIVED_NS)
			m->failures = 0;
		member_later_locked(m);
	}
	if (removed && m->removed_fn)
		m->removed_fn(m->removed_ctx);
	pthread_cond_broadcast(&m->quiet);
	pthread_mutex_unlock(&m->lock);
}

static int member_log(struct etcd_member *m)
{
	struct stat st;

	if (stat(m->log_file, &st) == 0 && st.st_size > LOG_KEEP_BYTES) {
		_cleanup_free_ char *old = xasprintf("%s.1", m->log_file);

		(void)rename(m->log_file, old);
	}
	return open(m->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void member_spawn_locked(struct etcd_member *m)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_close_ int log = member_log(m);

	m->started_ns = env_mono_ns(m->env);
	m->log_at = log >= 0 ? lseek(log, 0, SEEK_END) : 0;
	m->child = child_start(m->env,
			       &(struct child_opts){ .argv = m->argv.p,
						     .cwd = m->dir,
						     .stdin_fd = -1,
						     .stdout_fd = log,
						     .stderr_fd = log,
						     .die_with_parent = true,
						     .class = ENV_SLOW },
			       member_exited, m, &err);
	if (m->child)
		return;
	log_warn(SYS, "etcd does not start; tried again", "error", "%s", err_msg(&err));
	member_later_locked(m);
}

struct etcd_member *etcd_member_start(const struct etcd_member_opts *o, const struct etcd_member_id *id,
				      const char *cluster, struct err *err)
{
	struct etcd_member *m;

	if (etcd_member_check(err) < 0 || member_cert(o, id, err) < 0)
		return NULL;
	m = xcalloc(1, sizeof(*m));
	m->env = o->env;
	m->removed_fn = o->removed;
	m->removed_ctx = o->removed_ctx;
	m->dir = xasprintf("%s/etcd", o->data_dir);
	m->log_file = xasprintf("%s/etcd.log", m->dir);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->quiet, NULL);
	member_args(m, o, id, cluster);
	log_info(SYS, "starts beside this server", "member", "%s, %s", id->name, id->peer);
	pthread_mutex_lock(&m->lock);
	member_spawn_locked(m);
	pthread_mutex_unlock(&m->lock);
	return m;
}

static void member_too_late(void *ctx)
{
	struct etcd_member *m = ctx;

	pthread_mutex_lock(&m->lock);
	if (m->child)
		(void)child_kill(m->child, SIGKILL);
	m->guard_ran = true;
	pthread_cond_broadcast(&m->quiet);
	pthread_mutex_unlock(&m->lock);
}

struct etcd_member *etcd_member_stop(struct etcd_member *m, bool at_once)
{
	struct env_timer *guard;

	if (!m)
		return NULL;
	guard = env_after(m->env, ENV_SLOW, STOP_NS, member_too_late, m);
	pthread_mutex_lock(&m->lock);
	m->stopping = true;
	if (m->timer && env_timer_stop(m->env, TAKE(m->timer)))
		m->armed = false;
	if (m->child)
		(void)child_kill(m->child, at_once ? SIGKILL : SIGTERM);
	while (m->child || m->armed)
		pthread_cond_wait(&m->quiet, &m->lock);
	pthread_mutex_unlock(&m->lock);
	if (!env_timer_stop(m->env, guard)) {
		pthread_mutex_lock(&m->lock);
		while (!m->guard_ran)
			pthread_cond_wait(&m->quiet, &m->lock);
		pthread_mutex_unlock(&m->lock);
	}
	pthread_mutex_destroy(&m->lock);
	pthread_cond_destroy(&m->quiet);
	vec_release(&m->argv);
	arena_release(&m->arena);
	free(m->dir);
	free(m->log_file);
	free(m);
	return NULL;
}

/* --- how it is asked --- */

static const char *clients_path(struct arena *a, const char *data_dir)
{
	return arena_printf(a, "%s/etcd/clients", data_dir);
}

void etcd_member_datastore(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id,
			   const char *clients, bool others_first, struct datastore_opts *ret)
{
	const char *own = member_url(a, "127.0.0.1", o->port), *others = "";
	struct sv text = SV(""), one;

	if (clients)
		text = sv_from(clients);
	else
		(void)file_read(a, clients_path(a, o->data_dir), TEXT_MAX, &text, NULL);
	text = sv_trim(text);
	while (sv_split(&text, ',', &one))
		if (one.n && !sv_is(one, id->client))
			others = arena_printf(a, "%s%s%.*s", others, *others ? "," : "", SV_ARG(one));
	ret->endpoint = !*others       ? own
			: others_first ? arena_printf(a, "%s,%s", others, own)
				       : arena_printf(a, "%s,%s", own, others);
	etcd_member_way(a, o->data_dir, ret);
}

void etcd_member_way(struct arena *a, const char *data_dir, struct datastore_opts *ret)
{
	ret->ca_file = arena_printf(a, "%s/pki/etcd-ca.crt", data_dir);
	ret->cert_file = arena_printf(a, "%s/etcd/member.crt", data_dir);
	ret->key_file = arena_printf(a, "%s/etcd/member.key", data_dir);
}

void etcd_member_note_clients(const char *data_dir, struct sv clients)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)file_write_again(clients_path(&a, data_dir), clients, 0600, NULL); /* the next start does */
}
