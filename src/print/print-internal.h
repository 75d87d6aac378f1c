/* print-internal.h - the kinds' printers and what they share; nobody else includes it. */
#pragma once

#include "object/condition.h"
#include "print/print.h"

print_fn print_autoscaler, print_autoscaler_v1;
print_fn print_pod, print_service, print_endpoints, print_node, print_configmap, print_event, print_resourcequota,
    print_persistentvolume, print_persistentvolumeclaim, print_deployment, print_statefulset, print_controllerrevision,
    print_job, print_cronjob, print_rolebinding, print_endpointslice, print_ingress, print_ingressclass,
    print_servicecidr, print_ipaddress, print_storageclass, print_csidriver, print_priorityclass, print_componentstatus,
    print_csr, print_podmetrics;
print_fn print_apiservice, print_policy, print_policybinding, print_flowschema, print_storageversion,
    print_storageversionmigration, print_podcertificaterequest, print_resourceclaim;

/* --- cell.c: cells of the usual forms --- */

void cell_str(struct arena *a, struct val *cells, struct sv s);
void cell_cstr(struct arena *a, struct val *cells, const char *s);
void cell_fmt(struct arena *a, struct val *cells, const char *fmt, ...) _printf_(3, 4);
/* Appends s after sep, unless it is the first. */
void cell_join(struct buf *b, const char *sep, struct sv s);
/* A cell of what was joined; releases b. */
void cell_buf(struct arena *a, struct val *cells, struct buf *b, const char *if_none);
struct sv cell_lower_case(struct arena *a, struct sv s); /* ASCII */
/* Age since an RFC 3339 text, or "<unknown>". */
struct sv cell_age_of(struct arena *a, const struct val *time, int64_t now_ns);

/* The first three of a growing list joined by commas, then " + N more...". */
struct list3 {
	struct buf b;
	size_t n;
};
void cell_list3_add(struct list3 *l, struct sv s);
struct sv cell_list3_end(struct arena *a, struct list3 *l, const char *if_none);
