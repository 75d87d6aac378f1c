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
#include "kubelet/shares.h"

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
	struct strmap volumes; /* "DRIVER/SHA" -> struct csi_volume */
	struct shares shares;  /* which volumes have a call under way, or may have one */
	bool stopping;	       /* queues are on their way: nobody is called into one */
	struct workq *plugin_q;
	bool node_new; /* its CSINode is to be looked after */
	int (*run)(void *driver, struct sv sha, struct reconcile_result *ret, struct err *err); /* csi_run() */
	struct fd_watch *watch;
};

/* A driver that was registered once. It stays, as volumes may be left over. */
struct csi_driver {
	struct csi *c;
	char *name;
	char *endpoint;	 /* NULL: it is not registered now */
	unsigned can;	 /* enum csi_can */
	struct workq *q; /* its volumes, by SHA; how many of them at once ask is bounded by their owners */
};
#define CSI_WORKERS 48		      /* as the class of their work has threads */
#define CSI_LINE_NS (20 * NS_PER_SEC) /* who waits longer for a place says so */

/* How far a volume has come for a pod.
 *
 *	FOUND ──▶ WANTED ──▶ READY
 *	  │         │ ▲        │
 *	  │         ▼ │        │
 *	  │        FAILED      │
 *	  └───────────┴────────┴──▶ GOING ──▶ (removed)	*/
enum csi_use_state {
	CSI_FOUND,  /* of an agent before: its pod has not asked yet */
	CSI_WANTED, /* not mounted yet */
	CSI_READY,  /* published */
	CSI_FAILED, /* the last try did; the next comes by itself */
	CSI_GOING,  /* to be unpublished */
};

struct csi_use {
	enum csi_use_state state;
	struct obj *pod, *claim, *source; /* as the pod asked; NULL: found. References */
	char *volume;			  /* its name in the pod */
	char *spec_name;
	struct err why;		/* CSI_FAILED */
	int64_t published_ns;	/* mono: the last time */
	struct csi_stats stats; /* message is not kept */
	bool has_stats, abnormal;
};

/* A volume is its driver and its handle, whoever uses it. */
struct csi_volume {
	char *driver, *handle, *sha;
	char *spec_name; /* of whoever came first: devices have their places by it */
	bool own;	 /* of a pod alone (inline) */
	bool block;
	bool attachable;  /* stands in volumesInUse */
	bool staged;	  /* by us, in this life */
	int64_t waits_ns; /* mono: since when it waits for being attached, or since that was said; 0: it does not */
	unsigned waits;	  /* looks at an attachment that is not there, in a row */
	struct retry failed;
	struct share_place place; /* csi_places.c */
	struct strmap uses;	  /* uid -> struct csi_use */
};

/* csi_call.c: a call of whoever listens at the socket; the request is released. ret may be NULL. driver: by which it is
 * counted; NULL: it is a registrar. */
int csi_call(struct csi *c, struct arena *a, const char *driver, const char *socket, const char *method,
	     struct buf *request, int64_t timeout_ns, struct sv *ret, struct err *err);

/* csi_drivers.c */
bool csi_driver_name_ok(struct sv name); /* and no harm as a part of a path */
/* Where it listens and what it can; false: no such driver is registered now. */
bool csi_driver_find(struct csi *c, struct arena *a, struct sv name, const char **ret_endpoint, unsigned *ret_can);
struct csi_driver *csi_driver_of(struct csi *c, struct sv name); /* under lock: made when missing */
/* endpoint NULL: it is no longer registered. */
void csi_driver_set(struct csi *c, struct sv name, const char *endpoint, unsigned can);
void csi_driver_free(void *driver);

/* csi_plugins.c */
void csi_plugins_start(struct csi *c);
void csi_plugins_stop(struct csi *c);
/* How many volumes does the node take? Its CSINode says it soon; not more often than upstream asks. */
void csi_plugins_ask(struct csi *c, struct sv driver);

/* --- csi_paths.c: where upstream's agents have things, all in the arena --- */
char *csi_stage_dir(struct csi *c, struct arena *a, const struct csi_volume *v);  /* has vol_data.json */
char *csi_stage_path(struct csi *c, struct arena *a, const struct csi_volume *v); /* what the driver is told */
char *csi_pod_volume_dir(struct csi *c, struct arena *a, struct sv uid, const char *spec_name);
char *csi_publish_path(struct csi *c, struct arena *a, const struct csi_volume *v, struct sv uid,
		       const char *spec_name);
char *csi_attachment_name(struct csi *c, struct arena *a, const char *driver, const char *handle);

/* --- csi_data.c: vol_data.json, by which what was begun is known again --- */
struct csi_data {
	struct sv driver, handle, spec_name, lifecycle;
};
/* uid "": of staging. */
int csi_data_write(struct csi *c, struct arena *a, const struct csi_volume *v, const char *spec_name, struct sv uid,
		   struct err *err);
