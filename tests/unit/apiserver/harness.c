#include "harness.h"

#include "net/http-internal.h"

#include <ftw.h>
#include <stdio.h>

/* --- the sink --- */

static void record(struct answer *a, int code)
{
	a->code = code;
	a->answers++;
	api_req_answered(&a->q, code);
}

static void sink_bytes(struct api_req *q, int code, const char *content_type, const struct http_chunk *chunks, size_t n)
{
	struct answer *a = q->user_data;

	record(a, code);
	(void)snprintf(a->content_type, sizeof(a->content_type), "%s", content_type);
	for (size_t i = 0; i < n; i++) {
		buf_addsv(&a->body, chunks[i].data);
		if (chunks[i].release)
			chunks[i].release(chunks[i].owner);
	}
}

/* From apiserver-internal.h, which only the server's own files include. */
void answer_failure(struct api_req *q, const struct err *err);

static void sink_failure(struct api_req *q, const struct err *err)
{
	answer_failure(q, err);
}

static void sink_stream_begin(struct api_req *q, const char *content_type)
{
	struct answer *a = q->user_data;

	record(a, 200);
	a->streaming = true;
	(void)snprintf(a->content_type, sizeof(a->content_type), "%s", content_type);
}

static size_t sink_stream_write(struct api_req *q, const struct http_chunk *c)
{
	struct answer *a = q->user_data;

	assert_false(a->ended);
	buf_addsv(&a->body, c->data);
	if (c->release)
		c->release(c->owner);
	return a->stuck ? SIZE_MAX / 2 : 0;
}

static void sink_stream_end(struct api_req *q)
{
	struct answer *a = q->user_data;

	assert_false(a->ended);
	a->ended = true;
}

struct posted {
	struct api_req *q;
	void (*fn)(struct api_req *q, void *ctx);
	void *ctx;
};

static void run_posted(void *ctx)
{
	struct posted p = *(struct posted *)ctx;

	free(ctx);
	p.fn(p.q, p.ctx);
}

static void sink_post(struct api_req *q, void (*fn)(struct api_req *q, void *ctx), void *ctx)
{
	struct answer *a = q->user_data;
	struct posted *p = xmalloc(sizeof(*p));

	*p = (struct posted){ q, fn, ctx };
	env_post(a->rig->env, ENV_REQUESTS, run_posted, p);
}

static const struct api_sink recorder = {
	.bytes = sink_bytes,
	.failure = sink_failure,
	.stream_begin = sink_stream_begin,
	.stream_write = sink_stream_write,
	.stream_end = sink_stream_end,
	.post = sink_post,
};

/* The same, on a loop, and for messages. */
static struct api_sink loop_recorder, message_recorder;

static void sink_source(struct api_req *q, int code, const char *content_type, struct http_source *src)
{
	struct answer *a = q->user_data;
	struct http_chunk c;

	record(a, code);
	(void)snprintf(a->content_type, sizeof(a->content_type), "%s", content_type);
	while (src->next(src, &c)) {
		a->pieces++;
		a->largest = MAX(a->largest, c.data.n);
		buf_addsv(&a->body, c.data);
		if (c.release)
			c.release(c.owner);
	}
	assert_true(src->total < 0 || src->total == (int64_t)a->body.n);
	src->release(src);
}

static size_t sink_stream_event(struct api_req *q, bool binary, const struct http_chunk *chunks, size_t n)
{
	struct answer *a = q->user_data;

	a->messages++;
	a->binary = binary;
	for (size_t i = 0; i < n; i++)
		(void)sink_stream_write(q, &chunks[i]);
	return 0;
}

/* --- asking --- */

static struct sv decode(struct arena *a, struct sv s)
{
	char *out = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && i + 2 < s.n) {
			char hex[3] = { s.p[i + 1], s.p[i + 2], 0 };

			out[n++] = (char)strtol(hex, NULL, 16);
			i += 2;
		} else {
			out[n++] = s.p[i];
		}
	}
	return sv_make(out, n);
}

