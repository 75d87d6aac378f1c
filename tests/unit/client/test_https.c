/* The HTTPS transport against a scripted server: what it sends, and what it makes of answers that
 * a well-behaved API server would rarely give. Plain http: TLS is the conformance suite's. */
#include "unit.h"

#include "base/file.h"
#include "base/vec.h"
#include "client/https.h"
#include "ev/ev.h"
#include "net/http.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CM RES(core_configmaps)

/* One answer, for the requests in order. */
struct answer {
	int status;
	const char *header, *value; /* or NULL */
	const char *body;
	const char *pieces[4]; /* a streamed body instead, piece by piece */
	bool tear;	       /* the stream breaks off */
	size_t pad;	       /* that many bytes of 'x' after the body */
};

struct asked {
	char *line; /* "GET /api/v1/..." */
	char *body, *auth, *agent, *type, *user, *groups;
};

struct rig {
	struct env *env;
	struct ev_loop *loop;
	struct http_server *http;
	pthread_t thread;
	struct client *c;
	char url[64];

	pthread_mutex_t lock;
	pthread_cond_t changed;
	const struct answer *answers;
	size_t n_answers, at;
	VEC(struct asked) asked;
	VEC(char *) events; /* "ADDED name" */
	bool ended;
	struct err why;
};

static char *copy(struct sv s)
{
	return xstrndup(s.p ? s.p : "", s.n);
}

static struct asked note(const struct http_req *q)
{
	struct buf groups = BUF_INIT;
	struct asked k = {
		.line = xasprintf("%.*s %.*s", SV_ARG(q->method), SV_ARG(q->target)),
		.body = copy(q->body),
		.auth = copy(http_header_get(q, "authorization")),
		.agent = copy(http_header_get(q, "user-agent")),
		.type = copy(http_header_get(q, "content-type")),
		.user = copy(http_header_get(q, "impersonate-user")),
	};

	for (size_t i = 0; i < q->n_headers; i++)
		if (sv_is(q->headers[i].name, "impersonate-group"))
			buf_printf(&groups, "%.*s;", SV_ARG(q->headers[i].value));
	k.groups = buf_detach(&groups);
	return k;
}

static void handler(struct http_req *q, void *ctx)
{
	struct rig *r = ctx;
	const struct answer *w;
	struct http_header h;
	struct http_chunk c[2];
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	vec_push(&r->asked, note(q));
	w = r->at < r->n_answers ? &r->answers[r->at] : NULL;
	r->at++;
	pthread_mutex_unlock(&r->lock);
	if (!w) {
		http_respond_text(q, 500, "text/plain", SV("nothing scripted"));
		return;
	}
	if (w->header)
		h = (struct http_header){ sv_from(w->header), sv_from(w->value) };
	if (w->pieces[0]) {
		http_stream_begin(q, w->status, &h, w->header ? 1 : 0);
		for (size_t i = 0; i < ARRAY_LEN(w->pieces) && w->pieces[i]; i++)
			(void)http_stream_write(q, &(struct http_chunk){ .data = sv_from(w->pieces[i]) });
		if (w->tear)
			http_stream_abort(q);
		else
			http_stream_end(q);
		return;
	}
	c[n++] = (struct http_chunk){ .data = sv_from(w->body) };
	if (w->pad) {
		char *x = arena_alloc(q->arena, w->pad);

		memset(x, 'x', w->pad);
		c[n++] = (struct http_chunk){ .data = sv_make(x, w->pad) };
	}
	http_respond(q, w->status, &h, w->header ? 1 : 0, c, n);
}

static void *loop_thread(void *ctx)
{
	ev_loop_run(ctx);
	return NULL;
}

