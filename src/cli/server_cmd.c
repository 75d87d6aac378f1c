/* `caravel server list` and `caravel server remove`: the servers of a cluster that keeps its objects in etcds of their
 * own, by an administrator's kubeconfig. */
#include "cli/admin.h"
#include "cli/agent.h"
#include "cli/api_way.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX ((size_t)1 << 20)
#define PATH "/v1-caravel/members"

struct server_cmd {
	struct admin adm;
	struct string_list words;
	struct api_way way;
	struct arena arena;
};

static void server_cmd_release(struct server_cmd *c)
{
	api_way_release(&c->way);
	string_list_release(&c->words);
	arena_release(&c->arena);
}

/* 0, 1: help was printed, -1. */
static int server_cmd_begin(struct server_cmd *c, int argc, char **argv, size_t words, struct err *err)
{
	const struct option table[] = { ADMIN_WHERE(c->adm) };
	int rc = cli_options_parse(&c->arena, table, ARRAY_LEN(table), argc, argv, NULL, &c->words, err);
	const char *kubeconfig;

	if (rc)
		return rc;
	if (c->words.list.n - 1 != words)
		return err_set(err, ERR_INVALID,
			       words ? "which server? usage: caravel server remove NAME"
				     : "no argument is taken: 'caravel help server list'");
	kubeconfig = admin_way(&c->adm, &c->arena, err);
	return kubeconfig ? api_way_open(&c->way, &c->arena, kubeconfig, err) : -1;
}

static int server_cmd_ask(struct server_cmd *c, const char *method, const char *path, const struct val **ret,
			  struct err *err)
{
	struct http_response r;

	if (api_way_call(&c->way, &c->arena, method, path, SV(""), ANSWER_MAX, &r, err) < 0)
		return -1;
	if (r.status != 200)
		return api_way_refused(&c->way, &r, err);
	*ret = json_decode(&c->arena, r.body, NULL, NULL);
	return *ret ? 0 : err_set(err, ERR_INTERNAL, "%s answers with what is no JSON", c->way.what);
}

/* What a peer says, for a terminal. */
static struct sv server_text(struct server_cmd *c, const struct val *of, const char *name)
{
	struct sv text = val_str(val_member_sv(of, sv_from(name)));
	char *p = arena_cstr(&c->arena, text.n ? text : SV("<none>"));

	for (char *at = p; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			*at = '?';
	return sv_from(p);
}

int cmd_server_list(int argc, char **argv)
{
	_cleanup_(server_cmd_release) struct server_cmd c = { .way = { .pool = NULL } };
	const struct val *said, *list;
	struct err err = ERR_INIT;
	int rc = server_cmd_begin(&c, argc, argv, 0, &err), width = sizeof("NAME") + 1;

	if (rc > 0)
		return 0;
	if (rc < 0 || server_cmd_ask(&c, "GET", PATH, &said, &err) < 0)
		return cli_fail_err(&err);
	list = val_member_sv(said, SV("members"));
	for (size_t i = 0; i < val_len(list); i++)
		width = MAX(width, (int)MIN(server_text(&c, val_at(list, i), "name").n + 2, 80));
	printf("%-*s%-10s%-9s%-18s%s\n", width, "NAME", "VOTES", "ANSWERS", "ID", "ADDRESS");
	for (size_t i = 0; i < val_len(list); i++) {
		const struct val *m = val_at(list, i);

		printf("%-*.*s%-10s%-9s%-18.*s%.*s\n", width, SV_ARG(server_text(&c, m, "name")),
		       val_bool(val_member_sv(m, SV("learner"))) ? "not yet" : "yes",
		       val_bool(val_member_sv(m, SV("answers"))) ? "yes" : "no", SV_ARG(server_text(&c, m, "id")),
		       SV_ARG(server_text(&c, m, "peerURL")));
	}
	return 0;
}

/* In a path nothing but itself. */
static bool server_name_good(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' ||
		      *c == '.' || *c == '_'))
			return false;
	return *name && strlen(name) < 256;
}

int cmd_server_remove(int argc, char **argv)
{
	_cleanup_(server_cmd_release) struct server_cmd c = { .way = { .pool = NULL } };
	const struct val *said;
	struct err err = ERR_INIT;
	int rc = server_cmd_begin(&c, argc, argv, 1, &err);
	const char *name;

	if (rc > 0)
		return 0;
	name = rc == 0 ? c.words.list.p[0] : "";
	if (rc == 0 && !server_name_good(name))
		rc = err_set(&err, ERR_INVALID, "'%s' is no name of a server: 'caravel server list' lists them", name);
	if (rc < 0 || server_cmd_ask(&c, "DELETE", arena_printf(&c.arena, PATH "/%s", name), &said, &err) < 0)
		return cli_fail_err(&err);
	printf("removed server %.*s\n", SV_ARG(server_text(&c, said, "removed")));
	return 0;
}
