/* `caravel token …`: the bootstrap tokens of a cluster, as people know them of kubeadm and k3s. They are Secrets; an
 * administrator's kubeconfig makes, lists and deletes them. */
#include "apiserver/bootstrap/join_token.h"
#include "base/file.h"
#include "base/timefmt.h"
#include "base/buf.h"
#include "cli/admin.h"
#include "cli/api_way.h"
#include "cli/server.h"
#include "cli/token_word.h"
#include "client/bootstrap_token.h"
#include "client/https.h"
#include "client/kubeconfig.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "ev/ev.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TOKEN_MAX ((size_t)4096)
#define ANSWER_MAX ((size_t)1 << 20)

struct token_cmd {
	const char *ttl, *description, *new_token;
	struct admin adm;
	struct string_list groups, usages, words;
	bool print_join_command, servers;
	const char *old_token, *old_file, *new_file, *word_file;
	struct arena arena;
};

static void token_cmd_release(struct token_cmd *t)
{
	string_list_release(&t->groups);
	string_list_release(&t->usages);
	string_list_release(&t->words);
	admin_release(&t->adm);
	arena_release(&t->arena);
}

static struct token_cmd token_cmd_init(void)
{
	return (struct token_cmd){ .ttl = "24h", .description = "" };
}

/* 0, 1: help was printed, -1. The words that are no flags are in t->words, and not in argv any more: they are tokens.
 */
static int token_parse(struct token_cmd *t, const struct option *table, size_t n, int argc, char **argv, size_t words,
		       struct err *err)
{
	int rc = cli_options_parse(&t->arena, table, n, argc, argv, NULL, &t->words, err);

	if (rc == 0 && t->words.list.n - 1 > words)
		rc = err_set(err, ERR_INVALID, "unexpected argument '%s'; 'caravel help %s' says what it takes",
			     t->words.list.p[words], argv[0]);
	if (rc == 0)
		cli_words_hide(&t->arena, argv, &t->words);
	return rc;
}

static int token_begin(struct token_cmd *t, const struct option *table, size_t n, int argc, char **argv, size_t words,
		       struct err *err)
{
	int rc = token_parse(t, table, n, argc, argv, words, err);

	return rc ? rc : admin_connect(&t->adm, &t->arena, "caravel-token", err);
}

static int token_end(int rc, struct err *err)
{
	return rc < 0 ? cli_fail_err(err) : 0;
}

/* --- create --- */

static int token_parse_usages(const struct token_cmd *t, struct bootstrap_token_opts *o, struct err *err)
{
	o->authentication = o->signing = !t->usages.list.p || !t->usages.list.p[0];
	for (const char *const *u = t->usages.list.p; u && *u; u++) {
		if (strcmp(*u, "authentication") == 0)
			o->authentication = true;
		else if (strcmp(*u, "signing") == 0)
			o->signing = true;
		else
			return err_set(err, ERR_INVALID, "--usages takes signing and authentication, not '%s'", *u);
	}
	return 0;
}

static int token_parse_groups(struct token_cmd *t, struct bootstrap_token_opts *o, struct err *err)
{
	const char *all = "";

	o->groups = BOOTSTRAP_TOKEN_GROUP;
	for (const char *const *g = t->groups.list.p; g && *g; g++) {
		if (!bootstrap_group_good(sv_from(*g)))
			return err_set(
			    err, ERR_INVALID,
			    "--groups takes groups that begin with system:bootstrappers: and go on in a-z, 0-9, - "
			    "and :, not '%s'",
			    *g);
		all = *all ? arena_printf(&t->arena, "%s,%s", all, *g) : *g;
		o->groups = all;
	}
	/* Groups are what an authenticated user is in. */
	if (!o->authentication)
		o->groups = NULL;
	return 0;
}

static int token_parse_ttl(const struct token_cmd *t, struct bootstrap_token_opts *o, struct err *err)
{
	int64_t ttl;

	if (!duration_parse(sv_from(t->ttl), &ttl) || ttl < 0)
		return err_set(err, ERR_INVALID, "--ttl takes a time like 24h or 30m, or 0 for ever, not '%s'", t->ttl);
	o->end_ns = ttl ? env_now_ns(t->adm.env) + ttl : INT64_MAX;
	return 0;
}

