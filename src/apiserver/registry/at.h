/* at.h - reads of the past: ?at=REVISION or ?at=2026-11-28T10:00:00Z on what reads an object or a list.
 *
 * What there was is as of then; who may read, what a kind looks like and which keys open what is encrypted is as of
 * now. The words of refusals are ours: upstream has no such thing. How far back it reaches: history/history.h.
 *
 * An object that cannot be read by what its kind is today is an error of who asks for it by name, and is missing from
 * lists with a warning, as it is from those of now.
 *
 * Reads the disk: never on a network loop (registry_is_small()).
 */
#pragma once

#include "apiserver/api_req.h"

struct obj;

bool at_given(const struct api_req *q);
/* What asks for another moment and cannot: a watch, a write, what is not stored. Answers q; false: go on. */
bool at_refused(struct api_req *q);
/* 0: no other moment is asked for; 1: *ret_rev is it; -1. */
int at_read(struct api_req *q, int64_t *ret_rev, struct err *err);
/* The object that q names as of rev, a reference; *ret NULL: there was none. */
int at_object(struct api_req *q, int64_t rev, struct obj **ret, struct err *err);
/* May objects of q's namespace be shown as of rev? Not where a namespace of that name is there and was another one
 * then: rights in it are of today's. One that is gone has nobody's but those to all namespaces. -1: ERR_EXPIRED, with
 * words; or it cannot be told. */
int at_namespace(struct api_req *q, int64_t rev, struct err *err);
/* A read at rev failed with err: ERR_EXPIRED gets words that say how far back it reaches. Returns -1. */
int at_failed(struct api_req *q, int64_t rev, struct err *err);