int csi_data_read(struct arena *a, const char *dir, struct csi_data *ret, struct err *err);
void csi_data_drop(const char *dir);
void csi_found(struct csi *c); /* at start: what lies on the disk becomes volumes */

/* --- csi_volumes.c: the table --- */
struct csi_volume *csi_volume_of(struct csi *c, struct arena *a, struct sv driver, struct sv handle); /* under lock */
void csi_volume_drop(struct csi *c, struct arena *a, struct csi_volume *v_take);		      /* under lock */
struct csi_use *csi_use_of(struct csi_volume *v, struct sv uid);				      /* under lock */
void csi_use_free(void *use);
void csi_volumes_wake(struct csi *c, struct sv driver); /* all of the driver's are looked at */
void csi_volumes_free(struct csi *c);

/* --- csi_places.c: who may ask a driver now; all under lock --- */
void csi_places_init(struct csi *c);
/* For another one that it has. False: none is free for it, and it is run again when one is granted. */
bool csi_place_take(struct csi *c, struct csi_volume *v, enum share_kind kind, struct share_who who);
/* It needs none now, nor the one that was granted. */
void csi_place_pass(struct csi *c, struct csi_volume *v);
/* The run is over; what it stands in line for is the next one's. Fine when it has none. */
void csi_place_give(struct csi *c, struct csi_volume *v);

/* --- csi_run.c: one look at one volume, on the driver's queue --- */
int csi_run(void *driver, struct sv sha, struct reconcile_result *ret, struct err *err);

/* What a run is about: copies, so that nothing is held while a driver is asked. */
struct csi_run_use;
struct csi_run {
	struct csi *c;
	struct arena *a;
	const struct csi_volume *v; /* a copy of what it is; no uses */
	struct csi_volume *table;   /* itself, under the lock */
	bool attachable, staged;
	const char *endpoint; /* NULL: the driver is not registered */
	unsigned can;
	struct obj *driver;		/* its CSIDriver; NULL: there is none */
	const struct val *attachment;	/* metadata of the VolumeAttachment; NULL: none */
	const struct csi_run_use *uses; /* all, as they were when the run began */
	size_t n_uses;
	struct reconcile_result *ret;
};
struct csi_run_use {
	struct sv uid;
	enum csi_use_state state;
	struct obj *pod, *claim, *source;
	const char *volume, *spec_name;
	int64_t published_ns;
};

/* csi_attach.c: 1: attached, or it need not be; 0: not yet, r->ret says when to look; -2: not for too long, with
 * upstream's words for all of it. */
int csi_attached(struct csi_run *r, const struct csi_run_use *u, struct err *err);
/* csi_mount.c */
int csi_stage(struct csi_run *r, const struct csi_run_use *u, struct err *err);
int csi_publish(struct csi_run *r, const struct csi_run_use *u, struct err *err);
/* csi_unmount.c; done before is no failure */
int csi_unpublish(struct csi_run *r, const struct csi_run_use *u, struct err *err);
int csi_unstage(struct csi_run *r, struct err *err);
/* csi_source.c: the driver's part of the volume, or of the pod that has it inside. NULL: there is none. */
const struct val *csi_source(const struct csi_run_use *u);
bool csi_read_only(const struct csi_run_use *u); /* by what the pod says */
/* csi_context.c: what stage and publish say of a volume. secrets and context in the arena. */
void csi_fill(struct csi_run *r, const struct csi_run_use *u, struct csi_mount *m);
int csi_secrets(struct csi_run *r, const struct csi_run_use *u, enum sym ref, struct csi_mount *m, struct err *err);
int csi_pod_context(struct csi_run *r, const struct csi_run_use *u, struct csi_mount *m, struct err *err);
/* csi_selinux.c: where the node has SELinux and the driver knows of it, the mount is of the pod's label. -1: its
 * containers have several, or another pod has the volume with another one. */
int csi_selinux(struct csi_run *r, const struct csi_run_use *u, struct csi_mount *m, struct err *err);
/* csi_group.c: fsGroup of the pod; -1: none, or it is not for this volume. */
int64_t csi_group(const struct csi_run *r, const struct csi_run_use *u);
/* csi_care.c: what is done now and then for one that is published. Failures are told, not returned. */
void csi_care(struct csi_run *r, const struct csi_run_use *u);
#define CSI_CARE_NS (60 * NS_PER_SEC)

/* csi_node.c: what CSINode and Node say of the driver. */
int csi_node_install(struct csi *c, struct arena *a, struct sv driver, const struct csi_node_info *i, struct err *err);
int csi_node_ensure(struct csi *c, struct arena *a, struct err *err); /* without a driver, where it is missing */
int csi_node_uninstall(struct csi *c, struct arena *a, struct sv driver, struct err *err);
