/* The drivers that are, or were, registered: where each listens, what it can, and the queue of its volumes. */
#include "kubelet/csi/csi-internal.h"

#include <stdlib.h>

bool csi_driver_name_ok(struct sv s)
{
	if (!s.n || s.n > CSI_NAME_MAX || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char ch = ascii_lower(s.p[i]);

		if (!(ch >= 'a' && ch <= 'z') && !(ch >= '0' && ch <= '9') && ch != '-' && ch != '.')
			return false;
		if (ch == '.' && (i + 1 == s.n || s.p[i + 1] == '.'))
			return false;
	}
	return s.p[s.n - 1] != '-';
}

void csi_driver_free(void *x)
{
	struct csi_driver *d = x;

	workq_free(d->q);
	free(d->name);
	free(d->endpoint);
	free(d);
}

bool csi_driver_find(struct csi *c, struct arena *a, struct sv name, const char **ret_endpoint, unsigned *ret_can)
{
	struct csi_driver *d;
	bool ok;

	pthread_mutex_lock(&c->lock);
	d = strmap_get(&c->drivers, name);
	ok = d && d->endpoint;
	if (ok) {
		*ret_endpoint = arena_strdup(a, d->endpoint);
		*ret_can = d->can;
	}
	pthread_mutex_unlock(&c->lock);
	return ok;
}

static bool driver_may_run(void *driver)
{
	struct csi *c = ((struct csi_driver *)driver)->c;

	return !c->o.pods_known || c->o.pods_known(c->o.ctx);
}

struct csi_driver *csi_driver_of(struct csi *c, struct sv name)
{
	void **slot = strmap_slot(&c->drivers, name);
	struct csi_driver *d = *slot;

	if (d)
		return d;
	*slot = d = xcalloc(1, sizeof(*d));
	d->c = c;
	d->name = xstrndup(name.p, name.n);
	d->q = workq_new(c->o.env, &(struct workq_opts){ .name = "csi-volumes",
							 .class = ENV_VOLUMES,
							 .workers = CSI_WORKERS,
							 .retry_max_ns = csi_retry.max_ns,
							 .reconcile = c->run,
							 .ctx = d,
							 .ready = driver_may_run });
	return d;
}

/* endpoint NULL: it is no longer registered. */
void csi_driver_set(struct csi *c, struct sv name, const char *endpoint, unsigned can)
{
	struct csi_driver *d;

	pthread_mutex_lock(&c->lock);
	d = csi_driver_of(c, name);
	free(d->endpoint);
	d->endpoint = endpoint ? xstrdup(endpoint) : NULL;
	d->can = can;
	pthread_mutex_unlock(&c->lock);
}
