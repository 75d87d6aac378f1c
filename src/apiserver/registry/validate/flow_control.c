/* flow_control.c - FlowSchema and PriorityLevelConfiguration: who waits behind whom when there are too many requests.
 *
 * Two of each are not for people to write: "exempt", which lets administrators in always, and "catch-all", which takes
 * what nobody else takes. Their specs are fixed, so that no change can lock everybody out. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "codec/json.h"

#define PRECEDENCE_MAX 10000
#define QUEUES_MAX (10 * 1000 * 1000)
#define HASH_BITS_MAX 60

static const char *const flow_verbs[] = { "create", "delete", "deletecollection", "get",   "list",
					  "patch",  "proxy",  "update",		  "watch", NULL };

/* --- fixed ones --- */

static const struct {
	const char *name, *schema, *level;
} fixed_specs[] = {
	{ "exempt",
	  "{\"priorityLevelConfiguration\":{\"name\":\"exempt\"},\"matchingPrecedence\":1,\"rules\":[{\"subjects\":[{"
	  "\"kind\":\"Group\",\"group\":{\"name\":\"system:masters\"}}],\"resourceRules\":[{\"verbs\":[\"*\"],"
	  "\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"clusterScope\":true,\"namespaces\":[\"*\"]}],"
	  "\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]}]}",
	  "{\"type\":\"Exempt\"}" },
	{ "catch-all",
	  "{\"priorityLevelConfiguration\":{\"name\":\"catch-all\"},\"matchingPrecedence\":10000,"
	  "\"distinguisherMethod\":{\"type\":\"ByUser\"},\"rules\":[{\"subjects\":[{\"kind\":\"Group\",\"group\":{"
	  "\"name\":\"system:unauthenticated\"}},{\"kind\":\"Group\",\"group\":{\"name\":\"system:authenticated\"}}],"
	  "\"resourceRules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"clusterScope\":true,"
	  "\"namespaces\":[\"*\"]}],\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]}]}",
	  "{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":5,\"lendablePercent\":0,\"limitResponse\":{"
	  "\"type\":\"Reject\"}}}" },
};

static void flow_fixed(struct field_errs *fe, const struct val *doc, const struct fpath *at, bool schema)
{
	const struct val *spec = val_member(doc, F_spec), *want;
	struct sv name = val_get_str(doc, F_metadata, F_name);
	_cleanup_(err_release) struct err err = ERR_INIT;
	bool exempt = sv_is(name, "exempt");
	struct val *have;

	for (size_t i = 0; i < ARRAY_LEN(fixed_specs); i++) {
		if (!sv_is(name, fixed_specs[i].name))
			continue;
		want = json_decode(fe->a, sv_from(schema ? fixed_specs[i].schema : fixed_specs[i].level), NULL, &err);
		have = spec ? val_clone_nodes(fe->a, spec) : val_new_map(fe->a);
		if (!schema && exempt)
			val_del(have, F_exempt); /* what it lends is its owner's to say */
		if (want && val_same(have, want))
			continue;
		fe_add(fe, FE_INVALID, at, spec,
		       !schema && exempt ? "spec of '%.*s' except the 'spec.exempt' field must equal the fixed value"
					 : "spec of '%.*s' must equal the fixed value",
		       SV_ARG(name));
	}
}

/* --- schemas --- */

static bool flow_any(const struct val *list)
{
	bool any = false;

	VAL_EACH(list, v)
		any |= val_is(v, "*");
	return any;
}

/* Some, or "*" alone. Returns whether each is to be looked at. */
static bool flow_list(struct field_errs *fe, const struct val *rule, const struct fpath *up, enum sym name,
		      const char *needed, const char *others)
{
	const struct val *list = val_member(rule, name);
	struct fpath at = FPATH(up, name);

	if (!val_len(list)) {
		fe_required_why(fe, &at, needed);
		return false;
	}
	if (!flow_any(list))
		return true;
	if (val_len(list) > 1)
		fe_add(fe, FE_INVALID, &at, list, "if '*' is present, must not specify other %s", others);
	return false;
}

static void flow_rule_verbs(struct field_errs *fe, const struct val *rule, const struct fpath *up)
{
	const struct val *list = val_member(rule, F_verbs);
	struct fpath at = FPATH(up, F_verbs);

	if (!flow_list(fe, rule, up, F_verbs, "verbs must contain at least one value", "verbs"))
		return;
	VAL_EACH(list, v)
		if (!text_in(val_str(v), flow_verbs, ARRAY_LEN(flow_verbs) - 1)) {
			fe_not_supported(fe, &at, list, flow_verbs);
			return;
		}
}

