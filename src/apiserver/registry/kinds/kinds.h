/* kinds.h - the strategies of all kinds, one file a family; shared by registry/kinds/ and
 * registry/strategies.c only.
 *
 * To add a kind: write its strategy in the family's file (or a new one), declare it here, list
 * it in strategies.c. What data can say belongs into the api folder instead.
 */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/registry/registry.h"
#include "apiserver/registry/strategy.h"
#include "base/ip.h"

extern const struct strategy pod_strategy, service_strategy, endpoints_strategy, namespace_strategy, node_strategy,
    serviceaccount_strategy, secret_strategy, configmap_strategy, event_strategy, events_event_strategy,
    replicationcontroller_strategy, binding_strategy, limitrange_strategy, resourcequota_strategy,
    persistentvolume_strategy, persistentvolumeclaim_strategy, podtemplate_strategy, componentstatus_strategy,
    nodemetrics_strategy, podmetrics_strategy;
extern const struct strategy deployment_strategy, replicaset_strategy, daemonset_strategy, statefulset_strategy,
    controllerrevision_strategy, job_strategy, cronjob_strategy;
extern const struct strategy horizontalpodautoscaler_strategy, horizontalpodautoscaler_v1_strategy;
extern const struct strategy tokenreview_strategy, selfsubjectreview_strategy, subjectaccessreview_strategy,
    localsubjectaccessreview_strategy, selfsubjectaccessreview_strategy, selfsubjectrulesreview_strategy;
extern const struct strategy role_strategy, clusterrole_strategy, rolebinding_strategy, clusterrolebinding_strategy;
extern const struct strategy lease_strategy, endpointslice_strategy, pdb_strategy, priorityclass_strategy,
    ingress_strategy, ingressclass_strategy, networkpolicy_strategy, servicecidr_strategy, ipaddress_strategy,
    storageclass_strategy, volumeattachment_strategy, csidriver_strategy, csinode_strategy, csistoragecapacity_strategy,
    crd_strategy, csr_strategy, mutatingwebhookconfiguration_strategy, validatingwebhookconfiguration_strategy;
extern const struct strategy apiservice_strategy; /* newer.c */
/* Several families at once: newer.c, devices.c. */
extern const struct strategy newer_strategies[], device_strategies[];
extern const size_t newer_strategies_count, device_strategies_count;

/* Warnings about a pod, or about the template in a workload (pod_warnings.c); a strategy's warn(). */
void warn_of_pod(struct api_req *q, const struct val *doc, const struct val *old);
/* About a source of a volume that is not made any more; at is the source's parent. */
void warn_of_dead_volume(struct api_req *q, const struct val *volume, const struct fpath *at);
/* object_warnings.c, the same for kinds that are no pods. */
void claim_warn(struct api_req *q, const struct val *doc, const struct val *old);
void volume_warn(struct api_req *q, const struct val *doc, const struct val *old);
void secret_warn(struct api_req *q, const struct val *doc, const struct val *old);
void service_warn(struct api_req *q, const struct val *doc, const struct val *old);
/* address_warnings.c */
void warn_of_ip(struct api_req *q, const struct fpath *at, struct sv ip);
void warn_of_cidr(struct api_req *q, const struct fpath *at, struct sv cidr);
void warn_of_service_addresses(struct api_req *q, const struct val *spec);
void warn_of_pod_addresses(struct api_req *q, const struct val *spec, const struct fpath *at);
void networkpolicy_warn(struct api_req *q, const struct val *doc, const struct val *old);
void endpointslice_warn(struct api_req *q, const struct val *doc, const struct val *old);

/* device_admin.c: a strategy's permit() of claims and of their templates. */
int device_admin_permit(struct api_req *q, const struct val *old, const struct val *doc, struct err *err);
/* And who may write its status. */
int device_status_permit(struct api_req *q, const struct val *old, const struct val *doc, struct err *err);

/* policy_rights.c: permit() of admission policies, of both kinds; and of the bindings of either. */
int policy_rights_kind(struct api_req *q, const struct val *old, const struct val *doc, struct err *err);
int policy_rights_validating_ref(struct api_req *q, const struct val *old, const struct val *doc, struct err *err);
int policy_rights_mutating_ref(struct api_req *q, const struct val *old, const struct val *doc, struct err *err);

