/* quota_limited.h - what may be used only where a quota covers it (limitedResources).
 *
 *	--admission-control-config-file ─▶ plugins[ResourceQuota] ─▶ ResourceQuotaConfiguration ─▶ limitedResources
 *
 * By default everything may be used that no quota limits. An entry turns that around for amounts of a resource whose
 * name contains a text, and for objects that meet a scope: of these a namespace has none but what a quota names.
 *
 * Read once, at the start; what is wrong with a file keeps the server from starting. Threads: immutable.
 */
#pragma once

#include "apiserver/admission/admission.h"
#include "quota/quota.h"

struct quota_limited;

/* Of the plugin's configuration, which outlives it. NULL: *err says what is wrong. */
struct quota_limited *quota_limited_new(const struct val *config, struct err *err);
struct quota_limited *quota_limited_free(struct quota_limited *l);
/* Is there an entry for r? l may be NULL. */
bool quota_limited_has(const struct quota_limited *l, const struct resource *r);
/* May a use what it uses? covered: the names that quotas about it limit. quotas: those of its namespace. */
int quota_limited_check(const struct quota_limited *l, const struct admission *a, const struct quota_list *uses,
			const struct quota_list *covered, struct obj *const *quotas, size_t n, struct err *err);