static void read_path(struct api_req *q, const char *path)
{
	struct sv all = sv_from(arena_strdup(q->arena, path)), rest, one;
	ssize_t at = sv_find(all, '?');

	q->path = at < 0 ? all : sv_sub(all, 0, (size_t)at);
	if (at < 0)
		return;
	rest = sv_sub(all, (size_t)at + 1, all.n);
	q->params = ARENA_ARRAY(q->arena, struct api_param, 16);
	while (sv_split(&rest, '&', &one)) {
		ssize_t eq = sv_find(one, '=');

		assert_true(q->n_params < 16);
		q->params[q->n_params++] = (struct api_param){
			decode(q->arena, eq < 0 ? one : sv_sub(one, 0, (size_t)eq)),
			eq < 0 ? SV("") : decode(q->arena, sv_sub(one, (size_t)eq + 1, one.n)),
		};
	}
}

/* A request as a socket would bring it, as far as authentication looks at it. */
static struct http_req *from_socket(struct arena *a, const struct ask *ask)
{
	struct http_req *h = &ARENA_NEW(a, struct http_rq)->pub;
	struct http_peer *peer = ARENA_NEW(a, struct http_peer);
	size_t n = 0;

	while (ask->headers && ask->headers[n].name.n)
		n++;
	h->headers = ARENA_ARRAY(a, struct http_header, n + 1);
	h->arena = a;
	h->version = 1;
	h->n_headers = n;
	if (n)
		memcpy(h->headers, ask->headers, n * sizeof(*h->headers));
	if (ask->authorization && *ask->authorization)
		h->headers[h->n_headers++] =
		    (struct http_header){ SV("authorization"), sv_from(arena_strdup(a, ask->authorization)) };
	peer->has_cert = ask->cert_user && ask->cert_of != CERT_PROXY;
	peer->bad_cert = ask->cert_user && !peer->has_cert;
	peer->proxy_cert = ask->cert_user && ask->cert_of != CERT_CLIENT;
	peer->common_name = sv_from(ask->cert_user);
	if (ask->cert_group) {
		peer->organizations = ARENA_NEW(a, struct sv);
		peer->organizations[peer->n_organizations++] = sv_from(ask->cert_group);
	}
	peer->not_after_ns = ask->cert_until_ns ? ask->cert_until_ns : INT64_MAX;
	h->peer = peer;
	return h;
}

struct answer *api_start(struct rig *r, const struct ask *ask)
{
	struct answer *a = xcalloc(1, sizeof(*a));
	struct api_req *q = &a->q;

	loop_recorder = recorder;
	loop_recorder.on_loop = true;
	loop_recorder.source = sink_source;
	message_recorder = recorder;
	message_recorder.stream_event = sink_stream_event;
	a->rig = r;
	a->stuck = ask->stuck;
	*q = (struct api_req){
		.server = r->server,
		.arena = &a->arena,
		.sink = ask->messages ? &message_recorder
			: ask->loop   ? &loop_recorder
				      : &recorder,
		.method = sv_from(ask->method),
		.content_type = sv_from(ask->type ? ask->type : "application/json"),
		.accept = sv_from(ask->accept),
		.user_agent = sv_from(ask->agent ? ask->agent : "unit/1.0"),
		.body = sv_make(ask->body, ask->body_n ? ask->body_n
					   : ask->body ? strlen(ask->body)
						       : 0),
		.user_data = a,
	};
	q->user.name = sv_from(ask->user ? ask->user : "admin");
	q->user.groups = ARENA_ARRAY(q->arena, struct sv, ask->n_groups + 1);
	for (size_t i = 0; i < ask->n_groups; i++)
		q->user.groups[q->user.n_groups++] = ask->groups[i];
	if (!ask->no_groups && !ask->n_groups)
		q->user.groups[q->user.n_groups++] = ask->user ? SV("system:authenticated") : SV("system:masters");
	if (ask->authorization || ask->cert_user || ask->headers)
		q->http = from_socket(q->arena, ask);
	read_path(q, ask->path);
	if (q->body.n) /* it may be answered long after the caller's buffer is gone */
		q->body = arena_sv(q->arena, q->body);
	api_serve(q);
	return a;
}

