/* Sockets in the directory, and the drivers behind them.
 *
 * A key of the queue is a file's name; "." is the directory itself, which is looked through when something in it
 * changed. What was registered is known by inode and time of the socket: a driver that was started anew made another
 * one. */
#include "kubelet/csi/csi-internal.h"

#include "base/file.h"
#include "base/log.h"
#include "ev/dir_watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOOK_NS (5 * NS_PER_SEC)	     /* where nobody tells of changes */
#define SOCKETS_MAX 1000		     /* of the directory */
#define ALLOCATABLE_MIN_NS (10 * NS_PER_SEC) /* upstream's least period */

struct csi_plugin {
	char *driver; /* NULL: none is registered by it */
	dev_t dev;
	ino_t ino;
	struct timespec made; /* with both: which socket was registered, or is not for us */
	bool done;
	struct retry failed;
	int64_t asked_ns; /* mono: when it last said how many volumes it takes */
	bool ask;	  /* now, whatever the period is */
};

static void plugin_free(void *x)
{
	struct csi_plugin *p = x;

	free(p->driver);
	free(p);
}

/* --- the directory --- */

static void plugins_look(struct csi *c)
{
	DIR *d = opendir(c->registry);
	struct dirent *e;
	size_t n = 0;

	while (d && n < SOCKETS_MAX && (e = readdir(d)))
		if (e->d_name[0] != '.') {
			workq_add(c->plugin_q, sv_from(e->d_name));
			n++;
		}
	if (d)
		closedir(d);
	pthread_mutex_lock(&c->lock);
	STRMAP_EACH(&c->plugins, p) /* one that has gone is not in the list */
		workq_add(c->plugin_q, sv_make(p->key, p->key_n));
	pthread_mutex_unlock(&c->lock);
}

static void plugins_changed(void *ctx)
{
	workq_add(((struct csi *)ctx)->plugin_q, SV("."));
}

/* --- one socket --- */

static bool same_socket(const struct csi_plugin *p, const struct stat *st)
{
	return p->dev == st->st_dev && p->ino == st->st_ino && p->made.tv_sec == st->st_mtim.tv_sec &&
	       p->made.tv_nsec == st->st_mtim.tv_nsec;
}

/* What an upstream kubelet takes: version 1 of the interface. */
static bool version_ok(struct sv v)
{
	return sv_starts(v, SV("v1.")) || sv_starts(v, SV("1.")) || sv_is(v, "1") || sv_is(v, "v1");
}

/* Is somebody else registered by this name? Under c->lock. */
static bool name_taken(struct csi *c, struct sv driver, struct sv file)
{
	STRMAP_EACH(&c->plugins, e) {
		const struct csi_plugin *p = e->value;

		if (p->driver && sv_is(driver, p->driver) && !sv_eq(sv_make(e->key, e->key_n), file))
			return true;
	}
	return false;
}

static int plugin_valid(struct csi *c, struct sv file, const struct csi_plugin_info *i, struct err *err)
{
	bool ok = false, taken;

	if (!csi_driver_name_ok(i->name))
		return err_set(err, ERR_INVALID, "\"%.*s\" is no name of a CSI driver", SV_ARG(i->name));
	if (!i->n_versions)
		return err_set(err, ERR_INVALID,
			       "RegisterPlugin for CSI driver \"%.*s\" failed. Plugin returned an empty list for "
			       "supported versions",
			       SV_ARG(i->name));
	for (size_t k = 0; k < i->n_versions; k++)
		ok |= version_ok(i->versions[k]);
	if (!ok)
		return err_set(err, ERR_INVALID,
			       "RegisterPlugin for CSI driver \"%.*s\" failed. None of the versions specified are "
			       "supported, the first of them is \"%.*s\"",
			       SV_ARG(i->name), SV_ARG(i->versions[0]));
	pthread_mutex_lock(&c->lock);
	taken = name_taken(c, i->name, file);
	pthread_mutex_unlock(&c->lock);
	if (taken)
		return err_set(err, ERR_ALREADY_EXISTS,
			       "RegisterPlugin for CSI driver \"%.*s\" failed. Another driver with the same name is "
			       "already registered",
			       SV_ARG(i->name));
	return 0;
}

