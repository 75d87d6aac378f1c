/* Paths: for every resource its collection, its items and their subresources, with the
 * operations its verbs allow. Operation ids follow upstream's pattern, since generated clients
 * name their methods after them: readCoreV1NamespacedPodStatus. */
#include "object/api_kind.h"
#include "object/openapi_write.h"

#include <ctype.h>

enum method { METHOD_GET, METHOD_PUT, METHOD_POST, METHOD_DELETE, METHOD_PATCH, _METHOD_MAX };

struct op {
	enum method method;
	const char *verb;   /* first word of the operation id */
	const char *action; /* x-kubernetes-action */
	const char *body;   /* definition of the request body, or NULL */
	const char *result; /* definition of the answer, or NULL: text */
	const char *group, *version, *kind;
	bool collection, all_namespaces;
};

#define PATCH_DEFINITION "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
#define STATUS_DEFINITION "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
#define DELETE_DEFINITION "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"

struct param {
	const char *name, *type, *doc;
};

static const struct param list_params[] = {
	{ "allowWatchBookmarks", "boolean", "Let a watch send bookmarks." },
	{ "continue", "string", "Token of the next page, from the page before." },
	{ "fieldSelector", "string", "Only objects whose fields match." },
	{ "labelSelector", "string", "Only objects whose labels match." },
	{ "limit", "integer", "At most this many objects a page." },
	{ "resourceVersion", "string", "Which version of the data to read or watch from." },
	{ "resourceVersionMatch", "string", "How resourceVersion is meant." },
	{ "sendInitialEvents", "boolean", "Begin a watch with an event for every object there is." },
	{ "shardSelector", "string",
	  "Only objects whose metadata hash into ranges, shardRange(object.metadata.uid, '0x...', '0x...') || ..., "
	  "with "
	  "the feature gate ShardedListAndWatch." },
	{ "timeoutSeconds", "integer", "End the call after this long." },
	{ "watch", "boolean", "Send changes as they happen." },
	{ 0 },
};

static const struct param write_params[] = {
	{ "dryRun", "string", "All: do everything but store." },
	{ "fieldManager", "string", "Who makes the change." },
	{ "fieldValidation", "string", "What to do about unknown and repeated fields: Ignore, Warn or Strict." },
	{ 0 },
};

static const struct param force_param[] = {
	{ "force", "boolean", "Apply: take fields over from other managers." },
	{ 0 },
};

static const struct param delete_params[] = {
	{ "dryRun", "string", "All: do everything but store." },
	{ "gracePeriodSeconds", "integer", "How long the object may take to end." },
	{ "ignoreStoreReadErrorWithClusterBreakingPotential", "boolean",
	  "Delete an object that cannot be read any more, without its finalizers." },
	{ "orphanDependents", "boolean", "Deprecated: see propagationPolicy." },
	{ "propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground." },
	{ 0 },
};

static void paths_add_param(struct openapi_writer *o, const struct param *p, const char *in)
{
	jw_open(&o->w, '{');
	jw_str(&o->w, "name", p->name);
	jw_str(&o->w, "in", in);
	jw_str(&o->w, "description", p->doc);
	if (*in == 'p')
		jw_raw(&o->w, "\"required\":true");
	if (o->v3) {
		jw_key(&o->w, "schema");
		jw_open(&o->w, '{');
	}
	jw_str(&o->w, "type", p->type);
	jw_raw(&o->w, "\"uniqueItems\":true");
	if (o->v3)
		jw_close(&o->w, '}');
	jw_close(&o->w, '}');
}

static void add_params(struct openapi_writer *o, const struct param *p)
{
	for (; p->name; p++)
		paths_add_param(o, p, "query");
}

/* {"schema":{"$ref":...}}, the body of a version 2 answer and of a version 3 media type. */
static void add_schema(struct openapi_writer *o, const char *definition)
{
	jw_key(&o->w, "schema");
	jw_open(&o->w, '{');
	if (definition)
		openapi_ref(o, definition);
	else
		jw_str(&o->w, "type", "string");
	jw_close(&o->w, '}');
}