const struct val *api_json(struct answer *a)
{
	return json_decode(&a->rig->arena, arena_sv(&a->rig->arena, buf_sv(&a->body)), NULL, NULL);
}

struct answer *api_ask(struct rig *r, const struct ask *ask)
{
	struct answer *a = api_start(r, ask);

	for (int i = 0; i < 100 && !a->answers; i++)
		rig_run(r, i ? 100 * NS_PER_MS : 0);
	assert_int_equal(a->answers, 1);
	if (!a->streaming && a->body.n && a->body.p[0] == '{')
		a->json = api_json(a);
	return a;
}

int api_code(struct rig *r, const char *method, const char *path, const char *authorization)
{
	struct answer *a = api(r, method, path, .authorization = authorization);
	int code = a->code;

	answer_free(a);
	return code;
}

struct answer *answer_free(struct answer *a)
{
	assert_true(!a->streaming || a->ended);
	assert_int_equal(a->answers, 1);
	arena_release(&a->arena);
	buf_release(&a->body);
	free(a);
	return NULL;
}

struct answer *answer_gone(struct answer *a)
{
	if (!a->ended) {
		assert_non_null(a->q.on_gone);
		a->q.on_gone(&a->q);
		rig_run(a->rig, 0);
	}
	assert_true(a->ended);
	return answer_free(a);
}

void rig_run(struct rig *r, int64_t ns)
{
	(void)env_sim_run(r->env, ns);
}

const struct val *expect_type(struct rig *r, int code, const char *method, const char *path, const char *type,
			      const char *body)
{
	struct answer *a = api(r, method, path, .body = body, .type = type);
	const struct val *json = a->json;

	if (a->code != code)
		print_error("%s %s: %d %s\n", method, path, a->code, buf_cstr(&a->body));
	assert_int_equal(a->code, code);
	answer_free(a);
	return json;
}

const struct val *expect(struct rig *r, int code, const char *method, const char *path, const char *body)
{
	return expect_type(r, code, method, path, NULL, body);
}

void expect_status(struct rig *r, int code, const char *reason, const char *part, const struct ask *ask)
{
	struct answer *a = api_ask(r, ask);
	struct sv message = val_get_str(a->json, F_message);

	if (a->code != code || !sv_is(val_get_str(a->json, F_reason), reason) || sv_find_sv(message, sv_from(part)) < 0)
		print_error("%s %s: %d %s\n  wanted %d %s ...%s...\n", ask->method, ask->path, a->code,
			    buf_cstr(&a->body), code, reason, part);
	assert_int_equal(a->code, code);
	assert_val(val_get(a->json, F_kind), "Status");
	assert_val(val_get(a->json, F_status), "Failure");
	assert_val(val_get(a->json, F_reason), reason);
	assert_int_equal(val_get_int(a->json, 0, F_code), code);
	assert_true(sv_find_sv(message, sv_from(part)) >= 0);
	answer_free(a);
}

int64_t rev_of(const struct val *o)
{
	int64_t rev = 0;

	assert_true(sv_to_i64(val_get_str(o, F_metadata, F_resourceVersion), &rev));
	return rev;
}

size_t stream_lines(struct answer *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->body.n; i++)
		n += a->body.p[i] == '\n';
	return n;
}

const struct val *stream_line(struct answer *a, size_t n)
{
	struct sv rest = buf_sv(&a->body), line;

	while (sv_split(&rest, '\n', &line) && line.n)
		if (n-- == 0)
			return json_decode(&a->rig->arena, arena_sv(&a->rig->arena, line), NULL, NULL);
	return NULL;
}

/* --- the server --- */

