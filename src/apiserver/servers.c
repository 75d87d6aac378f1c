#include "apiserver/servers.h"

#include "apiserver/apiserver-internal.h"

#define MEMBERS "/v1-caravel/members"
#define RESEAL "/v1-caravel/servers-token"

static const struct {
	const char *method, *path; /* a path that ends in a slash goes on with a name */
	enum servers_question what;
	bool masters;
} paths[] = {
	{ "POST", MEMBERS, SERVERS_JOIN, false },
	{ "GET", MEMBERS, SERVERS_LIST, true },
	{ "DELETE", MEMBERS "/", SERVERS_REMOVE, true },
	{ "PUT", RESEAL, SERVERS_TOKEN, true },
};

bool servers_path(struct sv path)
{
	return sv_starts(path, SV(MEMBERS)) || sv_is(path, RESEAL);
}

static bool servers_path_is(const char *path, struct sv asked, struct sv *ret_name)
{
	size_t n = strlen(path);

	*ret_name = sv_sub(asked, n, asked.n);
	if (path[n - 1] != '/')
		return sv_is(asked, path);
	return asked.n > n && sv_starts(asked, sv_from(path)) && sv_find(*ret_name, '/') < 0;
}

static int servers_ask(struct api_req *q, size_t i, struct sv name, struct sv *ret, struct err *err)
{
	const struct servers_asked asked = { .what = paths[i].what, .name = name, .body = q->body };

	if (paths[i].masters && !user_in_group(&q->user, SV("system:masters")))
		return err_set(err, ERR_FORBIDDEN,
			       "User \"%.*s\" cannot %.*s path \"%.*s\": it is for system:masters only",
			       SV_ARG(q->user.name), SV_ARG(api_req_verb(q)), SV_ARG(q->path));
	return q->server->o.servers(q->server->o.servers_ctx, q->arena, &asked, ret, err);
}

bool servers_serve(struct api_req *q)
{
	struct err err = ERR_INIT;
	struct sv name, said;

	for (size_t i = 0; q->server->o.servers && i < ARRAY_LEN(paths); i++) {
		if (!sv_is(q->method, paths[i].method) || !servers_path_is(paths[i].path, q->path, &name))
			continue;
		if (servers_ask(q, i, name, &said, &err) < 0)
			api_req_fail(q, &err);
		else
			answer_text(q, 200, "application/json", said);
		return true;
	}
	return false;
}
