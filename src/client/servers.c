#include "client/servers.h"

#include "base/file.h"
#include "base/log.h"
#include "client/https.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PASSED_OVER_NS (30 * NS_PER_SEC)
#define SERVERS_FILE_MAX ((size_t)SERVERS_MAX * 300)

struct server_one {
	char host[256];
	int port;
	int64_t failed_ns; /* mono; 0: not lately */
};

struct servers {
	_Atomic int refs;
	struct env *env;
	struct arena arena;
	bool plain; /* http: tests */
	struct sv prefix, ca_pem;
	const char *file, *spread;

	pthread_mutex_t saving; /* of the file: taken before lock, never by a loop, which would wait for the disk */
	pthread_mutex_t lock;
	struct server_one all[SERVERS_MAX]; /* the first is the one we were given */
	size_t n, current;
	bool none; /* all have failed, and it is said */
	struct tls_ctx *tls;
};

static bool server_is(const struct server_one *s, const char *host, int port)
{
	return s->port == port && strcmp(s->host, host) == 0;
}

static bool servers_fit_locked(const struct servers *s, size_t i, int64_t now)
{
	return !s->all[i].failed_ns || now - s->all[i].failed_ns > PASSED_OVER_NS;
}

/* How much this client is for a server, unlike others: when one fails its clients go to all that are left, and nobody
 * else moves. */
static uint64_t servers_weight_locked(const struct servers *s, size_t i)
{
	_cleanup_free_ char *text = xasprintf("%s %s %d", s->spread, s->all[i].host, s->all[i].port);
	uint64_t h = sv_hash(sv_from(text));

	/* Names that differ in their last sign have hashes that differ little. */
	h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	return h ^ (h >> 33);
}

/* Of those that have not failed lately the one to prefer, without any preference the first from `from` on. False: all
 * have. */
static bool servers_best_locked(const struct servers *s, size_t from, int64_t now, size_t *ret)
{
	uint64_t most = 0;
	bool found = false;

	for (size_t i = 0; i < s->n; i++) {
		size_t k = (from + i) % s->n;
		uint64_t weight;

		if (!servers_fit_locked(s, k, now))
			continue;
		weight = s->spread ? servers_weight_locked(s, k) : 0;
		if (!found || weight > most) {
			most = weight;
			*ret = k;
		}
		found = true;
	}
	return found;
}

static bool servers_split(struct sv text, struct server_one *ret)
{
	const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
	int64_t port;
	struct sv host;

	if (!colon)
		return false;
	host = sv_sub(text, 0, (size_t)(colon - text.p));
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = sv_sub(host, 1, host.n - 2);
	if (!host.n || host.n >= sizeof(ret->host) || memchr(host.p, '\0', host.n) ||
	    !sv_to_i64(sv_sub(text, (size_t)(colon + 1 - text.p), text.n), &port) || port < 1 || port > 65535)
		return false;
	memcpy(ret->host, host.p, host.n);
	ret->host[host.n] = '\0';
	ret->port = (int)port;
	ret->failed_ns = 0;
	return true;
}

static void servers_add_locked(struct servers *s, struct sv text)
{
	struct server_one one;

	if (s->n == SERVERS_MAX || !servers_split(text, &one))
		return;
	for (size_t i = 0; i < s->n; i++)
		if (server_is(&s->all[i], one.host, one.port))
			return;
	s->all[s->n++] = one;
}

static void servers_load(struct servers *s)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, line;

	if (!s->file || file_read(&a, s->file, SERVERS_FILE_MAX, &text, NULL) < 0)
		return;
	while (sv_split(&text, '\n', &line))
		servers_add_locked(s, sv_trim(line));
}

static void servers_list_locked(const struct servers *s, struct buf *b)
{
	for (size_t i = 0; i < s->n; i++)
		buf_printf(b, strchr(s->all[i].host, ':') ? "[%s]:%d\n" : "%s:%d\n", s->all[i].host, s->all[i].port);
}

static void servers_save(const struct servers *s, struct sv list)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (s->file && file_write_again(s->file, list, 0600, &err) < 0)
		log_warn("client", "the list of servers is not written down", "error", "%s", err_msg(&err));
}

struct servers *servers_new(const struct servers_opts *o, struct err *err)
{
	struct servers *s = xcalloc(1, sizeof(*s));
	char *host;
	bool tls;

	atomic_init(&s->refs, 1);
	pthread_mutex_init(&s->saving, NULL);
	pthread_mutex_init(&s->lock, NULL);
	s->env = o->env;
	s->ca_pem = arena_sv(&s->arena, o->ca_pem);
	s->spread = o->spread ? arena_strdup(&s->arena, o->spread) : NULL;
	s->file = o->file ? arena_strdup(&s->arena, o->file) : NULL;
	if (https_parse_url(&s->arena, o->url, &tls, &host, &s->all[0].port, &s->prefix, err) < 0)
		return servers_unref(s);
	if (strlen(host) >= sizeof(s->all[0].host)) {
		err_set(err, ERR_INVALID, "the name of the server is too long");
		return servers_unref(s);
	}
	memcpy(s->all[0].host, host, strlen(host) + 1);
	s->n = 1;
	s->plain = !tls;
	if (tls && servers_set_cert(s, o->cert_pem, o->key_pem, err) < 0)
		return servers_unref(s);
	servers_load(s);
	return s;
}