static int driver_asked(struct csi *c, struct arena *a, const char *driver, const char *endpoint,
			struct csi_node_info *ret_info, unsigned *ret_can, struct err *err)
{
	struct buf none = BUF_INIT;
	struct sv m;

	if (csi_call(c, a, driver, endpoint, CSI_NODE_INFO, &none, CSI_TIMEOUT_NS, &m, err) < 0 ||
	    csi_get_node_info(a, m, ret_info, err) < 0)
		return err_wrap(err, "NodeGetInfo failed");
	if (csi_call(c, a, driver, endpoint, CSI_NODE_CAPABILITIES, &none, CSI_TIMEOUT_NS, &m, err) < 0 ||
	    csi_get_capabilities(m, ret_can, err) < 0)
		return err_wrap(err, "NodeGetCapabilities failed");
	return 0;
}

static int plugin_tell(struct csi *c, struct arena *a, const char *socket, const char *why, struct err *err)
{
	struct buf b = BUF_INIT;

	csi_put_registered(&b, why);
	return csi_call(c, a, NULL, socket, CSI_REGISTRAR_STATUS, &b, CSI_REGISTRAR_NS, NULL, err);
}

/* *ret_driver NULL: what listens there is no CSI driver, and nobody here is for it. */
static int plugin_register(struct csi *c, struct arena *a, struct sv file, const char *socket, const char **ret_driver,
			   struct err *err)
{
	struct buf none = BUF_INIT;
	struct csi_plugin_info info;
	struct csi_node_info node;
	const char *endpoint;
	struct sv m;
	unsigned can;

	*ret_driver = NULL;
	if (csi_call(c, a, NULL, socket, CSI_REGISTRAR_INFO, &none, CSI_REGISTRAR_NS, &m, err) < 0 ||
	    csi_get_plugin_info(m, &info, err) < 0)
		return err_wrap(err, "RegisterPlugin error -- failed to get plugin info using RPC GetInfo at socket %s",
				socket);
	if (!sv_is(info.type, "CSIPlugin")) {
		log_info(CSI_SYS, "a plugin of a kind that this node does not take", "socket", "%s, type %.*s", socket,
			 SV_ARG(info.type));
		(void)plugin_tell(c, a, socket,
				  arena_printf(a,
					       "RegisterPlugin error -- no handler registered for plugin type: "
					       "%.*s at socket %s",
					       SV_ARG(info.type), socket),
				  NULL);
		return 0;
	}
	endpoint = info.endpoint.n ? arena_cstr(a, info.endpoint) : socket;
	if (plugin_valid(c, file, &info, err) < 0) {
		err_wrap(err, "RegisterPlugin error -- plugin validation failed with err");
	} else if (driver_asked(c, a, arena_cstr(a, info.name), endpoint, &node, &can, err) < 0 ||
		   csi_node_install(c, a, info.name, &node, err) < 0) {
		err_wrap(err, "RegisterPlugin error -- plugin registration failed with err");
	} else {
		csi_driver_set(c, info.name, endpoint, can);
		csi_volumes_wake(c, info.name);
		*ret_driver = arena_cstr(a, info.name);
		if (plugin_tell(c, a, socket, NULL, err) < 0)
			return err_wrap(err, "RegisterPlugin error -- failed to send registration status at socket %s",
					socket);
		log_info(CSI_SYS, "driver registered", "driver", "%s, node %.*s", *ret_driver, SV_ARG(node.id));
		return 0;
	}
	(void)plugin_tell(c, a, socket, err_msg(err), NULL);
	return -1;
}

static struct csi_plugin *plugin_of(struct csi *c, struct sv file)
{
	void **slot = strmap_slot(&c->plugins, file);

	if (!*slot)
		*slot = xcalloc(1, sizeof(struct csi_plugin));
	return *slot;
}