static void connect_with(struct rig *r, struct client_https_opts o)
{
	struct err err = ERR_INIT;

	client_free(r->c);
	o.server = r->url;
	o.name = "unit";
	r->c = client_https_new(r->env, &o, &err);
	if (!r->c)
		fail_msg("%s", err_msg(&err));
}

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct err err = ERR_INIT;
	const struct http_server_opts o = {
		.bind_address = "127.0.0.1", .max_body = 1 << 20, .max_connections = 20, .handler = handler, .ctx = r
	};

	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	r->env = env_real_new(2);
	r->loop = ev_loop_new(&err);
	r->http = http_server_start(&r->loop, 1, &o, &err);
	assert_non_null(r->http);
	assert_int_equal(pthread_create(&r->thread, NULL, loop_thread, r->loop), 0);
	(void)snprintf(r->url, sizeof(r->url), "http://127.0.0.1:%d/front", http_server_port(r->http));
	connect_with(r, (struct client_https_opts){ 0 });
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	client_free(r->c);
	http_server_stop(r->http, NS_PER_SEC);
	ev_loop_stop(r->loop);
	pthread_join(r->thread, NULL);
	ev_loop_free(r->loop);
	env_real_free(r->env);
	for (size_t i = 0; i < r->asked.n; i++) {
		struct asked *k = &r->asked.p[i];

		free(k->line);
		free(k->body);
		free(k->auth);
		free(k->agent);
		free(k->type);
		free(k->user);
		free(k->groups);
	}
	vec_release(&r->asked);
	for (size_t i = 0; i < r->events.n; i++)
		free(r->events.p[i]);
	vec_release(&r->events);
	err_release(&r->why);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->changed);
	free(r);
	return 0;
}

#define script(r, ...)                                                   \
	do {                                                             \
		static const struct answer answers_[] = { __VA_ARGS__ }; \
		pthread_mutex_lock(&(r)->lock);                          \
		(r)->answers = answers_;                                 \
		(r)->n_answers = ARRAY_LEN(answers_);                    \
		(r)->at = 0;                                             \
		pthread_mutex_unlock(&(r)->lock);                        \
	} while (0)

static const struct asked *asked(struct rig *r, size_t i)
{
	pthread_mutex_lock(&r->lock);
	assert_true(i < r->asked.n);
	pthread_mutex_unlock(&r->lock);
	return &r->asked.p[i]; /* the answer is here: nobody adds to it now */
}

#define OBJ                                                                                                            \
	"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"n\",\"resourceVersion\":\"7\"},\"x\":" \
	"1}"

/* --- requests --- */

static void what_is_sent(void **state)
{
	static const char *const groups[] = { "dev", "ops", NULL };
	struct rig *r = *state;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_map(&a);
	struct client_delete_opts d = { .grace_seconds = 0, .propagation = "Orphan", .precondition_uid = SV("u") };
	const struct client_write_opts w = { .subresource = "status", .field_manager = "m n", .dry_run = true },
				       f = { .force = true };
	struct obj *o = NULL;

	connect_with(r, (struct client_https_opts){
			    .token = "secret", .impersonate_user = "alice", .impersonate_groups = groups });
	script(r, { 200, .body = OBJ }, { 200, .body = OBJ }, { 200, .body = OBJ }, { 200, .body = "{}" });
	assert_int_equal(client_get(r->c, RES(apps_deployments), SV("ns"), SV("a:b c"), &o, NULL), 0);
	assert_int_equal(obj_rev(o), 7);
	assert_int_equal(val_get_int(val_member_sv(obj_root(o), SV("x")), 0, SYM_NONE),
			 1); /* unknown fields are kept */
	obj_unref(o);
	val_set_cstr(&a, val_ensure_map(&a, doc, F_metadata), F_name, "n");
	val_set_cstr(&a, val_ensure_map(&a, doc, F_metadata), F_namespace, "ns");
	assert_int_equal(client_update(r->c, CM, doc, &w, NULL, NULL), 0);
	assert_int_equal(client_patch(r->c, CM, SV("ns"), SV("n"), PATCH_APPLY, doc, &f, NULL, NULL), 0);
	assert_int_equal(client_delete(r->c, RES(core_nodes), SV(""), SV("n"), &d, NULL), 0);

	assert_string_equal(asked(r, 0)->line, "GET /front/apis/apps/v1/namespaces/ns/deployments/a:b%20c");
	assert_string_equal(asked(r, 0)->auth, "Bearer secret");
	assert_string_equal(asked(r, 0)->agent, "unit/" CARAVEL_VERSION);
	assert_string_equal(asked(r, 0)->user, "alice");
	assert_string_equal(asked(r, 0)->groups, "dev;ops;");
	assert_string_equal(asked(r, 1)->line,
			    "PUT /front/api/v1/namespaces/ns/configmaps/n/status?fieldManager=m%20n&dryRun=All");
	assert_string_equal(asked(r, 1)->type, "application/json");
	assert_string_equal(asked(r, 1)->body, "{\"metadata\":{\"name\":\"n\",\"namespace\":\"ns\"}}");
	assert_string_equal(asked(r, 2)->line,
			    "PATCH /front/api/v1/namespaces/ns/configmaps/n?fieldManager=unit&force=true");
	assert_string_equal(asked(r, 2)->type, "application/apply-patch+yaml");
	assert_string_equal(asked(r, 3)->line, "DELETE /front/api/v1/nodes/n");
	assert_string_equal(asked(r, 3)->body,
			    "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"gracePeriodSeconds\":0,"
			    "\"preconditions\":{\"uid\":\"u\"},\"propagationPolicy\":\"Orphan\"}");
}

