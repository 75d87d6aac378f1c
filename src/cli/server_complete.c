/* What a server was asked to do, made whole: what no flag says is looked for, what cannot work refused. */
#include "cli/server-internal.h"

#include "base/buf.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "cli/token_word.h"
#include "kubelet/machine.h"
#include "object/served.h"
#include "store/disk/dirlock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is switched on and what is served: before anything asks. */
static int choose_api(const struct server_opts *o, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (node_opts_gates(&o->node, err) < 0)
		return -1;
	string_list_join(&b, &o->runtime_config);
	return served_set(buf_sv(&b), err) < 0 ? err_wrap(err, "--runtime-config") : 0;
}

int server_complete(struct server *s, struct err *err)
{
	struct server_opts *o = &s->o;
	struct ip_addr ip;

	if (!o->node.data_dir)
		o->node.data_dir = default_data_dir(&s->arena);
	if (token_word(&s->arena, "token", &o->token, o->token_file, err) < 0 || server_check(o, err) < 0 ||
	    server_times(o, err) < 0 || choose_api(o, err) < 0)
		return -1;
	if (o->legacy_token_period) /* server_check() has looked at it */
		(void)duration_parse(sv_from(o->legacy_token_period), &o->legacy_token_ns);
	if (o->port == 0)
		o->port = host_free_port(o->bind_address);
	if (!o->kubeconfig)
		o->kubeconfig = geteuid() == 0 && strcmp(o->node.data_dir, DEFAULT_DATA_DIR) == 0
				    ? DEFAULT_KUBECONFIG
				    : arena_printf(&s->arena, "%s/kubeconfig.yaml", o->node.data_dir);
	if (data_dir_make(&s->arena, &o->node.data_dir, err) < 0)
		return -1;
	/* Before anything in it is written: a second server would take a running member's certificate and address. */
	s->dir_lock = dirlock_server(o->node.data_dir, NULL, err);
	if (s->dir_lock < 0)
		return -1;
	if (!o->advertise_address) {
		bool any = strcmp(o->bind_address, "0.0.0.0") == 0 || strcmp(o->bind_address, "::") == 0;

		/* A loopback address is none that a pod could use: then no endpoints are advertised. */
		o->advertise_address = any ? host_address(&s->arena) : o->bind_address;
		if (o->advertise_address && ip_parse(sv_from(o->advertise_address), &ip) && ip_is_loopback(ip))
			o->advertise_address = NULL;
		if (any && o->advertise_address)
			(void)snprintf(s->address, sizeof(s->address), "%s", o->advertise_address);
	}
	if (node_opts_complete(&o->node, &s->arena, !o->disable_agent, err) < 0)
		return -1;
	if (!o->disable_agent && geteuid() != 0)
		return err_set(err, ERR_FORBIDDEN,
			       "a node needs root for containers and nftables: run as root, or with --disable-agent");
	return 0;
}

/* Kept as long as the machine has it: another default route alone moves nothing. */
const char *server_address(void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct server *s = ctx;
	const char *now = machine_has_ip(sv_from(s->address)) ? NULL : host_address(&a);
	struct ip_addr ip;

	if (now && strcmp(now, s->address) != 0 && ip_parse(sv_from(now), &ip) && !ip_is_loopback(ip)) {
		log_info("server", "this machine has another address: so has the API for pods", "address",
			 "%s, and was %s", now, s->address);
		(void)snprintf(s->address, sizeof(s->address), "%s", now);
	}
	return s->address;
}