/* Where other machines reach the server: what it tells them itself, else what the kubeconfig says. */
static const char *token_server(struct token_cmd *t)
{
	struct obj *o = NULL;
	const struct val *doc = NULL;
	const char *url = t->adm.k.server;

	if (client_get(t->adm.client, RES(core_configmaps), SV(CLUSTER_INFO_NS), SV(CLUSTER_INFO), &o, NULL) == 0)
		doc = yaml_decode(&t->arena, val_str(val_member_sv(obj_get(o, F_data), SV("kubeconfig"))), NULL);
	doc = val_member_sv(val_member_sv(val_at(val_member_sv(doc, SV("clusters")), 0), SV("cluster")), SV("server"));
	if (val_str(doc).n)
		url = arena_cstr(&t->arena, val_str(doc));
	obj_unref(o);
	return url;
}

static void token_print(struct token_cmd *t, const struct join_token *token)
{
	struct sv text = t->adm.k.ca_pem.n
			     ? join_token_format(&t->arena, t->adm.k.ca_pem, token->id, token->secret)
			     : arena_svf(&t->arena, "%.*s.%.*s", SV_ARG(token->id), SV_ARG(token->secret));

	if (t->print_join_command)
		printf("caravel agent --server %s --token %.*s\n", token_server(t), SV_ARG(text));
	else
		printf("%.*s\n", SV_ARG(text));
}

static int token_write(struct token_cmd *t, const struct bootstrap_token_opts *o, struct err *err)
{
	struct err why = ERR_INIT;

	if (client_create(t->adm.client, RES(core_secrets), SV(BOOTSTRAP_TOKEN_NS), bootstrap_token_doc(&t->arena, o),
			  NULL, NULL, &why) == 0)
		return 0;
	if (why.reason == ERR_ALREADY_EXISTS) {
		err_release(&why);
		return err_set(err, ERR_ALREADY_EXISTS,
			       "there is a token '%.*s': 'caravel token delete %.*s' deletes it", SV_ARG(o->token.id),
			       SV_ARG(o->token.id));
	}
	return err_move(err, &why);
}

static int token_given(struct token_cmd *t, const char *text, struct join_token *ret, struct err *err)
{
	if (!text) {
		bootstrap_token_random(t->adm.env, &t->arena, ret);
		return 0;
	}
	return join_token_parse(sv_from(text), ret, err) < 0 ||
		       (ret->ca_hash.n && join_token_check_ca(ret, t->adm.k.ca_pem, err) < 0)
		   ? -1
		   : 0;
}

int cmd_token_create(int argc, char **argv)
{
	_cleanup_(token_cmd_release) struct token_cmd t = token_cmd_init();
	const struct option table[] = {
		{ "ttl", 0, OPT_STRING, &t.ttl, "TIME", "how long it is good; 0: for ever (24h)" },
		{ "description", 0, OPT_STRING, &t.description, "TEXT", "what it is for" },
		{ "groups", 0, OPT_LIST, &t.groups, "GROUP",
		  "whom it makes of who comes with it (" BOOTSTRAP_TOKEN_GROUP ")" },
		{ "usages", 0, OPT_LIST, &t.usages, "USAGE", "signing, authentication (both)" },
		{ "print-join-command", 0, OPT_BOOL, &t.print_join_command, NULL,
		  "print the whole command for the new node" },
		{ "token-file", 0, OPT_STRING, &t.word_file, "FILE", "that holds TOKEN, which is no word then" },
		ADMIN_WHERE(t.adm),
	};
	struct bootstrap_token_opts o = { .description = NULL };
	struct err err = ERR_INIT;
	int rc = token_begin(&t, table, ARRAY_LEN(table), argc, argv, 1, &err);
	const char *word = rc == 0 ? t.words.list.p[0] : NULL;

	if (rc > 0)
		return 0;
	o.description = t.description;
	if (rc < 0 || token_word(&t.arena, "token", &word, t.word_file, &err) < 0 ||
	    token_given(&t, word, &o.token, &err) < 0 || token_parse_usages(&t, &o, &err) < 0 ||
	    token_parse_groups(&t, &o, &err) < 0 || token_parse_ttl(&t, &o, &err) < 0 || token_write(&t, &o, &err) < 0)
		return cli_fail_err(&err);
	token_print(&t, &o.token);
	return 0;
}