static void flow_url(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	struct sv s = val_str(v);
	size_t stars = 0;

	for (size_t i = 0; i < s.n; i++)
		stars += s.p[i] == '*';
	if (!s.n)
		fe_invalid(fe, at, v, "must not be empty");
	else if (sv_is(s, "/"))
		return;
	else if (s.p[0] != '/')
		fe_invalid(fe, at, v, "must start with slash");
	else if (sv_find(s, ' ') >= 0)
		fe_invalid(fe, at, v, "must not contain white-space");
	else if (sv_find_sv(s, SV("//")) >= 0)
		fe_invalid(fe, at, v, "must not contain double slash");
	else if (stars > 1 || (stars && !sv_ends(s, SV("/*"))))
		fe_invalid(fe, at, v, "wildcard can only do suffix matching");
}

static void flow_resource_rule(struct field_errs *fe, const struct val *rule, const struct fpath *at)
{
	const struct val *namespaces = val_member(rule, F_namespaces);
	struct fpath ns_at = FPATH(at, F_namespaces);
	size_t i = 0;

	flow_rule_verbs(fe, rule, at);
	(void)flow_list(fe, rule, at, F_apiGroups, "resource rules must supply at least one api group", "api groups");
	(void)flow_list(fe, rule, at, F_resources, "resource rules must supply at least one resource", "resources");
	if (!val_len(namespaces) && val_get_bool(rule, F_clusterScope))
		return;
	if (!flow_list(fe, rule, at, F_namespaces,
		       "resource rules that are not cluster scoped must supply at least one namespace", "namespaces"))
		return;
	VAL_EACH(namespaces, v) {
		struct fpath here = FPATH_AT(&ns_at, i++);

		fe_check(fe, &here, val_str(v), fmt_dns_label);
	}
}

static void flow_url_rule(struct field_errs *fe, const struct val *rule, const struct fpath *at)
{
	struct fpath urls_at = FPATH(at, F_nonResourceURLs);
	size_t i = 0;

	flow_rule_verbs(fe, rule, at);
	if (!flow_list(fe, rule, at, F_nonResourceURLs, "nonResourceURLs must contain at least one value",
		       "non-resource URLs"))
		return;
	VAL_EACH(val_member(rule, F_nonResourceURLs), v) {
		struct fpath here = FPATH_AT(&urls_at, i++);

		flow_url(fe, v, &here);
	}
}

static void flow_account(struct field_errs *fe, const struct val *account, const struct fpath *at)
{
	struct fpath name_at = FPATH(at, F_name), ns_at = FPATH(at, F_namespace);
	struct sv name = val_get_str(account, F_name), ns = val_get_str(account, F_namespace);

	if (!name.n)
		fe_required(fe, &name_at);
	else if (!sv_is(name, "*"))
		fe_check(fe, &name_at, name, fmt_dns_subdomain);
	if (ns.n)
		fe_check(fe, &ns_at, ns, fmt_dns_label);
	else
		fe_required_why(fe, &ns_at, "must specify namespace for service account");
}

static void flow_subject(struct field_errs *fe, const struct val *s, const struct fpath *at)
{
	static const struct {
		const char *kind, *member;
		enum sym name;
	} kinds[] = { { "ServiceAccount", "serviceAccount", F_serviceAccount },
		      { "User", "user", F_user },
		      { "Group", "group", F_group } };
	struct fpath kind_at = FPATH(at, F_kind);
	const struct val *kind = val_member(s, F_kind);
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		known |= val_is(kind, kinds[i].kind);
	if (!known) {
		CHECK_ONE_OF(fe, kind ? kind : val_new_str(fe->a, SV("")), &kind_at, "Group", "ServiceAccount", "User");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct val *v = val_member(s, kinds[i].name);
		struct fpath here = FPATH(at, kinds[i].name);

		if (!val_is(kind, kinds[i].kind)) {
			if (v)
				fe_add(fe, FE_FORBIDDEN, &here, NULL, "%s is forbidden when subject kind is not '%s'",
				       kinds[i].member, kinds[i].kind);
		} else if (!v) {
			fe_add(fe, FE_REQUIRED, &here, NULL, "%s is required when subject kind is '%s'",
			       kinds[i].member, kinds[i].kind);
		} else if (kinds[i].name == F_serviceAccount) {
			flow_account(fe, v, &here);
		} else {
			check_required(fe, v, &here, F_name);
		}
	}
}