static void start(struct rig *r)
{
	static const char *const masters[] = { "system:masters", NULL }, *const own[] = { "192.0.2.7", NULL };
	struct err err = ERR_INIT;

	r->server = apiserver_new(&(struct apiserver_opts){ .env = r->clock ? r->clock : r->env,
							    .store = r->store,
							    .data_dir = r->dir,
							    .cluster_domain = "cluster.local",
							    .insecure_in_memory = !r->dir,
							    .anonymous_auth = !r->no_anonymous,
							    .profiling = !r->no_profiling,
							    .no_priority_and_fairness = r->no_fairness,
							    .max_requests_inflight = r->max_requests,
							    .max_mutating_inflight = r->max_mutating,
							    .token_auth_file = r->token_auth_file,
							    .authentication_config = r->authentication_config,
							    .oidc = r->oidc,
							    .token_hook = r->token_hook,
							    .accounts = r->accounts,
							    .client_ca_file = r->client_ca_file,
							    .front_proxies = r->front_proxies,
							    .authorization = r->authorization,
							    .service_cidr = r->service_cidr,
							    .node_port_range = r->node_port_range,
							    .audit = r->audit,
							    .encryption = r->encryption,
							    .history_ns = r->history_ns,
							    .history_bytes = r->history_bytes,
							    .own_addresses = own },
				  &err);
	if (!r->server)
		print_error("%s\n", err_msg(&err));
	assert_non_null(r->server);
	r->client = apiserver_client(r->server, "unit", "unit", masters);
	rig_run(r, 0); /* what the start leaves for later: a test may hold the store back from here on */
}

static void stop(struct rig *r)
{
	client_free(r->client);
	apiserver_free(r->server);
}

int rig_setup(void **state)
{
	return rig_setup_on(state, store_mem_new);
}

static int setup(void **state, struct store *(*make)(struct env *env), char *dir_take)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->dir = dir_take;

	r->env = env_sim_new(7, INT64_C(1767225600) * NS_PER_SEC, false);
	r->store = make(r->env);
	start(r);
	*state = r;
	return 0;
}

int rig_setup_on(void **state, struct store *(*make)(struct env *env))
{
	return setup(state, make, NULL);
}

int rig_setup_with_keys(void **state)
{
	char *dir = xstrdup("/tmp/caravel-unit.XXXXXX");

	assert_non_null(mkdtemp(dir));
	return setup(state, store_mem_new, dir);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

void rig_stop(struct rig *r)
{
	stop(r);
}

void rig_start(struct rig *r)
{
	start(r);
}

void rig_restart(struct rig *r)
{
	stop(r);
	start(r);
}

void rig_range(struct rig *r, const char *cidrs)
{
	struct store_write w = { .key = SV("/registry/servicecidrs/kubernetes"),
				 .expect_rev = STORE_ANY_REV,
				 .tombstone = true };

	stop(r);
	(void)store_commit_wait(r->store, &w, NULL, NULL);
	r->service_cidr = cidrs;
	start(r);
}

struct rig *rig_beside(struct rig *first, struct store *store)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->env = first->env;
	r->store = store;
	r->service_cidr = first->service_cidr;
	r->node_port_range = first->node_port_range;
	start(r);
	return r;
}

struct rig *rig_beside_free(struct rig *r)
{
	stop(r);
	env_sim_run(r->env, 0);
	arena_release(&r->arena);
	free(r);
	return NULL;
}

void (*rig_unfinished)(void);

int rig_teardown(void **state)
{
	struct rig *r = *state;

	if (rig_unfinished) {
		rig_unfinished();
		rig_run(r, NS_PER_SEC); /* what was asked is answered */
	}
	rig_unfinished = NULL;
	stop(r);
	store_close(r->store);
	env_sim_run(r->env, 0);
	env_sim_free(r->env);
	arena_release(&r->arena);
	if (r->dir)
		assert_int_equal(nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(r->dir);
	free(r);
	return 0;
}
