/* authz.h - may they: system:masters everything, nodes what runs on them needs (authz/node.h), everybody what RBAC
 * says, from an index that changes with the roles and bindings (authz/rbac.h).
 *
 * What these do not allow somebody else may know (steps.h, authorize): another process perhaps, so who asks for all of
 * them (authz_ask()) is told "later" at times.
 *
 * Threads: questions from any. They read memory only, so a network loop may ask.
 */
#pragma once

#include "apiserver/api_req.h"
#include "object/selector.h"

struct authz_attrs {
	const struct user_info *user;
	struct sv verb; /* "get", "deletecollection", or lower-case HTTP method for non-resource paths */
	bool resource_request;
	struct sv group, version, resource, subresource, ns, name;
	struct sv path;
	const struct field_selector *fields; /* of a list, watch or deletecollection; NULL: none */
	bool explain;			     /* a yes of RBAC shall say why, too: costs a sentence */
};

/* What a list or watch of exactly one name is asked about: the value of metadata.name in the selector, SV_NULL when
 * there is none or it cannot be a name. */
struct sv authz_selected_name(const struct field_selector *fields);

/* A Pod, PersistentVolume, VolumeAttachment, ResourceSlice, PodCertificateRequest, Node, Ingress or IngressClass
 * changed: what nodes may reach follows. On the store's thread. */
void authz_observe_use(struct apiserver *s, const struct resource *r, struct obj *old, struct obj *now);

/* Allowed? 0: yes, 1: no; *ret_reason (arena; may be "") explains a no, and a yes where at->explain is set. -1: who was
 * asked besides RBAC refuses, or could not find out. REQ_LATER: q waits, and its step is asked again from its
 * beginning; a step may ask several such questions, and those that were answered before the wait are not asked again.
 */
int authz_ask(struct api_req *q, const struct authz_attrs *at, struct sv *ret_reason, struct err *err);
/* The same as a step: no is -1 with the 403, in upstream's words. */
int authz_require(struct api_req *q, const struct authz_attrs *at, struct err *err);
/* And the reason of either, as authz_ask() has it. */
int authz_decide(struct api_req *q, const struct authz_attrs *at, struct sv *ret_reason, struct err *err);
/* The 403 itself, for who has found a no by himself. Returns -1. */
int authz_refuse(struct arena *a, const struct authz_attrs *at, struct sv reason, struct err *err);
/* Every rule of RBAC the user has in ns, as SelfSubjectRulesReview.status; it says when that is not all: of a node, and
 * where somebody else decides as well. */
struct val *authz_rules(struct apiserver *s, struct arena *a, const struct user_info *u, struct sv ns);
/* RBAC escalation check: does the user already hold every right that `rules` give, in ns by a role there or
 * cluster-wide? 0, or -1 Forbidden, also when they are too many to compare. err may be NULL. */
int authz_covers(struct apiserver *s, struct arena *a, const struct user_info *u, struct sv ns, const struct val *rules,
		 struct err *err);