static void add_content(struct openapi_writer *o, const char *const *types, const char *definition)
{
	jw_key(&o->w, "content");
	jw_open(&o->w, '{');
	for (; *types; types++) {
		jw_key(&o->w, *types);
		jw_open(&o->w, '{');
		add_schema(o, definition);
		jw_close(&o->w, '}');
	}
	jw_close(&o->w, '}');
}

static const char *const any_type[] = { "*/*", NULL };
static const char *const text_type[] = { "text/plain", NULL };
static const char *const object_types[] = { "application/json", "application/yaml",
					    "application/vnd.kubernetes.protobuf", NULL };
static const char *const list_types[] = { "application/json",
					  "application/yaml",
					  "application/vnd.kubernetes.protobuf",
					  "application/json;stream=watch",
					  "application/vnd.kubernetes.protobuf;stream=watch",
					  NULL };
static const char *const patch_types[] = { "application/apply-patch+yaml", "application/json-patch+json",
					   "application/merge-patch+json", "application/strategic-merge-patch+json",
					   NULL };
/* Where lists merge by what Go's structs say, custom kinds have none: kubectl apply goes by this. */
static const char *const custom_patch_types[] = { "application/apply-patch+yaml", "application/json-patch+json",
						  "application/merge-patch+json", NULL };

static const char *const *patch_types_of(const struct resource *r)
{
	return resource_late(r) ? custom_patch_types : patch_types;
}

static void paths_add_strings(struct openapi_writer *o, const char *key, const char *const *list)
{
	jw_key(&o->w, key);
	jw_open(&o->w, '[');
	for (; *list; list++)
		jw_sv(&o->w, sv_from(*list));
	jw_close(&o->w, ']');
}

static void add_answer(struct openapi_writer *o, const struct op *op, const char *code, const char *doc)
{
	bool list = strcmp(op->action, "list") == 0;

	jw_key(&o->w, code);
	jw_open(&o->w, '{');
	jw_str(&o->w, "description", doc);
	if (!o->v3)
		add_schema(o, op->result);
	else
		add_content(o, !op->result ? text_type : list ? list_types : object_types, op->result);
	jw_close(&o->w, '}');
}

static void paths_add_body(struct openapi_writer *o, const struct resource *r, const struct op *op)
{
	bool optional = op->method == METHOD_DELETE;

	if (o->v3) {
		jw_key(&o->w, "requestBody");
		jw_open(&o->w, '{');
		add_content(o, op->method == METHOD_PATCH ? patch_types_of(r) : any_type, op->body);
		if (!optional)
			jw_raw(&o->w, "\"required\":true");
		jw_close(&o->w, '}');
		return;
	}
	jw_open(&o->w, '{');
	jw_raw(&o->w, "\"name\":\"body\",\"in\":\"body\"");
	if (!optional)
		jw_raw(&o->w, "\"required\":true");
	add_schema(o, op->body);
	jw_close(&o->w, '}');
}

/* "rbac.authorization.k8s.io" -> "rbacAuthorization"; the core group is "core". */
static void add_group_word(struct buf *b, const char *group, bool upper)
{
	struct sv rest = sv_from(*group ? group : "core");

	if (sv_ends(rest, SV(".k8s.io")))
		rest = sv_sub(rest, 0, rest.n - strlen(".k8s.io"));
	for (size_t i = 0; i < rest.n; i++) {
		if (rest.p[i] == '.' || rest.p[i] == '-')
			upper = true;
		else
			buf_addc(b, upper ? (char)toupper((unsigned char)rest.p[i]) : rest.p[i]);
		if (rest.p[i] != '.' && rest.p[i] != '-')
			upper = false;
	}
}

static void add_capitalised(struct buf *b, const char *word)
{
	buf_addc(b, (char)toupper((unsigned char)*word));
	buf_adds(b, word + 1);
}