static int plugin_gone(struct csi *c, struct arena *a, struct sv file, struct err *err)
{
	struct csi_plugin *p;
	const char *driver = NULL;

	pthread_mutex_lock(&c->lock);
	p = strmap_get(&c->plugins, file);
	if (p && p->driver)
		driver = arena_strdup(a, p->driver);
	pthread_mutex_unlock(&c->lock);
	if (driver) {
		csi_driver_set(c, sv_from(driver), NULL, 0);
		if (csi_node_uninstall(c, a, sv_from(driver), err) < 0)
			return -1;
		log_info(CSI_SYS, "driver is no longer registered", "driver", "%s", driver);
	}
	pthread_mutex_lock(&c->lock);
	p = strmap_del(&c->plugins, file);
	pthread_mutex_unlock(&c->lock);
	if (p)
		plugin_free(p);
	return 0;
}

/* How many volumes a node takes may change: CSIDriver.spec.nodeAllocatableUpdatePeriodSeconds. 0: nobody wants to know.
 */
static int64_t plugin_period_ns(struct csi *c, struct arena *a, const char *driver)
{
	struct obj *o;
	int64_t s;

	if (client_get(c->o.client, RES(storage_csidrivers), SV(""), sv_from(driver), &o, NULL) < 0)
		return 0;
	s = val_int_or(obj_get(obj_link(a, o), F_spec, F_nodeAllocatableUpdatePeriodSeconds), 0);
	return s > 0 ? MAX(MIN(s, INT32_MAX) * NS_PER_SEC, ALLOCATABLE_MIN_NS) : 0;
}

static void plugin_again(struct csi *c, struct arena *a, const char *driver, int64_t asked_ns, bool now_at_once,
			 struct reconcile_result *ret, int64_t *ret_asked_ns)
{
	int64_t period = plugin_period_ns(c, a, driver), now = env_mono_ns(c->o.env);
	struct csi_node_info info;
	const char *endpoint;
	unsigned can;

	*ret_asked_ns = asked_ns;
	if (!period)
		return;
	if ((now_at_once || now - asked_ns >= period) && csi_driver_find(c, a, sv_from(driver), &endpoint, &can)) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (driver_asked(c, a, driver, endpoint, &info, &can, &err) < 0 ||
		    csi_node_install(c, a, sv_from(driver), &info, &err) < 0)
			log_warn(CSI_SYS, "the driver does not say how many volumes it takes", "why", "%s: %s", driver,
				 err_msg(&err));
		*ret_asked_ns = now;
	}
	ret->after_ns = MAX(*ret_asked_ns + period - now, NS_PER_SEC);
}

static int plugin_reconcile(struct csi *c, struct arena *a, struct sv file, struct reconcile_result *ret,
			    struct err *err)
{
	const char *socket = arena_printf(a, "%s/%.*s", c->registry, SV_ARG(file)), *driver = NULL, *was;
	int64_t asked, now = env_mono_ns(c->o.env);
	struct err why = ERR_INIT;
	struct csi_plugin *p;
	struct stat st;
	bool done, ask;
	int rc;