int cmd_token_generate(int argc, char **argv)
{
	_cleanup_(token_cmd_release) struct token_cmd t = token_cmd_init();
	struct err err = ERR_INIT;
	struct join_token token;
	int rc = cli_options_parse(&t.arena, NULL, 0, argc, argv, NULL, NULL, &err);

	if (rc)
		return rc < 0 ? cli_fail_err(&err) : 0;
	t.adm.env = env_real_new(1);
	bootstrap_token_random(t.adm.env, &t.arena, &token);
	printf("%.*s.%.*s\n", SV_ARG(token.id), SV_ARG(token.secret));
	return 0;
}

/* --- list --- */

/* What a Secret says, for a terminal. */
static struct sv token_text(struct token_cmd *t, const struct obj *o, const char *field, const char *if_none)
{
	struct sv text = bootstrap_token_field(&t->arena, o, field);
	char *p = arena_cstr(&t->arena, text.n ? text : sv_from(if_none));

	for (char *c = p; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return sv_from(p);
}

static void token_print_row(struct token_cmd *t, const struct obj *o, int width)
{
	_cleanup_(buf_release) struct buf ttl = BUF_INIT;
	bool auth = sv_is(token_text(t, o, "usage-bootstrap-authentication", ""), "true"),
	     sign = sv_is(token_text(t, o, "usage-bootstrap-signing", ""), "true");
	int64_t end = bootstrap_token_end(o), now = env_now_ns(t->adm.env);

	if (end == INT64_MAX)
		buf_adds(&ttl, "<forever>");
	else if (end <= now)
		buf_adds(&ttl, "<invalid>");
	else
		duration_human(&ttl, end - now);
	cli_print("%-8.*s%-11s%-22.*s%-24s%-*.*s%.*s\n", SV_ARG(token_text(t, o, "token-id", "<none>")), buf_cstr(&ttl),
		  SV_ARG(token_text(t, o, "expiration", "<never>")),
		  auth && sign ? "authentication,signing"
		  : auth       ? "authentication"
		  : sign       ? "signing"
			       : "<none>",
		  width, SV_ARG(token_text(t, o, "description", "<none>")),
		  SV_ARG(token_text(t, o, "auth-extra-groups", "<none>")));
}

static int token_list(struct token_cmd *t, struct obj_list *list, struct err *err)
{
	return client_list(t->adm.client, RES(core_secrets), SV(BOOTSTRAP_TOKEN_NS),
			   &(struct client_list_opts){ .field_selector = "type=" BOOTSTRAP_TOKEN_TYPE }, list, err);
}

int cmd_token_list(int argc, char **argv)
{
	_cleanup_(token_cmd_release) struct token_cmd t = token_cmd_init();
	_cleanup_(obj_list_release) struct obj_list list = { NULL, 0, 0, 0 };
	const struct option table[] = { ADMIN_WHERE(t.adm) };
	struct err err = ERR_INIT;
	int rc = token_begin(&t, table, ARRAY_LEN(table), argc, argv, 0, &err), width = sizeof("DESCRIPTION") + 1;

	if (rc > 0)
		return 0;
	if (rc < 0 || token_list(&t, &list, &err) < 0)
		return cli_fail_err(&err);
	for (size_t i = 0; i < list.n; i++)
		width = MAX(width, (int)MIN(token_text(&t, list.items[i], "description", "").n + 2, 80));
	printf("%-8s%-11s%-22s%-24s%-*s%s\n", "TOKEN", "TTL", "EXPIRES", "USAGES", width, "DESCRIPTION",
	       "EXTRA GROUPS");
	for (size_t i = 0; i < list.n; i++)
		token_print_row(&t, list.items[i], width);
	return 0;
}

/* --- delete, rotate --- */

/* By its id, or by all of it. */
static int token_delete(struct token_cmd *t, const char *word, struct err *err)
{
	struct sv id = sv_from(word);
	struct join_token token;
	struct err why = ERR_INIT;

	if (join_token_parse(id, &token, NULL) == 0)
		id = token.id;
	if (client_delete(t->adm.client, RES(core_secrets), SV(BOOTSTRAP_TOKEN_NS),
			  arena_svf(&t->arena, BOOTSTRAP_TOKEN_PREFIX "%.*s", SV_ARG(id)), NULL, &why) == 0)
		return 0;
	if (why.reason == ERR_NOT_FOUND) {
		err_release(&why);
		return err_set(err, ERR_NOT_FOUND, "there is no token '%.*s'; 'caravel token list' lists them",
			       SV_ARG(id));
	}
	return err_move(err, &why);
}

int cmd_token_delete(int argc, char **argv)
{
	_cleanup_(token_cmd_release) struct token_cmd t = token_cmd_init();
	const struct option table[] = { ADMIN_WHERE(t.adm) };
	struct err err = ERR_INIT;
	int rc = token_begin(&t, table, ARRAY_LEN(table), argc, argv, SIZE_MAX, &err);

	if (rc > 0)
		return 0;
	if (rc == 0 && !t.words.list.p[0])
		rc = err_set(&err, ERR_INVALID, "which token? usage: caravel token delete ID...");
	for (size_t i = 0; rc == 0 && t.words.list.p[i]; i++) {
		rc = token_delete(&t, t.words.list.p[i], &err);
		if (rc == 0)
			printf("deleted token %s\n", t.words.list.p[i]);
	}
	return token_end(rc, &err);
}

/* The old ones go when the new one is there and written down: whoever reads the file meanwhile has one that is good. */
static int token_rotate(struct token_cmd *t, struct err *err)
{
	_cleanup_(obj_list_release) struct obj_list list = { NULL, 0, 0, 0 };
	struct bootstrap_token_opts o = { .description = JOIN_TOKEN_DESCRIPTION,
					  .groups = JOIN_TOKEN_GROUP,
					  .authentication = true,
					  .signing = true,
					  .end_ns = INT64_MAX,
					  .join = true };

	if (token_given(t, t->new_token, &o.token, err) < 0 || token_list(t, &list, err) < 0 ||
	    token_write(t, &o, err) < 0 ||
	    join_token_write(&t->arena, t->adm.data_dir,
			     join_token_format(&t->arena, t->adm.k.ca_pem, o.token.id, o.token.secret), err) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++)
		if (val_member_sv(obj_labels(list.items[i]), SV(JOIN_TOKEN_LABEL)) &&
		    client_delete(t->adm.client, RES(core_secrets), SV(BOOTSTRAP_TOKEN_NS), obj_name(list.items[i]),
				  NULL, err) < 0)
			return err_wrap(err, "the new token is good, the old one, too");
	token_print(t, &o.token);
	return 0;
}

/* --- that of the servers --- */

static int token_old(struct token_cmd *t, struct join_token *ret, struct err *err)
{
	const char *path = arena_printf(&t->arena, "%s/server/token", t->adm.data_dir);
	struct sv text;

	if (t->old_token)
		return join_token_parse(sv_from(t->old_token), ret, err) < 0 ? err_wrap(err, "--token") : 0;
	if (file_read(&t->arena, path, TOKEN_MAX, &text, err) < 0)
		return err_wrap(err,
				"the servers' token is rotated on the machine of one of them, with its --data-dir, "
				"or with --token");
	return join_token_parse(sv_trim(text), ret, err) < 0 ? err_wrap(err, "'%s'", path) : 0;
}

static int token_put(struct token_cmd *t, struct api_way *way, const struct join_token *old,
		     const struct join_token *next, struct err *err)
{
	_cleanup_(buf_release) struct buf body = BUF_INIT;
	struct val *doc = val_new_map(&t->arena);
	struct http_response r;

	val_set_str_sv(&t->arena, doc, SV("old"),
		       arena_svf(&t->arena, "%.*s.%.*s", SV_ARG(old->id), SV_ARG(old->secret)));
	val_set_str_sv(&t->arena, doc, SV("new"),
		       arena_svf(&t->arena, "%.*s.%.*s", SV_ARG(next->id), SV_ARG(next->secret)));
	json_encode(&body, doc);
	if (api_way_call(way, &t->arena, "PUT", "/v1-caravel/servers-token", buf_sv(&body), ANSWER_MAX, &r, err) < 0)
		return -1;
	return r.status == 200 ? 0 : api_way_refused(way, &r, err);
}

/* All of it is the server's to do, so that it is done or not. */
static int token_rotate_servers(struct token_cmd *t, struct err *err)
{
	const char *kubeconfig = admin_way(&t->adm, &t->arena, err);
	struct join_token old, next;
	struct api_way way;
	int rc;

	if (!kubeconfig || token_old(t, &old, err) < 0)
		return -1;
	t->adm.env = env_real_new(1);
	if (token_given(t, t->new_token, &next, err) < 0 || api_way_open(&way, &t->arena, kubeconfig, err) < 0)
		return -1;
	rc = token_put(t, &way, &old, &next, err);
	api_way_release(&way);
	if (rc < 0)
		return -1;
	printf("%.*s\n", SV_ARG(join_token_format(&t->arena, t->adm.k.ca_pem, next.id, next.secret)));
	return 0;
}

int cmd_token_rotate(int argc, char **argv)
{
	_cleanup_(token_cmd_release) struct token_cmd t = token_cmd_init();
	const struct option table[] = {
		{ "new-token", 0, OPT_STRING, &t.new_token, "TOKEN", "the new one, <id>.<secret> (made)" },
		{ "new-token-file", 0, OPT_STRING, &t.new_file, "FILE", "that holds the new one" },
		{ "print-join-command", 0, OPT_BOOL, &t.print_join_command, NULL,
		  "print the whole command for a new node" },
		{ "servers", 0, OPT_BOOL, &t.servers, NULL,
		  "the token that servers join with, and that seals snapshots, instead" },
		{ "token", 't', OPT_STRING, &t.old_token, "TOKEN",
		  "with --servers: the one that is good now (that of DIR/server/token)" },
		{ "token-file", 0, OPT_STRING, &t.old_file, "FILE", "that holds it" },
		ADMIN_WHERE(t.adm),
	};
	struct err err = ERR_INIT;
	int rc = token_parse(&t, table, ARRAY_LEN(table), argc, argv, 0, &err);

	if (rc > 0)
		return 0;
	if (rc == 0 && (token_word(&t.arena, "token", &t.old_token, t.old_file, &err) < 0 ||
			token_word(&t.arena, "new-token", &t.new_token, t.new_file, &err) < 0))
		rc = -1;
	if (rc == 0 && t.servers)
		return token_end(token_rotate_servers(&t, &err), &err);
	if (rc == 0 && t.old_token)
		rc = err_set(&err, ERR_INVALID,
			     "--token goes with --servers: nodes have a token of their own, which is "
			     "rotated without");
	if (rc == 0)
		rc = admin_connect(&t.adm, &t.arena, "caravel-token", &err);
	/* Its server reads and writes the file; another machine's would be lost. */
	if (rc == 0 && access(arena_printf(&t.arena, "%s/server/node-token", t.adm.data_dir), F_OK) < 0)
		rc = err_set(&err, ERR_NOT_FOUND,
			     "'%s' is no data directory of a server: the token that nodes join with is rotated on the "
			     "server's machine, with its --data-dir",
			     t.adm.data_dir);
	return token_end(rc == 0 ? token_rotate(&t, &err) : rc, &err);
}
