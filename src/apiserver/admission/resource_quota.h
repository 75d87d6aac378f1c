/* resource_quota.h - ResourceQuota: what a write adds is refused where it is too much, and counted where it is not.
 *
 *	admission (resource_quota.c)	says no, of what the cache knows; dry runs end here
 *	a turn (quota_turns.c)		of this server's writes to be charged in a namespace one goes at a time
 *	charge (quota_charge())		judges again, and makes the new status.used of each quota
 *	the store			object and quotas in one write: all or nothing
 *
 * So usage is exact: what is refused or fails costs nothing, and no two writes get the last seat, be they of several
 * servers on one store: a quota that has changed meanwhile refuses the write, which begins anew with what the quota is
 * now. Turns are there so that writes of one server do not refuse each other; a turn lasts from behind all that may
 * wait for others to the store's answer. What goes, the quota controller takes off.
 *
 * A quota is in force from when the controller has filled in its status.hard, as upstream's. What comes while it counts
 * for that gives the quota a new revision, so that the controller's count, which may have missed it, is refused. Where
 * more comes than the controller can count, it writes an amount to status.used without a limit in status.hard: from
 * then on what comes is charged to that, and refused by nothing, so that the count can be made up
 * (controllers/quota_status.h).
 */
#pragma once

#include "apiserver/admission/admission.h"

struct store_write;

/* May a be charged to a quota at all? */
bool quota_concerns(const struct admission *a);
/* newer: quotas as the store said they are, n of them. 0: *ret (arena) is to be written with it, may be none. */
int quota_charge(const struct admission *a, struct obj *const *newer, size_t n, struct store_write **ret, size_t *ret_n,
		 struct err *err);

/* --- quota_turns.c --- */

struct quota_turn; /* a turn that somebody has */
struct quota_turns *quota_turns_new(void);
struct quota_turns *quota_turns_free(struct quota_turns *t);
/* 0: *ret is q's until quota_turn_end(); or REQ_LATER (steps.h). */
int quota_turn_take(struct api_req *q, struct sv ns, struct quota_turn **ret);
void quota_turn_end(struct apiserver *s, struct quota_turn *t); /* any thread; NULL is fine */