/* A name may not change which resource is asked for. */
static void names_stay_names(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "a%2fb" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(client_get(r->c, CM, SV("ns"), sv_from(bad[i]), NULL, &err), -1);
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
	}
	assert_int_equal(client_get(r->c, CM, SV(""), SV("n"), NULL, NULL), -1);
	assert_int_equal(client_get(r->c, CM, SV(".."), SV("n"), NULL, NULL), -1);
	assert_int_equal(r->asked.n, 0);
}

static void token_files_are_read_again(void **state)
{
	struct rig *r = *state;
	char path[] = "/tmp/token-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close_fdp(&fd);
	assert_int_equal(file_write(path, SV("one\n"), 0600, NULL), 0);
	connect_with(r, (struct client_https_opts){ .token_file = path });
	script(r, { 200, .body = OBJ }, { 200, .body = OBJ }, { 200, .body = OBJ });
	assert_int_equal(client_get(r->c, CM, SV("ns"), SV("n"), NULL, NULL), 0);
	assert_int_equal(file_write(path, SV("second\n"), 0600, NULL), 0);
	assert_int_equal(client_get(r->c, CM, SV("ns"), SV("n"), NULL, NULL), 0);
	assert_int_equal(tree_remove(path, NULL), 0);
	assert_int_equal(client_get(r->c, CM, SV("ns"), SV("n"), NULL, NULL), 0); /* the last one known */
	assert_string_equal(asked(r, 0)->auth, "Bearer one");
	assert_string_equal(asked(r, 1)->auth, "Bearer second");
	assert_string_equal(asked(r, 2)->auth, "Bearer second");
}

/* --- failures --- */

static void failures_without_a_status(void **state)
{
	struct rig *r = *state;
	static const struct {
		enum err_reason reason;
		int code, retry;
	} wanted[] = { { ERR_ALREADY_EXISTS, 409, 0 }, { ERR_UNAVAILABLE, 502, 0 }, { ERR_TOO_MANY_REQUESTS, 429, 3 },
		       { ERR_INTERNAL, 500, 0 },       { ERR_BAD_REQUEST, 418, 0 }, { ERR_INTERNAL, 302, 0 } };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	script(r, { 409, .body = "" }, { 502, .body = "<html>\nbad gateway" },
	       { 429, "retry-after", "3", .body = "slow down" }, { 500, .body = "{\"kind\":\"Other\"}" },
	       { 418, .body = "teapot" }, { 302, "location", "/", .body = "" });
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(client_create(r->c, CM, SV("ns"), val_new_map(&a), NULL, NULL, &err), -1);
		assert_int_equal(err.reason, wanted[i].reason);
		assert_int_equal(err_code(&err), wanted[i].code);
		assert_int_equal(err.retry_after_s, wanted[i].retry);
	}
}

