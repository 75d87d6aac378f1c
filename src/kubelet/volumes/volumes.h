/* volumes.h - a pod's volumes: one file per kind, below <root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>.
 *
 * Setting up is idempotent and brings contents up to date, so refreshing is setting up again. Teardown is
 * unmounting and deleting the pod's directory; hostPath is never touched.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"
#include "kubelet/atomic_writer.h"
#include "object/obj.h"

struct kubelet;
struct kpod;

/* Where one volume of the pod is on the host. */
int volume_path(struct kubelet *k, struct arena *a, const struct val *pod, struct sv name, const char **ret,
		bool *ret_readonly, struct err *err);
/* 1: one is not there yet, and the pod is kicked when there is news. */
int volumes_setup(struct kubelet *k, const struct val *pod, struct err *err);
bool volumes_need_refresh(const struct val *pod); /* has contents that follow the API */

/* --- between the files of this folder --- */

struct volume {
	struct kubelet *k;
	struct kpod *p;
	struct arena *a;
	const struct val *pod, *v, *source; /* the volume and its source, e.g. v.configMap */
	const char *dir;
	int64_t fs_group; /* -1: none */
	bool said;	  /* an error says already what was being done */
};

struct file_list {
	struct atomic_file *p;
	size_t n, cap;
	size_t bytes; /* of all contents */
};
#define VOLUME_FILES_MAX ((size_t)256 * 1024 * 1024) /* bytes of all files of a volume, which are in memory at once */
/* Of several with one path the last one wins, when they are written. ERR_TOO_LARGE: beyond VOLUME_FILES_MAX, as
 * thousands of items may each name the same large key. */
int volume_file_add(struct volume *v, struct file_list *l, struct sv path, struct sv content, mode_t mode,
		    struct err *err);
int volume_dir(struct volume *v, struct err *err); /* the open directory, made when missing */
/* Mounts memory at the volume's directory: what is secret, or tells of the pod, never touches a disk. */
int volume_in_memory(struct volume *v, struct err *err);
int volume_mount_memory(struct volume *v, const char *options, struct err *err);
int volume_write(struct volume *v, const struct file_list *l, struct err *err);

struct volume_kind {
	enum sym field;	    /* in the volume: F_configMap */
	const char *plugin; /* directory name; NULL: has none of its own */
	bool refreshes;
	int (*setup)(struct volume *v, struct err *err); /* 1: not there yet */
};
int emptydir_setup(struct volume *v, struct err *err);
/* Size of an emptyDir in memory: the least of its sizeLimit, what the pod's limits allow, and the machine's memory. */
int64_t emptydir_memory_bytes(const struct val *pod, const struct val *source, int64_t machine);
int configmap_setup(struct volume *v, struct err *err);
int secret_setup(struct volume *v, struct err *err);
int projected_setup(struct volume *v, struct err *err);
int downward_setup(struct volume *v, struct err *err);
int hostpath_setup(struct volume *v, struct err *err);
int claim_setup(struct volume *v, struct err *err); /* may be 1, as volumes_setup() */
int csi_setup(struct volume *v, struct err *err);   /* the same */
int nfs_setup(struct volume *v, struct err *err);

/* "kubernetes.io/NAME" of a volume; NULL: a claim's, which may be of several. */
const char *volume_plugin(struct arena *a, const struct val *v);
#define NFS_PLUGIN "kubernetes.io~nfs"
/* Of a PersistentVolume (pv), or a volume of the pod's own (NULL): mounted at that path. 1: under way. */
int nfs_mount(struct kubelet *k, const struct val *pod, const struct obj *pv, const struct val *source, const char *at,
	      struct err *err);
const char *nfs_path(struct kubelet *k, struct arena *a, const struct val *pod, struct sv name);

/* Adds a ConfigMap's or Secret's keys, all or those of items. */
int config_files(struct volume *v, struct file_list *l, bool secret, struct sv name, const struct val *items,
		 bool optional, int64_t mode, struct err *err);
int downward_files(struct volume *v, struct file_list *l, const struct val *items, int64_t mode, struct err *err);
int hostpath_check(const char *path, struct sv type, struct err *err);
void volume_mount_options(struct buf *b, const struct obj *pv); /* "a,b", behind what is there; pv may be NULL */
/* local_disk.c: of `local`. A device as a directory of the pod's, *ret in the arena; errors say what was being done. 1:
 * somebody is at work on it. */
bool local_is_disk(const char *path);
int local_check(const char *path, struct err *err); /* it must be a directory */
int local_disk(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *volume,
	       const struct obj *pv, const char **ret, struct err *err);
/* A pod's volumes were unmounted: what no pod has any more goes. Failures are told, no pod waits for them. True:
 * somebody is at work on one, ask again. */
bool local_disks_sweep(struct kubelet *k);