	if (lstat(socket, &st) < 0 || !S_ISSOCK(st.st_mode))
		return plugin_gone(c, a, file, err);
	pthread_mutex_lock(&c->lock);
	p = plugin_of(c, file);
	done = p->done && same_socket(p, &st);
	ret->after_ns = same_socket(p, &st) ? retry_left_ns(&csi_retry, &p->failed, p->failed.failed_ns, now) : 0;
	asked = p->asked_ns;
	ask = p->ask;
	p->ask = false;
	driver = p->driver ? arena_strdup(a, p->driver) : NULL;
	pthread_mutex_unlock(&c->lock);
	if (ret->after_ns) /* somebody else's news */
		return 0;
	if (done) {
		if (driver)
			plugin_again(c, a, driver, asked, ask, ret, &asked);
		pthread_mutex_lock(&c->lock);
		p->asked_ns = asked; /* only this key's run takes it away */
		pthread_mutex_unlock(&c->lock);
		return 0;
	}
	was = driver;
	rc = plugin_register(c, a, file, socket, &driver, &why);
	if (was && driver && strcmp(was, driver)) { /* another one took its place */
		csi_driver_set(c, sv_from(was), NULL, 0);
		if (csi_node_uninstall(c, a, sv_from(was), err) < 0)
			err_release(err);
	}
	pthread_mutex_lock(&c->lock);
	if (driver) {
		free(p->driver);
		p->driver = xstrdup(driver);
	}
	p->done = rc == 0;
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	p->made = st.st_mtim;
	p->asked_ns = env_mono_ns(c->o.env);
	if (rc == 0)
		retry_forget(&p->failed);
	else
		ret->after_ns = retry_failed(&csi_retry, &p->failed, p->asked_ns);
	pthread_mutex_unlock(&c->lock);
	if (rc < 0)
		log_warn(CSI_SYS, "a driver cannot be registered, will be retried", "why", "%s", err_msg(&why));
	else if (driver)
		plugin_again(c, a, driver, env_mono_ns(c->o.env), false, ret, &asked);
	err_release(&why);
	return 0;
}

/* Registered with a Node that has gone: once more, with this one. */
static int plugins_node(struct csi *c, struct arena *a, struct err *err)
{
	bool wanted;

	pthread_mutex_lock(&c->lock);
	wanted = c->node_new;
	pthread_mutex_unlock(&c->lock);
	if (!wanted)
		return 0;
	if (csi_node_ensure(c, a, err) < 0)
		return err_wrap(err, "making the CSINode");
	pthread_mutex_lock(&c->lock);
	c->node_new = false;
	STRMAP_EACH(&c->plugins, e) {
		struct csi_plugin *p = e->value;

		p->done = p->done && !p->driver;
	}
	pthread_mutex_unlock(&c->lock);
	return 0;
}

void csi_node_registered(struct csi *c)
{
	pthread_mutex_lock(&c->lock);
	c->node_new = true;
	pthread_mutex_unlock(&c->lock);
	workq_add(c->plugin_q, SV("."));
}

static int plugins_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct csi *c = ctx;

	if (!sv_is(key, "."))
		return plugin_reconcile(c, &a, key, ret, err);
	if (plugins_node(c, &a, err) < 0)
		return -1;
	plugins_look(c);
	ret->after_ns = c->watch ? 0 : LOOK_NS;
	return 0;
}

void csi_plugins_ask(struct csi *c, struct sv driver)
{
	int64_t now = env_mono_ns(c->o.env);

	pthread_mutex_lock(&c->lock);
	STRMAP_EACH(&c->plugins, e) {
		struct csi_plugin *p = e->value;

		if (!p->driver || !sv_is(driver, p->driver) || now - p->asked_ns < ALLOCATABLE_MIN_NS)
			continue;
		p->ask = true;
		workq_add(c->plugin_q, sv_make(e->key, e->key_n));
	}
	pthread_mutex_unlock(&c->lock);
}

void csi_plugins_start(struct csi *c)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	c->plugin_q = workq_new(c->o.env, &(struct workq_opts){ .name = "csi-plugins",
								.class = ENV_SLOW,
								.workers = 4,
								.retry_max_ns = csi_retry.max_ns,
								.reconcile = plugins_reconcile,
								.ctx = c });
	if (dir_make(c->registry, 0750, &err) < 0) {
		log_warn(CSI_SYS, "no drivers of volumes can register", "why", "%s", err_msg(&err));
		return;
	}
	c->watch = dir_watch_new(c->o.env, c->registry, plugins_changed, c); /* before the first look */
	workq_add(c->plugin_q, SV("."));
}

void csi_plugins_stop(struct csi *c)
{
	c->watch = fd_watch_free(c->watch);
	c->plugin_q = c->plugin_q ? workq_free(c->plugin_q) : NULL;
	strmap_release_with(&c->plugins, plugin_free);
	strmap_release_with(&c->drivers, csi_driver_free);
}
