/* server_options.h - the flags of `caravel server`: for server.c.
 *
 * A flag has a row in the table, a member of struct server_opts, and its default, which the row's text says, too. What
 * is wrong with what it was given says server_check.c.
 */
#pragma once

#include "cli/server.h"

#define SERVER_OPTIONS_MAX 160

void server_defaults(struct server_opts *o);
/* Into t, which has room for NODE_OPTIONS_MAX and SERVER_OPTIONS_MAX; how many. The first *ret_node are those of nodes.
 * What is read goes to o. */
size_t server_option_table(struct server_opts *o, struct option *t, size_t *ret_node);

/* Their lists, and what is off by a flag that says true, put where the API server looks. Views of o. */
struct apiserver_oidc server_oidc(const struct server_opts *o);
struct apiserver_accounts server_accounts(const struct server_opts *o);
struct apiserver_front_proxies server_front_proxies(const struct server_opts *o);
struct apiserver_kubelets server_kubelets(const struct server_opts *o);
struct audit_opts server_audit(const struct server_opts *o);
struct apiserver_authorization server_authorization(const struct server_opts *o);
/* The process that takes a snapshot of this server: our own program, with flags that say so. In a, NULL-terminated. */
const char *const *server_snapshot_argv(struct arena *a, const struct server_opts *o);
const char *const *server_snapshot_envp(struct arena *a, const struct server_opts *o);
