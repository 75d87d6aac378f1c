/* csi-internal.h - shared by the files of this folder, and included by nobody else.
 *
 * c->lock guards all tables and what is in them; it is never held across a call to a driver, the API or a file.
 */
#pragma once

#include "base/retry.h"
#include "base/strmap.h"
#include "client/workq.h"
#include "kubelet/csi/csi.h"
#include "kubelet/csi/csi_message.h"

#include <pthread.h>

#define CSI_SYS "csi"
#define CSI_TIMEOUT_NS (120 * NS_PER_SEC)   /* of a call of a driver: upstream's */
#define CSI_REGISTRAR_NS (10 * NS_PER_SEC)  /* of one of a registrar, which does nothing but answer */
#define CSI_NAME_MAX 63			    /* of a driver */
extern const struct retry_policy csi_retry; /* upstream's: half a second to two minutes */

struct csi {
	struct csi_opts o;
	char *node_name, *root_dir, *registry; /* registry: the directory of sockets */
	int stop_fd;			       /* an eventfd: can be read when calls are to be given up */
	pthread_mutex_t lock;
	struct strmap plugins; /* file name in registry -> struct csi_plugin */
	struct strmap drivers; /* name -> struct csi_driver */
	struct workq *plugin_q;
	struct dir_watch *watch;
};

/* A driver that was registered once. It stays, as volumes may be left over. */
struct csi_driver {
	char *name;
	char *endpoint; /* NULL: it is not registered now */
	unsigned can;	/* enum csi_can */
};

/* csi_call.c: a call of whoever listens at the socket; the request is released. ret may be NULL. */
int csi_call(struct csi *c, struct arena *a, const char *socket, const char *method, struct buf *request,
	     int64_t timeout_ns, struct sv *ret, struct err *err);

/* csi_plugins.c */
void csi_plugins_start(struct csi *c);
void csi_plugins_stop(struct csi *c);
bool csi_driver_name_ok(struct sv name); /* and no harm as a part of a path */
/* Where it listens and what it can; false: no such driver is registered now. */
bool csi_driver_find(struct csi *c, struct arena *a, struct sv name, const char **ret_endpoint, unsigned *ret_can);

/* csi_node.c: what CSINode and Node say of the driver. */
int csi_node_install(struct csi *c, struct arena *a, struct sv driver, const struct csi_node_info *i, struct err *err);
int csi_node_uninstall(struct csi *c, struct arena *a, struct sv driver, struct err *err);