static void add_op(struct openapi_writer *o, const struct resource *r, const char *sub, const struct op *op)
{
	static const char *const names[_METHOD_MAX] = { "get", "put", "post", "delete", "patch" };
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	jw_key(&o->w, names[op->method]);
	jw_open(&o->w, '{');
	add_group_word(&text, r->group, false);
	buf_printf(&text, "_%s", r->version);
	jw_key(&o->w, "tags");
	jw_open(&o->w, '[');
	jw_sv(&o->w, buf_sv(&text));
	jw_close(&o->w, ']');

	buf_clear(&text);
	buf_adds(&text, op->verb);
	add_group_word(&text, r->group, true);
	add_capitalised(&text, r->version);
	if (op->collection && op->method == METHOD_DELETE)
		buf_adds(&text, "Collection");
	if (r->namespaced && !op->all_namespaces)
		buf_adds(&text, "Namespaced");
	buf_adds(&text, r->kind);
	if (sub)
		add_capitalised(&text, sub);
	if (op->all_namespaces)
		buf_adds(&text, "ForAllNamespaces");
	jw_key(&o->w, "operationId");
	jw_sv(&o->w, buf_sv(&text));

	if (!o->v3) {
		jw_raw(&o->w, "\"schemes\":[\"https\"]");
		paths_add_strings(o, "consumes", op->method == METHOD_PATCH ? patch_types_of(r) : any_type);
		paths_add_strings(o, "produces",
				  !op->result			    ? text_type
				  : strcmp(op->action, "list") == 0 ? list_types
								    : object_types);
	}
	jw_key(&o->w, "parameters");
	jw_open(&o->w, '[');
	if (op->body && !o->v3)
		paths_add_body(o, r, op);
	if (op->collection && (op->method == METHOD_GET || op->method == METHOD_DELETE))
		add_params(o, list_params);
	if (op->method == METHOD_DELETE && op->body)
		add_params(o, delete_params);
	if (op->body && op->method != METHOD_DELETE)
		add_params(o, write_params);
	if (op->method == METHOD_PATCH && op->body)
		add_params(o, force_param);
	jw_close(&o->w, ']');
	if (op->body && o->v3)
		paths_add_body(o, r, op);

	jw_key(&o->w, "responses");
	jw_open(&o->w, '{');
	add_answer(o, op, "200", "OK");
	if (op->body && op->method != METHOD_DELETE)
		add_answer(o, op, "201", "Created");
	if (op->body && (op->method == METHOD_POST || (op->method == METHOD_DELETE && !op->collection)))
		add_answer(o, op, "202", "Accepted");
	jw_key(&o->w, "401");
	jw_raw(&o->w, "{\"description\":\"Unauthorized\"}");
	jw_close(&o->w, '}');
	jw_str(&o->w, "x-kubernetes-action", op->action);
	jw_key(&o->w, "x-kubernetes-group-version-kind");
	openapi_gvk(o, op->group, op->version, op->kind);
	jw_close(&o->w, '}');
}

/* Begins a path: its key and the parameters that all its operations share. */
static void open_path(struct openapi_writer *o, const struct resource *r, bool in_namespace, bool item, const char *sub)
{
	static const struct param ns = { "namespace", "string", "Which namespace." },
				  name = { "name", "string", "Which object." },
				  pretty = { "pretty", "string", "Indent the answer." };
	_cleanup_(buf_release) struct buf path = BUF_INIT;

	buf_printf(&path, "%s%s/%s", *r->group ? "/apis/" : "/api", r->group, r->version);
	if (in_namespace)
		buf_adds(&path, "/namespaces/{namespace}");
	buf_printf(&path, "/%s", r->plural);
	if (item)
		buf_adds(&path, "/{name}");
	if (sub)
		buf_printf(&path, "/%s", sub);
	jw_keysv(&o->w, buf_sv(&path));
	jw_open(&o->w, '{');
	jw_key(&o->w, "parameters");
	jw_open(&o->w, '[');
	if (in_namespace)
		paths_add_param(o, &ns, "path");
	if (item)
		paths_add_param(o, &name, "path");
	paths_add_param(o, &pretty, "query");
	jw_close(&o->w, ']');
}