static void flow_rules(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_rules);
	size_t i = 0;

	VAL_EACH(val_member(spec, F_rules), r) {
		struct fpath item = FPATH_AT(&at, i++), who_at = FPATH(&item, F_subjects),
			     res_at = FPATH(&item, F_resourceRules), url_at = FPATH(&item, F_nonResourceRules);
		const struct val *who = val_member(r, F_subjects);
		size_t k = 0;

		if (!val_len(who))
			fe_required_why(fe, &who_at, "subjects must contain at least one value");
		VAL_EACH(who, s) {
			struct fpath here = FPATH_AT(&who_at, k++);

			flow_subject(fe, s, &here);
		}
		if (!val_len(val_member(r, F_resourceRules)) && !val_len(val_member(r, F_nonResourceRules)))
			fe_required_why(fe, &item,
					"at least one of resourceRules and nonResourceRules has to be non-empty");
		k = 0;
		VAL_EACH(val_member(r, F_resourceRules), x) {
			struct fpath here = FPATH_AT(&res_at, k++);

			flow_resource_rule(fe, x, &here);
		}
		k = 0;
		VAL_EACH(val_member(r, F_nonResourceRules), x) {
			struct fpath here = FPATH_AT(&url_at, k++);

			flow_url_rule(fe, x, &here);
		}
	}
}

static void flow_status(struct field_errs *fe, const struct val *doc)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath st_at = FPATH_ROOT(F_status), at = FPATH(&st_at, F_conditions);
	size_t i = 0;

	VAL_EACH(val_get(doc, F_status, F_conditions), c) {
		struct fpath item = FPATH_AT(&at, i++), type_at = FPATH(&item, F_type);
		struct sv type = val_get_str(c, F_type);

		if (strmap_set(&seen, type, fe))
			fe_duplicate(fe, &type_at, val_new_str(fe->a, type));
		if (!type.n)
			fe_required_why(fe, &type_at, "must not be empty");
	}
}

