/* pod_isolation.h - what a Pod asks of the machine that this node cannot give.
 *
 * A run without an isolation, a device or a claim that was asked for is never an answer: the sandbox or the container
 * is not made, and the error says why in upstream's words where it has some. What is refused before the Pod is taken
 * at all (AppArmor, operating system, groups' policy) is in pod_admit.c. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

/* On containers some of whose mounts are read-only with what is mounted below: what the status says, also after us. */
#define RRO_ANNOTATION "io.kubernetes.container.recursiveReadOnly"
#define HOST_NAME_MAX_BYTES 64 /* what the kernel takes */

/* 0, or -1 with what of the sandbox cannot be given. */
int isolation_sandbox(const struct val *pod, struct err *err);
/* rro: how the pod is run can make mounts read-only with what is mounted below. */
int isolation_container(const struct val *spec, bool rro, struct err *err);

/* Does this mount ask for that, where it is possible or in any case? */
bool isolation_asks_rro(const struct val *mount);

/* The AppArmor profile of a container: its own, the pod's, the older annotation's; as struct rt_container_config has
 * it ("RuntimeDefault", "Unconfined", "localhost/x"), "" when none is asked for. */
struct sv isolation_apparmor(struct arena *a, const struct val *pod, const struct val *spec);
/* Does any container ask to be confined by AppArmor? */
bool isolation_wants_apparmor(struct arena *a, const struct val *pod);
