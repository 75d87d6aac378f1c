/* cri.h - inside of the CRI v1 runtime (runtime_cri_new in kubelet/runtime.h).
 *
 * One file per concern, each implementing part of struct runtime_ops by writing one protobuf message,
 * making one call and reading one message back (codec/pbwire.h). Field numbers stand beside their names
 * in comments only where the call does not tell; they are CRI v1's (k8s.io/cri-api, api.proto).
 *
 * Threads: any; struct cri is immutable but for the event stream's stop flag and what its version tells.
 */
#pragma once

#include "base/buf.h"
#include "base/env.h"
#include "codec/pbwire.h"
#include "kubelet/runtime.h"
#include "net/grpc.h"

/* Deadlines of calls: reading calls answer at once or the runtime is unwell; a sandbox start includes the
 * network plugins; pulls may take long. */
#define CRI_LOOK_TIMEOUT_NS (4 * NS_PER_SEC) /* asked to see whether anybody is there, and by who must say so soon */
#define CRI_READ_TIMEOUT_NS (30 * NS_PER_SEC)
#define CRI_TIMEOUT_NS (120 * NS_PER_SEC)
#define CRI_SANDBOX_TIMEOUT_NS (240 * NS_PER_SEC)
#define CRI_PULL_TIMEOUT_NS (3600 * NS_PER_SEC)

struct cri {
	struct runtime rt;
	struct env *env;
	struct grpc_channel *ch;
	char *target;
	struct cri_events *events; /* NULL: nobody subscribed */
	_Atomic int image_volumes; /* as its version tells, when it was asked last; 0: never, 1: no, 2: yes */
};

static inline struct cri *cri_of(struct runtime *r)
{
	return CONTAINER_OF(r, struct cri, rt);
}

/* Does such a runtime mount images? Nothing in the protocol says so. */
bool cri_mounts_images(struct sv name, struct sv version);

/* Calls "/runtime.v1.<service>/<method>"; the request buffer is released. */
int cri_runtime_call(struct runtime *r, struct arena *a, const char *method, struct buf *request, int64_t timeout_ns,
		     struct sv *ret, struct err *err);
int cri_image_call(struct runtime *r, struct arena *a, const char *method, struct buf *request, int64_t timeout_ns,
		   struct sv *ret, struct err *err);

/* Shared pieces of messages. */
void cri_put_labels(struct buf *b, uint32_t field, const struct rt_label *l, size_t n);
void cri_put_strings(struct buf *b, uint32_t field, const struct sv *s, size_t n);
void cri_put_int64_value(struct buf *b, uint32_t field, int64_t v); /* nothing when negative */
void cri_put_selinux(struct buf *b, uint32_t field, const struct rt_selinux *o);
void cri_put_profile(struct buf *b, uint32_t field, struct sv profile);
void cri_put_sandbox_config(struct buf *b, uint32_t field, const struct rt_sandbox_config *c);
struct rt_label cri_get_label(struct sv entry);

/* A list being read whose length is not known before: two walks, then an arena array. */
size_t cri_count(struct sv message, uint32_t field);
struct rt_label *cri_get_labels(struct arena *a, struct sv message, uint32_t field, size_t *ret_n);
struct sv *cri_get_strings(struct arena *a, struct sv message, uint32_t field, size_t *ret_n);

/* cri_sandbox.c */
int cri_run_sandbox(struct runtime *r, struct arena *a, const struct rt_sandbox_config *c, struct sv *ret_id,
		    struct err *err);
int cri_stop_sandbox(struct runtime *r, struct sv id, struct err *err);
int cri_remove_sandbox(struct runtime *r, struct sv id, struct err *err);
int cri_sandbox_status(struct runtime *r, struct arena *a, struct sv id, struct rt_sandbox *ret, struct err *err);
int cri_list_sandboxes(struct runtime *r, struct arena *a, struct sv pod_uid, struct rt_sandbox **ret, size_t *ret_n,
		       struct err *err);
/* cri_container.c */
int cri_create_container(struct runtime *r, struct arena *a, struct sv sandbox_id, const struct rt_container_config *c,
			 const struct rt_sandbox_config *sc, struct sv *ret_id, struct err *err);
int cri_start_container(struct runtime *r, struct sv id, struct err *err);
int cri_stop_container(struct runtime *r, struct sv id, int64_t timeout_s, int64_t wait_ns, struct err *err);
int cri_remove_container(struct runtime *r, struct sv id, struct err *err);
int cri_container_status(struct runtime *r, struct arena *a, struct sv id, struct rt_container *ret, struct err *err);
int cri_list_containers(struct runtime *r, struct arena *a, struct sv pod_uid, struct rt_container **ret, size_t *ret_n,
			struct err *err);
int cri_update_resources(struct runtime *r, struct sv id, const struct rt_container_config *c, struct err *err);
int cri_reopen_log(struct runtime *r, struct sv id, struct err *err);
/* cri_stream.c */
int cri_exec_sync(struct runtime *r, struct arena *a, struct sv id, const struct sv *argv, size_t argc,
		  int64_t timeout_s, size_t max, int stop_fd, struct sv *ret_out, struct sv *ret_err, int *ret_code,
		  struct err *err);
int cri_exec_url(struct runtime *r, struct arena *a, struct sv id, const struct sv *argv, size_t argc, bool tty,
		 bool in, bool out, bool errs, struct sv *ret_url, struct err *err);
int cri_attach_url(struct runtime *r, struct arena *a, struct sv id, bool tty, bool in, bool out, bool errs,
		   struct sv *ret_url, struct err *err);
int cri_port_forward_url(struct runtime *r, struct arena *a, struct sv sandbox_id, const int *ports, size_t n,
			 struct sv *ret_url, struct err *err);
/* cri_image.c */
int cri_image_status(struct runtime *r, struct arena *a, struct sv image, struct rt_image **ret, struct err *err);
int cri_pull_image(struct runtime *r, struct arena *a, struct sv image, const struct val *auth, int stop_fd,
		   struct sv *ret_ref, struct err *err);
int cri_list_images(struct runtime *r, struct arena *a, struct rt_image **ret, size_t *ret_n, struct err *err);
int cri_remove_image(struct runtime *r, struct sv image, struct err *err);
/* cri_stats.c */
int cri_stats(struct runtime *r, struct arena *a, struct rt_stats **ret, size_t *ret_n, struct err *err);
int cri_fs_usage(struct runtime *r, struct arena *a, uint64_t *ret_bytes, struct sv *ret_mountpoint, struct err *err);
/* cri_events.c */
int cri_subscribe(struct runtime *r, void (*notice)(const struct rt_event *ev, void *ctx), void *ctx, struct err *err);
void cri_unsubscribe(struct runtime *r);