void validate_flow_schema(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *how = val_get(spec, F_distinguisherMethod, F_type);
	const struct val *precedence = val_member(spec, F_matchingPrecedence);
	struct fpath at = FPATH_ROOT(F_spec), prec_at = FPATH(&at, F_matchingPrecedence),
		     how_up = FPATH(&at, F_distinguisherMethod), how_at = FPATH(&how_up, F_type),
		     level_at = FPATH(&at, F_priorityLevelConfiguration), name_at = FPATH(&level_at, F_name);
	struct sv level = val_get_str(spec, F_priorityLevelConfiguration, F_name);
	int64_t n = val_int_or(precedence, 0);

	(void)old;
	if (is_sub(sub, "status")) {
		flow_status(fe, doc);
		return;
	}
	if (n <= 0)
		fe_invalid(fe, &prec_at, val_new_int(fe->a, n), "must be a positive value");
	if (n > PRECEDENCE_MAX)
		fe_invalid(fe, &prec_at, precedence, "must not be greater than 10000");
	if (n == 1 && !val_is(val_get(doc, F_metadata, F_name), "exempt"))
		fe_invalid(fe, &prec_at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
	if (val_member(spec, F_distinguisherMethod))
		CHECK_ONE_OF(fe, how ? how : val_new_str(fe->a, SV("")), &how_at, "ByNamespace", "ByUser");
	if (level.n)
		fe_check(fe, &name_at, level, fmt_dns_subdomain);
	else
		fe_required_why(fe, &name_at, "must reference a priority level");
	flow_rules(fe, spec, &at);
	flow_fixed(fe, doc, &at, true);
}

/* --- levels --- */

/* How many bits of a hash it takes to deal hand cards, of which there are more in the deck than in the hand. */
static int64_t flow_hash_bits(int64_t deck, int64_t hand)
{
	/* The logarithm in parts of 2^-20, by squaring. */
	int64_t whole = 0, part = 0;
	uint64_t x;

	if (hand > HASH_BITS_MAX)
		return HASH_BITS_MAX + 1;
	while ((INT64_C(1) << (whole + 1)) <= deck)
		whole++;
	x = ((uint64_t)deck << 30) >> whole; /* 1.0 <= x < 2.0, 30 bits behind the point */
	for (int i = 0; i < 20; i++) {
		x = (x * x) >> 30;
		part <<= 1;
		if (x >= (UINT64_C(2) << 30)) {
			x >>= 1;
			part |= 1;
		}
	}
	return (((whole << 20) + part) * hand + (1 << 20) - 1) >> 20;
}

static void flow_queuing(struct field_errs *fe, const struct val *q, const struct fpath *at)
{
	int64_t queues = val_get_int(q, 0, F_queues), hand = val_get_int(q, 0, F_handSize),
		length = val_get_int(q, 0, F_queueLengthLimit);
	struct fpath queues_at = FPATH(at, F_queues), hand_at = FPATH(at, F_handSize),
		     length_at = FPATH(at, F_queueLengthLimit);

	if (length <= 0)
		fe_invalid(fe, &length_at, val_new_int(fe->a, length), "must be positive");
	if (queues <= 0)
		fe_invalid(fe, &queues_at, val_new_int(fe->a, queues), "must be positive");
	else if (queues > QUEUES_MAX)
		fe_add(fe, FE_INVALID, &queues_at, val_new_int(fe->a, queues), "must not be greater than %d",
		       QUEUES_MAX);
	if (hand <= 0)
		fe_invalid(fe, &hand_at, val_new_int(fe->a, hand), "must be positive");
	else if (hand > queues)
		fe_add(fe, FE_INVALID, &hand_at, val_new_int(fe->a, hand),
		       "should not be greater than queues (%" PRId64 ")", queues);
	else if (flow_hash_bits(queues, hand) > HASH_BITS_MAX)
		fe_add(fe, FE_INVALID, &hand_at, val_new_int(fe->a, hand),
		       "required entropy bits of deckSize %" PRId64 " and handSize %" PRId64
		       " should not be greater than %d",
		       queues, hand, HASH_BITS_MAX);
}

static void flow_shares(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	const struct val *shares = val_member(v, F_nominalConcurrencyShares), *lend = val_member(v, F_lendablePercent);
	struct fpath shares_at = FPATH(at, F_nominalConcurrencyShares), lend_at = FPATH(at, F_lendablePercent);

	if (val_int_or(shares, 0) < 0)
		fe_invalid(fe, &shares_at, shares, "must be a non-negative integer");
	if (val_int_or(lend, 0) < 0 || val_int_or(lend, 0) > 100)
		fe_invalid(fe, &lend_at, lend, "must be between 0 and 100, inclusive");
}

static void flow_limited(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	const struct val *borrow = val_member(v, F_borrowingLimitPercent), *response = val_member(v, F_limitResponse);
	const struct val *type = val_member(response, F_type), *queuing = val_member(response, F_queuing);
	struct fpath borrow_at = FPATH(at, F_borrowingLimitPercent), response_at = FPATH(at, F_limitResponse),
		     type_at = FPATH(&response_at, F_type), queuing_at = FPATH(&response_at, F_queuing);

	flow_shares(fe, v, at);
	if (val_int_or(borrow, 0) < 0)
		fe_invalid(fe, &borrow_at, borrow, "if specified, must be a non-negative integer");
	if (!val_str(type).n)
		fe_required(fe, &type_at);
	else if (val_is(type, "Reject") && queuing)
		fe_forbidden(fe, &queuing_at, "must be nil if limited.limitResponse.type is not Limited");
	else if (val_is(type, "Queue") && !queuing)
		fe_required_why(fe, &queuing_at, "must not be empty if limited.limitResponse.type is Limited");
	else if (val_is(type, "Queue"))
		flow_queuing(fe, queuing, &queuing_at);
	else
		CHECK_ONE_OF(fe, type, &type_at, "Queue", "Reject");
}

void validate_priority_level(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *type = val_member(spec, F_type),
			 *limited = val_member(spec, F_limited), *exempt = val_member(spec, F_exempt);
	struct fpath at = FPATH_ROOT(F_spec), type_at = FPATH(&at, F_type), limited_at = FPATH(&at, F_limited),
		     exempt_at = FPATH(&at, F_exempt);
	bool named = val_is(val_get(doc, F_metadata, F_name), "exempt");

	(void)old;
	if (is_sub(sub, "status")) {
		flow_status(fe, doc);
		return;
	}
	if (named != val_is(type, "Exempt"))
		fe_invalid(fe, &type_at, type ? type : val_new_str(fe->a, SV("")),
			   "type must be 'Exempt' if and only if `name` is 'exempt'");
	if (!val_str(type).n) {
		fe_required(fe, &type_at);
	} else if (val_is(type, "Exempt")) {
		if (limited)
			fe_forbidden(fe, &limited_at, "must be nil if the type is not Limited");
		flow_shares(fe, exempt, &exempt_at);
	} else if (val_is(type, "Limited")) {
		if (exempt)
			fe_forbidden(fe, &exempt_at, "must be nil if the type is Limited");
		if (!limited)
			fe_required_why(fe, &limited_at, "must not be empty when type is Limited");
		else
			flow_limited(fe, limited, &limited_at);
	} else {
		CHECK_ONE_OF(fe, type, &type_at, "Exempt", "Limited");
	}
	flow_fixed(fe, doc, &at, false);
}
