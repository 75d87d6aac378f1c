/* gate_rule.h - one rule of an HTTPRoute or GRPCRoute as filters and matches of the model; pure. */
#pragma once

#include "codec/doc.h"
#include "gateway/gateway.h"
#include "ingress/model.h"

struct ing_gate_rule {
	enum gw_kind kind;
	const struct obj *from;
	const struct val *rule;
	size_t number; /* of the rule in its route */
};

/* What of a request it is: path, method, headers, query. False: it is nothing that can be served (and
 * gw_rule_unsupported() has said so). match NULL: every request. */
bool ing_gate_match(struct arena *a, const struct ing_gate_rule *r, const struct val *match, struct ing_gate *ret);
/* Which match and which backendRef of the rule. */
struct ing_gate_at {
	size_t match, backend;
};
/* What becomes of requests for gate g (whose path says what a prefix is replaced by), sent to that backendRef; NULL:
 * the rule answers itself. broken: the backend is none, the answer is 500. */
const struct ing_filters *ing_gate_filters(struct arena *a, const struct ing_gate_rule *r, const struct ing_gate *g,
					   struct ing_gate_at at, const struct val *backend, enum gw_app app,
					   bool broken);
bool ing_gate_redirects(const struct val *rule);
bool ing_gate_by_match(const struct val *rule); /* its filters differ from match to match */
/* "1h30m", "500ms"; at most ING_GATE_DURATION_MAX_MS. -1: it is none. */
#define ING_GATE_DURATION_MAX_MS (INT64_C(86400) * 1000)
int64_t ing_gate_duration_ms(struct sv s);
/* How long a backend may say nothing, of a rule's timeouts; "0s" turns one off, and is as long as there is where no
 * other bounds it. 0: the rule says nothing of it. */
int64_t ing_gate_server_ms(const struct val *rule);
