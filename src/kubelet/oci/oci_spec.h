/* oci_spec.h - config.json of a container (OCI runtime specification 1.0.2), from what the kubelet and the image say.
 *
 * Pure: no file is read but the image's own /etc/passwd and /etc/group, which the caller gives as text, bounded by 1
 * MiB each. The order of the JSON is fixed, so that tests compare whole documents.
 *
 * Sources: the CRI's field comments and containerd's behaviour where pods see it: default capabilities, masked and
 * read-only paths, mounts of /proc, /dev, /dev/shm, /sys, /sys/fs/cgroup, HOSTNAME, PATH, devices, rlimits none.
 */
#pragma once

#include "base/buf.h"
#include "codec/doc.h"
#include "kubelet/oci/image_store.h"
#include "kubelet/runtime.h"

struct oci_spec_in {
	const struct rt_container_config *c;
	const struct rt_sandbox_config *sc;
	const struct image_use *image;
	struct sv passwd, group;				 /* of the image */
	const char *rootfs;					 /* absolute */
	const char *ns_net, *ns_ipc, *ns_uts, *ns_pid, *ns_user; /* paths; NULL: the host's, but for pid: its own */
	const char *hostname_file, *resolv_conf;		 /* mounted where the kubelet mounts none */
	const char *cgroups_path;
	const struct val *seccomp;   /* a profile in OCI's form; NULL: unconfined */
	bool cgroup2, may_lower_oom; /* of the machine */
};

/* ERR_INVALID: what cannot be: a user that the image has not, no command. */
int oci_spec_write(struct arena *a, const struct oci_spec_in *in, struct buf *b, struct err *err);
/* "process" of an exec, with the container's own as the base. */
int oci_spec_exec(struct arena *a, const struct val *container_spec, const struct sv *argv, size_t argc, bool tty,
		  struct buf *b, struct err *err);
/* The profile RuntimeDefault: what containers may call, for this machine's architecture; needs the capabilities as
 * some calls go with them. Localhost profiles are read by the caller, in the same form. */
struct val *oci_seccomp_default(struct arena *a, const struct sv *caps, size_t n);
