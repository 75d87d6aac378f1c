/* The administrator's kubeconfig that a server writes: at its start, and whenever its certificates are renewed. */
#include "cli/server-internal.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/kubeconfig_link.h"
#include "client/kubeconfig.h"
#include "net/tls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Somebody's way to another cluster is about to be lost, when two servers were given one file. A CA that signs with the
 * key of ours is ours, before it was renewed. */
static void warn_of_another(struct arena *a, struct server *s)
{
	struct kubeconfig k;

	if (kubeconfig_load(a, s->o.kubeconfig, NULL, &k, NULL) < 0 || !k.ca_pem.n ||
	    sv_eq(k.ca_pem, apiserver_ca_pem(s->api)) || cert_is_of(k.ca_pem, SV(""), apiserver_ca_pem(s->api)))
		return;
	log_kv(LVL_WARN, "server",
	       "the kubeconfig of another cluster is replaced; --write-kubeconfig names another file", "file",
	       s->o.kubeconfig, "was", k.server, NULL);
}

int server_kubeconfig_write(struct server *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT; /* the server's own is not for tasks */
	_cleanup_free_ char *dir = xstrdup(s->o.kubeconfig);
	bool any = strcmp(s->o.bind_address, "0.0.0.0") == 0 || strcmp(s->o.bind_address, "::") == 0;
	const char *host = any ? "127.0.0.1" : s->o.bind_address;
	char *slash = strrchr(dir, '/'), *end;
	unsigned long mode = strtoul(s->o.kubeconfig_mode, &end, 8);
	struct sv yaml;

	if (!*s->o.kubeconfig)
		return kubeconfig_link_set(s->o.node.data_dir, "", err);
	if (*end || mode > 0777)
		return err_set(err, ERR_INVALID, "--write-kubeconfig-mode takes permissions like 0600, not '%s'",
			       s->o.kubeconfig_mode);
	if (slash && slash != dir) {
		*slash = '\0';
		if (dir_make(dir, 0755, err) < 0)
			return -1;
	}
	if (apiserver_admin_kubeconfig(s->api, &a,
				       arena_printf(&a, strchr(host, ':') ? "https://[%s]:%d" : "https://%s:%d", host,
						    http_server_port(s->http)),
				       &yaml, err) < 0)
		return -1;
	warn_of_another(&a, s);
	/* With a certificate of its own each time: what a crash loses of it, the next start makes again. */
	return file_write_again(s->o.kubeconfig, yaml, (mode_t)mode, err) < 0
		   ? -1
		   : kubeconfig_link_set(s->o.node.data_dir, s->o.kubeconfig, err);
}

/* A full disk must not keep a server from starting: with its API room is made, and the kubeconfig that is there mostly
 * serves. */
int server_kubeconfig_first(struct server *s, struct err *err)
{
	struct err why = ERR_INIT;

	if (server_kubeconfig_write(s, &why) == 0)
		return 0;
	if (!err_no_room(&why))
		return err_move(err, &why);
	log_warn("server", "the kubeconfig is as an earlier start left it; the next one writes it", "error", "%s",
		 err_msg(&why));
	err_release(&why);
	return 0;
}