struct servers *servers_ref(struct servers *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

struct servers *servers_unref(struct servers *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
		return NULL;
	tls_ctx_unref(s->tls);
	pthread_mutex_destroy(&s->saving);
	pthread_mutex_destroy(&s->lock);
	arena_release(&s->arena);
	free(s);
	return NULL;
}

int servers_set_cert(struct servers *s, struct sv cert_pem, struct sv key_pem, struct err *err)
{
	const struct tls_client_opts t = { .ca_pem = s->ca_pem, .cert_pem = cert_pem, .key_pem = key_pem };
	struct tls_ctx *tls = tls_client_ctx(&t, err), *old;

	if (!tls)
		return -1;
	pthread_mutex_lock(&s->lock);
	old = s->tls;
	s->tls = tls;
	pthread_mutex_unlock(&s->lock);
	tls_ctx_unref(old);
	return 0;
}

bool servers_learn(struct servers *s, const char *const *hosts)
{
	_cleanup_(buf_release) struct buf list = BUF_INIT;
	struct server_one before[SERVERS_MAX], now;
	bool same;
	size_t n;

	pthread_mutex_lock(&s->saving);
	pthread_mutex_lock(&s->lock);
	memcpy(before, s->all, sizeof(before));
	n = s->n;
	now = s->all[s->current];
	s->n = 1;
	for (; *hosts; hosts++)
		servers_add_locked(s, sv_from(*hosts));
	s->current = 0;
	same = s->n == n;
	for (size_t i = 0; i < s->n; i++) {
		same = same && server_is(&s->all[i], before[i].host, before[i].port);
		if (server_is(&s->all[i], now.host, now.port))
			s->current = i;
		for (size_t k = 0; k < n; k++)
			if (server_is(&s->all[i], before[k].host, before[k].port))
				s->all[i].failed_ns = before[k].failed_ns;
	}
	if (s->spread)
		(void)servers_best_locked(s, s->current, env_mono_ns(s->env), &s->current);
	servers_list_locked(s, &list);
	pthread_mutex_unlock(&s->lock);
	if (!same)
		servers_save(s, buf_sv(&list));
	pthread_mutex_unlock(&s->saving);
	return !same;
}

size_t servers_count(struct servers *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->n;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void servers_fill_locked(const struct servers *s, size_t i, struct servers_at *ret)
{
	*ret = (struct servers_at){ .tls = s->plain ? NULL : tls_ctx_ref(s->tls), .prefix = s->prefix };
	memcpy(ret->host, s->all[i].host, sizeof(ret->host));
	ret->ep = (struct http_endpoint){ .host = ret->host, .port = s->all[i].port, .tls = ret->tls };
}

void servers_current(struct servers *s, struct servers_at *ret)
{
	pthread_mutex_lock(&s->lock);
	servers_fill_locked(s, s->current, ret);
	pthread_mutex_unlock(&s->lock);
}

bool servers_nth(struct servers *s, size_t i, struct servers_at *ret)
{
	bool there;

	pthread_mutex_lock(&s->lock);
	there = i < s->n;
	if (there)
		servers_fill_locked(s, i, ret);
	pthread_mutex_unlock(&s->lock);
	return there;
}

bool servers_find(struct servers *s, const char *host, int port, struct servers_at *ret)
{
	bool there = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n && !there; i++) {
		there = server_is(&s->all[i], host, port);
		if (there)
			servers_fill_locked(s, i, ret);
	}
	pthread_mutex_unlock(&s->lock);
	return there;
}

void servers_let_go(struct servers_at *at)
{
	tls_ctx_unref(at->tls);
	at->tls = NULL;
}

void servers_failed(struct servers *s, const struct servers_at *at)
{
	int64_t now = env_mono_ns(s->env);

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n; i++)
		if (server_is(&s->all[i], at->host, at->ep.port))
			s->all[i].failed_ns = now;
	/* Whoever failed with the one before the current one has nothing to move. */
	if (s->n > 1 && server_is(&s->all[s->current], at->host, at->ep.port)) {
		size_t next = (s->current + 1) % s->n;
		bool none = !servers_best_locked(s, next, now, &next);

		s->current = next;
		if (!none)
			log_warn("client", "a server does not answer, another one is asked", "server",
				 "%s port %d, now %s port %d", at->host, at->ep.port, s->all[next].host,
				 s->all[next].port);
		else if (!s->none)
			log_warn("client", "no server answers, each is asked again", "servers", "%zu", s->n);
		s->none = none;
	}
	pthread_mutex_unlock(&s->lock);
}
