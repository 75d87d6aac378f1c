/* quota.h - what an object uses of a ResourceQuota; the same answers for admission and for the controller.
 *
 * Names are those of spec.hard, the behaviour is that of upstream's evaluators:
 *
 *	count/PLURAL[.GROUP]	objects of any namespaced kind, whatever their state
 *	services, secrets, ...	the old names of a few of these
 *	pods, cpu, requests.X, limits.X, hugepages-N		Pods that have not ended
 *	services.nodeports, services.loadbalancers		Services
 *	requests.storage, CLASS.storageclass.storage.k8s.io/X	PersistentVolumeClaims
 *
 * Amounts are the text of quantities, exact at any size.
 *
 * Memory: a quota_list is its holder's to release; its names and amounts are views into the arena that was given, or
 * into the documents. Documents are borrowed and only read. Threads: any.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "codec/doc.h"
#include "object/schema.h"

/* --- amounts.c --- */

struct quota_list {
	struct quota_item {
		struct sv name, amount;
	} * p;
	size_t n, cap;
	struct strmap at; /* name -> index + 1 */
};
#define QUOTA_LIST_INIT ((struct quota_list){ 0 })

void quota_list_release(struct quota_list *l);			      /* for _cleanup_ */
struct sv quota_list_get(const struct quota_list *l, struct sv name); /* SV_NULL when absent */
void quota_list_set(struct quota_list *l, struct sv name, struct sv amount);
void quota_list_add(struct arena *a, struct quota_list *l, struct sv name, struct sv amount);
void quota_list_raise(struct quota_list *l, struct sv name, struct sv amount); /* to this, if it is less */
/* By name. */
void quota_list_sort(struct quota_list *l);
/* The sum in the format of the first that is not zero. */
struct sv quota_sum(struct arena *a, struct sv x, struct sv y);
/* "a=1,b=2" of what is in it, in its order. */
void quota_list_text(const struct quota_list *l, struct buf *to);

/* --- names.c --- */

/* How the objects of a resource are measured. */
enum quota_kind { QUOTA_OBJECTS, QUOTA_PODS, QUOTA_SERVICES, QUOTA_CLAIMS };
enum quota_kind quota_kind_of(const struct resource *r);
/* "count/deployments.apps" */
struct sv quota_count_name(struct arena *a, const struct resource *r);
/* "secrets": the name from before there was count/; NULL: it has none. */
const char *quota_old_name(const struct resource *r);
/* Is name an amount of r's objects? count: as quota_count_name() says. */
bool quota_names(const struct resource *r, struct sv count, struct sv name);

/* --- scopes.c --- */

/* Are all scopes of quota (spec.scopes, spec.scopeSelector) met by obj? No scope is met by any object. */
bool quota_scopes_met(const struct val *quota, const struct resource *r, const struct val *obj);
bool quota_has_scopes(const struct val *quota);
/* One requirement: scopeName, operator, values. */
bool quota_scope_met(const struct val *requirement, const struct resource *r, const struct val *obj);

/* --- usage.c, usage_pod.c --- */

/* Adds what obj, of r, uses to *ret. now_ns: wall clock; a Pod whose grace is over uses nothing. */
void quota_usage(struct arena *a, const struct resource *r, const struct val *obj, int64_t now_ns,
		 struct quota_list *ret);
void quota_usage_pod(struct arena *a, const struct val *pod, int64_t now_ns, struct quota_list *ret);
/* Since when a Pod's grace is over and it counts no more; INT64_MAX: it is not being deleted. */
int64_t quota_pod_until(const struct val *pod);
/* Does a Pod run for a limited time (scope Terminating)? */
bool quota_pod_terminating(const struct val *pod);
/* "limits.cpu for: c,d; requests.cpu for: c": what its containers must say of cpu and memory because one of names is
 * limited, and do not. Empty: nothing. */
void quota_pod_missing(struct arena *a, const struct val *pod, const struct quota_list *names, struct buf *to);
