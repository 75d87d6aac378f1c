/* pod_resources.h - what a Pod requests and may use as a whole, and its class of service. Pure.
 *
 * Containers and sidecars (restartable init containers) run together; an ordinary init container runs with the
 * sidecars started before it; the Pod needs the larger (KEP-753). What spec.resources says of cpu, memory and huge
 * pages (KEP-2837) stands in place of that sum. The overhead of a RuntimeClass comes on top.
 */
#pragma once

#include "base/arena.h"
#include "base/strmap.h"
#include "codec/doc.h"

/* Amounts by name: thousandths of a core for cpu, else whole units; never negative, never above 2^52. */
struct res_list {
	struct res_item {
		struct sv name; /* a view into the spec */
		int64_t amount;
	} * p;
	size_t n, cap;
	struct strmap at; /* name -> index + 1 */
};

#define RES_LIST_INIT ((struct res_list){ 0 })

void res_list_release(struct res_list *l);
int64_t res_list_get(const struct res_list *l, struct sv name); /* 0 when absent */
bool res_list_has(const struct res_list *l, struct sv name);
void res_list_add(struct res_list *l, struct sv name, int64_t amount);
/* One amount of a resource list of the API. */
int64_t res_amount(struct sv name, const struct val *quantity);
struct sv res_text(struct arena *a, struct sv name, int64_t amount); /* as a quantity: "1500m", "64Mi" */

enum res_assume {
	RES_AS_WRITTEN,
	RES_ASSUME_SOME,     /* a little cpu and memory for each container that asks for none: what scoring counts */
	RES_CONTAINERS_ONLY, /* neither spec.resources nor overhead */
};

/* Adds to *ret, which the caller releases. */
void pod_requests(const struct val *spec, enum res_assume how, struct res_list *ret);
/* Only what is limited; overhead is added to what has a limit. The sum says nothing about containers without one. */
void pod_limits(const struct val *spec, enum res_assume how, struct res_list *ret);

/* Resources that spec.resources may name. */
bool pod_level_resource(struct sv name);
/* Does spec.resources say anything? */
bool pod_level_set(const struct val *spec);

enum qos_class { QOS_BEST_EFFORT, QOS_BURSTABLE, QOS_GUARANTEED };
const char *qos_name(enum qos_class q); /* "BestEffort" */
/* cpu and memory only: of the Pod as a whole where it says, else of all containers alike. */
enum qos_class pod_qos_class(const struct val *spec);