static void failures_with_a_status(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;

	script(r, { 429,
		    .body =
			"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"evict later\","
			"\"reason\":\"TooManyRequests\",\"details\":{\"name\":\"p\",\"group\":\"g\",\"kind\":\"pods\","
			"\"uid\":\"u-1\",\"retryAfterSeconds\":10,\"causes\":[{\"reason\":\"DisruptionBudget\","
			"\"message\":\"needs 2\"}]},\"code\":429}" });
	assert_int_equal(client_get(r->c, CM, SV("ns"), SV("n"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_MANY_REQUESTS);
	assert_string_equal(err_msg(&err), "evict later");
	assert_string_equal(err.name, "p");
	assert_string_equal(err.group, "g");
	assert_string_equal(err.kind, "pods");
	assert_string_equal(err.uid, "u-1");
	assert_int_equal(err.retry_after_s, 10);
	assert_int_equal(err.n_causes, 1);
	assert_string_equal(err.causes[0].reason, "DisruptionBudget");
	assert_string_equal(err.causes[0].message, "needs 2");
}

static void answers_that_are_none(void **state)
{
	struct rig *r = *state;

	script(r, { 200, .body = "{\"kind\":" }, { 200, .body = "[]" }, { 200, .body = "" },
	       { 200, .pieces = { "{\"kind\"" }, .tear = true });
	for (int i = 0; i < 4; i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct obj *o = NULL;

		assert_int_equal(client_get(r->c, CM, SV("ns"), SV("n"), &o, &err), -1);
		assert_int_equal(err.reason, i < 3 ? ERR_INTERNAL : ERR_UNAVAILABLE);
		assert_null(o);
	}
}

/* --- lists --- */

#define LIST(rev, cont, items)                                                                                 \
	"{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"" rev "\"" cont \
	"},\"items\":[" items "]}"
#define ITEM(name) "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"3\"}}"
#define CONT(t) ",\"continue\":\"" t "\""
#define EXPIRED \
	"{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"too old\",\"reason\":\"Expired\",\"code\":410}"

static void lists_in_pages(void **state)
{
	struct rig *r = *state;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	const struct client_list_opts o = { .label_selector = "a in (b,c)", .resource_version = 5 };
	struct err err = ERR_INIT;

	script(r, { 200, .body = LIST("10", CONT("t=/+"), ITEM("a") "," ITEM("b")) },
	       { 200, .body = LIST("10", "", ITEM("c")) });
	assert_int_equal(client_list(r->c, CM, SV(""), &o, &l, &err), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.rev, 10);
	assert_sv(obj_name(l.items[2]), "c");
	assert_sv(val_get_str(obj_root(l.items[2]), F_kind), "ConfigMap");
	assert_sv(val_get_str(obj_root(l.items[2]), F_apiVersion), "v1");
	assert_string_equal(
	    asked(r, 0)->line,
	    "GET /front/api/v1/configmaps?labelSelector=a%20in%20%28b%2Cc%29&limit=500&resourceVersion=5"
	    "&resourceVersionMatch=NotOlderThan");
	assert_string_equal(
	    asked(r, 1)->line,
	    "GET /front/api/v1/configmaps?labelSelector=a%20in%20%28b%2Cc%29&limit=500&continue=t%3D%2F%2B");
}

#define KEPT \
	"{\"metadata\":{\"name\":\"a\",\"managedFields\":[{\"manager\":\"m\"}]},\"data\":{\"a.b\":\"1\",\"c\":\"2\"}}"

/* Who writes loses nothing; who only reads some fields has those. */
static void readers_keep_less(void **state)
{
	static const char *const paths[] = { "data a.b", NULL };
	struct rig *r = *state;
	struct keep *k = keep_new();
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	struct err err = ERR_INIT;

	script(r, { 200, .body = LIST("10", "", KEPT) }, { 200, .body = LIST("10", "", KEPT) });
	assert_int_equal(client_list(r->c, CM, SV(""), NULL, &l, &err), 0);
	assert_int_equal(val_len(obj_get(l.items[0], F_metadata, F_managedFields)), 1);
	obj_list_release(&l);
	keep_add(k, paths);
	assert_int_equal(client_list(r->c, CM, SV(""), &(struct client_list_opts){ .keep = k }, &l, &err), 0);
	assert_int_equal(val_len(obj_get(l.items[0], F_metadata)), 1); /* its name */
	assert_sv(obj_name(l.items[0]), "a");
	assert_int_equal(val_len(obj_get(l.items[0], F_data)), 1);
	assert_sv(val_str(val_member_sv(obj_get(l.items[0], F_data), SV("a.b"))), "1");
	keep_unref(k);
}

static void expired_pages_start_again(void **state)
{
	struct rig *r = *state;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	struct err err = ERR_INIT;

	script(r, { 200, .body = LIST("10", CONT("t"), ITEM("a")) }, { 410, .body = EXPIRED },
	       { 200, .body = LIST("20", "", ITEM("x") "," ITEM("y")) }, { 410, .body = EXPIRED });
	assert_int_equal(client_list(r->c, CM, SV("ns"), NULL, &l, &err), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.rev, 20);
	assert_string_equal(asked(r, 2)->line, "GET /front/api/v1/namespaces/ns/configmaps");
	obj_list_release(&l);
	/* A first page that has expired is the caller's business. */
	assert_int_equal(client_list(r->c, CM, SV("ns"), NULL, &l, &err), -1);
	assert_int_equal(err.reason, ERR_EXPIRED);
	err_release(&err);
}

/* --- watches --- */

static void on_event(enum watch_type t, struct obj *o, void *ctx)
{
	static const char *const names[] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK" };
	struct rig *r = ctx;

	pthread_mutex_lock(&r->lock);
	BUG_ON(r->ended);
	vec_push(&r->events, xasprintf("%s %.*s %" PRId64 "%s", names[t], SV_ARG(obj_name(o)), obj_rev(o),
				       obj_json(o).n ? "" : " kept"));
	pthread_mutex_unlock(&r->lock);
}

static void on_end(const struct err *why, void *ctx)
{
	struct rig *r = ctx;

	pthread_mutex_lock(&r->lock);
	BUG_ON(r->ended);
	r->ended = true;
	if (why->reason != ERR_NONE)
		err_copy(&r->why, why);
	r->why.retry_after_s = why->retry_after_s;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* Runs a watch to its end; events and why are in the rig. */
static void watch_out(struct rig *r, const struct client_list_opts *o)
{
	static const struct client_watch_cb cb = { .event = on_event, .end = on_end };
	struct client_watch *w = NULL;
	struct timespec t;

	for (size_t i = 0; i < r->events.n; i++)
		free(r->events.p[i]);
	vec_clear(&r->events);
	r->ended = false;
	err_release(&r->why);
	assert_int_equal(client_watch(r->c, CM, SV("ns"), o, &cb, r, &w, NULL), 0);
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 60;
	pthread_mutex_lock(&r->lock);
	while (!r->ended)
		assert_int_equal(pthread_cond_timedwait(&r->changed, &r->lock, &t), 0);
	pthread_mutex_unlock(&r->lock);
	client_unwatch(r->c, w);
}

#define EVENT(type, name, rev) \
	"{\"type\":\"" type "\",\"object\":{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" rev "\"}}}"

static void lines_of_a_watch(void **state)
{
	struct rig *r = *state;

	/* Cut anywhere, empty lines, types of the future, no line end at the end. */
	script(r, { 200, .pieces = { EVENT("ADDED", "a", "1") "\n\n" EVENT("MODI", "x", "9") "\n{\"type\":\"MODIF",
				     "IED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"2\"}}}\n",
				     EVENT("BOOKMARK", "", "3") "\r\n" EVENT("DELETED", "a", "4") } });
	watch_out(r, &(struct client_list_opts){ .resource_version = 1, .field_selector = "metadata.name=a" });
	assert_int_equal(r->why.reason, ERR_NONE);
	assert_int_equal(r->events.n, 4);
	assert_string_equal(r->events.p[0], "ADDED a 1");
	assert_string_equal(r->events.p[1], "MODIFIED a 2");
	assert_string_equal(r->events.p[2], "BOOKMARK  3");
	assert_string_equal(r->events.p[3], "DELETED a 4");
	assert_string_equal(
	    asked(r, 0)->line,
	    "GET /front/api/v1/namespaces/ns/configmaps?watch=true&allowWatchBookmarks=true&fieldSelector="
	    "metadata.name%3Da&resourceVersion=1");
}

static void watches_keep_less(void **state)
{
	struct rig *r = *state;
	struct keep *k = keep_new();

	script(r, { 200, .pieces = { EVENT("ADDED", "a", "1") "\n" EVENT("BOOKMARK", "", "3") "\n" } });
	watch_out(r, &(struct client_list_opts){ .resource_version = 1, .keep = k });
	assert_int_equal(r->events.n, 2);
	assert_string_equal(r->events.p[0], "ADDED a 1 kept");
	assert_string_equal(r->events.p[1], "BOOKMARK  3 kept");
	keep_unref(k);
}

static void how_watches_end(void **state)
{
	struct rig *r = *state;

	script(r, /* refused */ { 403, "retry-after", "2", .body = "no" }, { 410, .body = EXPIRED },
	       /* an error in the stream, and what must not count after it */
	       { 200, .pieces = { EVENT("ADDED", "a", "1") "\n{\"type\":\"ERROR\",\"object\":" EXPIRED
							   "}\n" EVENT("ADDED", "b", "2") "\n" } },
	       { 200, .pieces = { "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"reason\":\"Gone\",\"code\":"
				  "410}}\n" } },
	       /* broken off, nonsense, over at once */
	       { 200, .pieces = { EVENT("ADDED", "a", "1") "\n{\"type\"" }, .tear = true },
	       { 200, .pieces = { "{]\n" EVENT("ADDED", "a", "1") "\n" } }, { 200, .pieces = { "\n" } });
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_FORBIDDEN);
	assert_int_equal(r->why.retry_after_s, 2);
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_EXPIRED);
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_EXPIRED);
	assert_string_equal(err_msg(&r->why), "too old");
	assert_int_equal(r->events.n, 1);
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_EXPIRED);
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_UNAVAILABLE);
	assert_int_equal(r->events.n, 1);
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_INTERNAL);
	assert_int_equal(r->events.n, 0);
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_UNAVAILABLE);
}

/* A line without an end is not collected for ever. */
static void endless_lines_end(void **state)
{
	struct rig *r = *state;

	script(r, { 200, .body = EVENT("ADDED", "a", "1") "\n", .pad = (size_t)65 << 20 });
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_TOO_LARGE);
	assert_int_equal(r->events.n, 1);
}

static void nobody_there(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct client_https_opts o = { .server = "http://127.0.0.1:1", .name = "unit" };

	client_free(r->c);
	r->c = client_https_new(r->env, &o, &err);
	assert_int_equal(client_get(r->c, CM, SV("ns"), SV("n"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	watch_out(r, NULL);
	assert_int_equal(r->why.reason, ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(names_stay_names, setup, teardown),
		cmocka_unit_test_setup_teardown(token_files_are_read_again, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_without_a_status, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_with_a_status, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(lists_in_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(readers_keep_less, setup, teardown),
		cmocka_unit_test_setup_teardown(expired_pages_start_again, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_of_a_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(watches_keep_less, setup, teardown),
		cmocka_unit_test_setup_teardown(how_watches_end, setup, teardown),
		cmocka_unit_test_setup_teardown(endless_lines_end, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
	};

	return cmocka_run_group_tests_name("https", tests, NULL, NULL);
}