/* Defaults of a pod spec that depend on other fields (pods.c), for templates as well. */
void default_pod_template(struct arena *a, struct val *workload_spec);

/* pod_conversions.c: fields and annotations that say the same are made to agree. Of metadata.annotations of a Pod or a
 * template; of a Pod's status; and of a Pod that is created. */
void pod_drop_old_annotations(struct val *described);
void pod_one_address(struct arena *a, struct val *status);
void pod_convert_new(struct api_req *q, struct val *doc);

/* --- helpers for subresource handlers --- */

/* The handler's body, typed by its own schema; NULL after having failed q. */
struct val *sub_body(struct api_req *q);
/* Adds username, groups, and uid and extra where he has them. */
void user_describe(struct arena *a, struct val *doc, const struct user_info *u);
/* Answers 201 with Status Success. */
void answer_created(struct api_req *q);

/* Makes every kind's strategy known (strategies.c); before anything is served. As often as one likes. */
void strategies_start(void);

/* State of the Service allocators. */
struct allocators;
int allocators_start(struct apiserver *s, struct err *err);
void allocators_free(struct apiserver *s);
/* service_repair.c: makes the claims in the store and the stored Services agree. Blocks, for reads and writes of the
 * store. At the start, before the first write and when the watch cache is filled (quiet: what has no claim is older
 * than claims are), and from time to time, for what other versions and hands have done. Fails when nothing can be read.
 */
int service_claims_repair(struct apiserver *s, bool quiet, struct err *err);
bool service_claims_wrong(struct apiserver *s); /* somebody has taken an IPAddress away from its Service */
void service_repair_stop(struct apiserver *s);	/* none runs any more */
/* The strategies' of IPAddress and ServiceCIDR (allocators.c). */
void ipaddress_observe(struct apiserver *s, struct obj *old, struct obj *neu);
void servicecidr_observe(struct apiserver *s, struct obj *old, struct obj *neu);

/* streams.c: log, exec, attach, portforward, proxy: towards the kubelet. */
void pod_log(struct api_req *q);
void pod_exec(struct api_req *q);
void pod_attach(struct api_req *q);
void pod_portforward(struct api_req *q);
void node_proxy(struct api_req *q);
void pod_proxy(struct api_req *q);
void service_proxy(struct api_req *q);
/* Passes q's upgrade on to an endpoint, with these headers and its own. plain: what fails is told as plain text.
 * create_to_upgrade: GET is not right enough. Answers q in any case. */
struct http_endpoint;
void stream_pipe(struct api_req *q, const struct http_endpoint *ep, const char *target,
		 const struct http_header *headers, size_t n_headers, bool plain, bool create_to_upgrade);
/* eviction.c */
void pod_eviction(struct api_req *q);

/* --- Services (services.c, services_update.c, services_unread.c) --- */

/* Numbers that a Service may have, each an address or a port (as the IPv4 address of that number). */
struct service_numbers {
	size_t n;
	struct ip_addr numbers[];
};

/* All that a stored value which is no Service may say, and what its last readable version (or NULL) says for certain:
 * whatever looks like an address or a port. Never NULL. */
struct service_numbers *service_numbers_read(struct sv value, const struct obj *last);
void service_numbers_free(void *c);

bool service_type_is(const struct val *doc, const char *type);
bool service_wants_node_ports(const struct val *doc);
/* The node ports that its ports have, sorted, in the arena. svc may be NULL. */
struct service_ports {
	const int64_t *p;
	size_t n;
};
struct service_ports service_node_ports(struct arena *a, const struct val *svc);
bool service_has_node_port(const struct service_ports *s, int64_t port);
bool service_wants_health_port(const struct val *doc);
/* clusterIP and clusterIPs say the same twice: a client that knows only the old field, or changes
 * only it, means both. old is NULL for a create. */
void service_sync_cluster_ips(struct api_req *q, const struct val *old, struct val *doc);
void service_prepare_update(struct api_req *q, const struct val *old, struct val *doc);
