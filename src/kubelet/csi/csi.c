#include "kubelet/csi/csi.h"

#include "kubelet/csi/csi-internal.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct csi *csi_new(const struct csi_opts *o)
{
	struct csi *c = xcalloc(1, sizeof(*c));

	c->o = *o;
	c->node_name = xstrdup(o->node_name);
	c->root_dir = xstrdup(o->root_dir);
	c->registry = xasprintf("%s/plugins_registry", o->root_dir);
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	c->run = csi_run;
	csi_places_init(c);
	pthread_mutex_init(&c->lock, NULL);
	csi_found(c); /* before anybody asks what is in use */
	csi_plugins_start(c);
	return c;
}

struct csi *csi_free(struct csi *c)
{
	if (!c)
		return NULL;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_mutex_unlock(&c->lock);
	if (c->stop_fd >= 0)
		(void)eventfd_write(c->stop_fd, 1);
	csi_plugins_stop(c);
	csi_volumes_free(c);
	shares_release(&c->shares);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	pthread_mutex_destroy(&c->lock);
	free(c->registry);
	free(c->root_dir);
	free(c->node_name);
	free(c);
	return NULL;
}
