#include "cli/admin.h"

#include "base/file.h"
#include "cli/agent.h"
#include "cli/kubeconfig_link.h"
#include "client/https.h"
#include "ev/ev.h"

#include <stdlib.h>
#include <unistd.h>

void admin_release(struct admin *m)
{
	client_free(m->client);
	if (m->env)
		env_real_free(m->env);
}

/* The first file of $KUBECONFIG that is there, as kubectl reads it: a list, whose empty words are none. NULL: no word.
 */
static const char *env_kubeconfig(struct arena *a)
{
	const char *text = getenv("KUBECONFIG"), *last = NULL;
	struct sv rest = sv_from(text ? text : ""), one;

	while (sv_split(&rest, ':', &one))
		if (one.n) {
			last = arena_cstr(a, one);
			if (access(last, F_OK) == 0)
				break;
		}
	return last;
}

/* --kubeconfig, else what the server wrote, else $KUBECONFIG. */
static const char *admin_kubeconfig(struct admin *m, struct arena *a)
{
	const char *written = m->kubeconfig ? NULL : kubeconfig_link_find(a, m->data_dir);

	if (m->kubeconfig || written)
		return m->kubeconfig ? m->kubeconfig : written;
	m->from_env = true;
	return env_kubeconfig(a);
}

/* A variable that was set for another cluster must not decide where something is made. Who may not read the CA of
 * data_dir is not the server's administrator on this machine, and means the variable. */
static int admin_check_cluster(struct admin *m, struct arena *a, const char *path, struct err *err)
{
	struct sv ca;

	if (!m->from_env || file_read(a, arena_printf(a, "%s/pki/ca.crt", m->data_dir), 1 << 16, &ca, NULL) < 0 ||
	    sv_eq(sv_trim(ca), sv_trim(m->k.ca_pem)))
		return 0;
	return err_set(
	    err, ERR_INVALID,
	    "the server of '%s' wrote its kubeconfig elsewhere, and $KUBECONFIG ('%s') is another cluster's: "
	    "name the right one with --kubeconfig",
	    m->data_dir, path);
}

const char *admin_find(struct admin *m, struct arena *a)
{
	bool given = m->data_dir;

	m->data_dir = full_path(a, m->data_dir ? m->data_dir : default_data_dir(a));
	return given && access(m->data_dir, F_OK) < 0 && !m->kubeconfig ? NULL : admin_kubeconfig(m, a);
}

static int admin_has_none(const struct admin *m, struct arena *a, struct err *err)
{
	if (access(m->data_dir, F_OK) < 0)
		return err_set(err, ERR_NOT_FOUND,
			       "there is no '%s': name a server's --data-dir, or an administrator's --kubeconfig",
			       m->data_dir);
	if (access(arena_printf(a, "%s/server", m->data_dir), F_OK) < 0)
		return err_set(err, ERR_NOT_FOUND,
			       "no server has written a kubeconfig for '%s': name its --data-dir, or an "
			       "administrator's --kubeconfig",
			       m->data_dir);
	return err_set(err, ERR_NOT_FOUND,
		       "the kubeconfig that the server of '%s' wrote is not there any more, or it wrote none: name an "
		       "administrator's with --kubeconfig, or start the server again with --write-kubeconfig FILE",
		       m->data_dir);
}

const char *admin_way(struct admin *m, struct arena *a, struct err *err)
{
	const char *path = admin_find(m, a);

	if (!path)
		return (void)admin_has_none(m, a, err), NULL;
	if (kubeconfig_load(a, path, NULL, &m->k, err) < 0 || admin_check_cluster(m, a, path, err) < 0)
		return NULL;
	return path;
}

int admin_connect(struct admin *m, struct arena *a, const char *name, struct err *err)
{
	if (!admin_way(m, a, err))
		return -1;
	m->env = env_real_new(2);
	m->client = client_kubeconfig_new(m->env, &m->k, name, err);
	return m->client ? 0 : -1;
}