static void add_collection(struct openapi_writer *o, const struct resource *r, const char *kind, const char *list)
{
	struct op op = { .group = r->group, .version = r->version, .kind = r->kind, .collection = true };

	open_path(o, r, r->namespaced, false, NULL);
	if (r->verbs & 1 << VERB_LIST) {
		op.method = METHOD_GET;
		op.verb = op.action = "list";
		op.result = list;
		add_op(o, r, NULL, &op);
	}
	if (r->verbs & 1 << VERB_CREATE) {
		op.method = METHOD_POST;
		op.verb = "create";
		op.action = "post";
		op.body = op.result = kind;
		add_op(o, r, NULL, &op);
	}
	if (r->verbs & 1 << VERB_DELETECOLLECTION) {
		op.method = METHOD_DELETE;
		op.verb = "delete";
		op.action = "deletecollection";
		op.body = DELETE_DEFINITION;
		op.result = STATUS_DEFINITION;
		add_op(o, r, NULL, &op);
	}
	jw_close(&o->w, '}');
	if (!r->namespaced || !(r->verbs & 1 << VERB_LIST))
		return;
	open_path(o, r, false, false, NULL);
	op = (struct op){ .method = METHOD_GET,
			  .verb = "list",
			  .action = "list",
			  .result = list,
			  .group = r->group,
			  .version = r->version,
			  .kind = r->kind,
			  .collection = true,
			  .all_namespaces = true };
	add_op(o, r, NULL, &op);
	jw_close(&o->w, '}');
}

/* An item or a subresource: one operation a verb. body: what writes send and all return; NULL: streams. */
static void add_item(struct openapi_writer *o, const struct resource *r, const char *sub, unsigned verbs,
		     const char *body, struct op op)
{
	static const struct {
		enum verb verb;
		enum method method;
		const char *word, *action, *connect;
	} rows[] = {
		{ VERB_GET, METHOD_GET, "read", "get", "connectGet" },
		{ VERB_UPDATE, METHOD_PUT, "replace", "put", "connectPut" },
		{ VERB_CREATE, METHOD_POST, "create", "post", "connectPost" },
		{ VERB_DELETE, METHOD_DELETE, "delete", "delete", "connectDelete" },
		{ VERB_PATCH, METHOD_PATCH, "patch", "patch", "connectPatch" },
	};
	bool connect = sub && !body && strcmp(sub, "log") != 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!(verbs & 1u << rows[i].verb))
			continue;
		op.method = rows[i].method;
		op.verb = connect ? rows[i].connect : rows[i].word;
		op.action = connect ? "connect" : rows[i].action;
		op.result = op.method == METHOD_DELETE && body ? STATUS_DEFINITION : body;
		op.body = !body || op.method == METHOD_GET ? NULL
			  : op.method == METHOD_PATCH	   ? PATCH_DEFINITION
			  : op.method == METHOD_DELETE	   ? DELETE_DEFINITION
							   : body;
		add_op(o, r, sub, &op);
	}
}

void openapi_paths(struct openapi_writer *o, const struct resource *r)
{
	const unsigned item_verbs = 1 << VERB_GET | 1 << VERB_UPDATE | 1 << VERB_DELETE | 1 << VERB_PATCH;
	_cleanup_(buf_release) struct buf kind = BUF_INIT, list = BUF_INIT;
	const char *kind_name = openapi_kind_name(r, &kind, false), *list_name = openapi_kind_name(r, &list, true);
	struct op op = { .group = r->group, .version = r->version, .kind = r->kind };

	add_collection(o, r, kind_name, list_name);
	if (r->verbs & item_verbs) {
		open_path(o, r, r->namespaced, true, NULL);
		add_item(o, r, NULL, r->verbs & item_verbs, kind_name, op);
		jw_close(&o->w, '}');
	}
	for (size_t i = 0; i < r->n_subresources; i++) {
		const struct subresource *s = &r->subresources[i];
		const char *body = s->schema ? s->schema->openapi : NULL;

		/* A custom resource's status has the type of the resource, which has no table. */
		if (!body && !r->schema)
			body = kind_name;
		open_path(o, r, r->namespaced, true, s->name);
		op.group = s->group;
		op.version = s->version;
		op.kind = s->kind;
		add_item(o, r, s->name, s->verbs, body, op);
		jw_close(&o->w, '}');
	}
}
