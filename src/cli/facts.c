#include "cli/facts.h"

#include "base/buf.h"
#include "object/validate.h"

enum fact_kind { FACT_TEXT, FACT_BOOL, FACT_LIST };
enum fact_form { FORM_ANY, FORM_RANGE /* one, or several */, FORM_ADDRESS, FORM_DOMAIN };

/* All that there is, by the flags' names. */
static const struct fact {
	const char *name;
	enum fact_kind kind;
	enum fact_form form;
	size_t at; /* of the member */
} facts_all[] = {
	{ "cluster-cidr", FACT_TEXT, FORM_RANGE, offsetof(struct cluster_facts, cluster_cidr) },
	{ "service-cidr", FACT_TEXT, FORM_RANGE, offsetof(struct cluster_facts, service_cidr) },
	{ "cluster-domain", FACT_TEXT, FORM_DOMAIN, offsetof(struct cluster_facts, cluster_domain) },
	{ "cluster-dns", FACT_TEXT, FORM_ADDRESS, offsetof(struct cluster_facts, cluster_dns) },
	{ "egress-selector-mode", FACT_TEXT, FORM_ANY, offsetof(struct cluster_facts, egress) },
	{ "flannel-backend", FACT_TEXT, FORM_ANY, offsetof(struct cluster_facts, flannel_backend) },
	{ "ingress-trusted-proxies", FACT_TEXT, FORM_RANGE, offsetof(struct cluster_facts, ingress_trusted) },
	{ "ingress-proxy-protocol", FACT_BOOL, FORM_ANY, offsetof(struct cluster_facts, ingress_proxy_protocol) },
	{ "disable-kube-proxy", FACT_BOOL, FORM_ANY, offsetof(struct cluster_facts, disable_proxy) },
	{ "disable-network-policy", FACT_BOOL, FORM_ANY, offsetof(struct cluster_facts, disable_policy) },
	{ "disable", FACT_LIST, FORM_ANY, offsetof(struct cluster_facts, disable) },
};
_Static_assert(ARRAY_LEN(facts_all) <= FACTS_MAX, "more than callers have room for");

static void *fact_member(const struct cluster_facts *f, const struct fact *k)
{
	return (char *)(uintptr_t)f + k->at;
}

bool facts_disabled(const struct cluster_facts *f, const char *addon)
{
	for (const char *const *s = f->disable.list.p; s && *s; s++)
		if (strcmp(*s, addon) == 0)
			return true;
	return false;
}

bool facts_no_ingress(const struct cluster_facts *f)
{
	return facts_disabled(f, "ingress") || facts_disabled(f, "traefik");
}

bool facts_no_gateway(const struct cluster_facts *f)
{
	return facts_no_ingress(f) || facts_disabled(f, "gateway");
}

void facts_release(struct cluster_facts *f)
{
	string_list_release(&f->disable);
}

/* --- as text --- */

/* "" : not set, which is what its absence says, too. */
static struct sv fact_text(struct arena *a, const struct cluster_facts *f, const struct fact *k)
{
	const struct string_list *l = fact_member(f, k);
	struct buf b = BUF_INIT;
	struct sv s;

	switch (k->kind) {
	case FACT_TEXT:
		return sv_from(*(const char **)fact_member(f, k));
	case FACT_BOOL:
		return *(bool *)fact_member(f, k) ? SV("true") : SV("false");
	case FACT_LIST:
		break;
	}
	for (const char *const *p = l->list.p; p && *p; p++)
		buf_printf(&b, "%s%s", b.n ? "," : "", *p);
	s = arena_sv(a, buf_sv(&b));
	buf_release(&b);
	return s;
}

/* Separated by commas; text is not empty. */
static bool fact_is_list(struct sv text, bool (*fits)(struct sv one))
{
	struct sv one;

	while (sv_split(&text, ',', &one))
		if (!fits(one))
			return false;
	return true;
}

static bool fact_fits(const struct fact *k, struct sv text)
{
	if (memchr(text.p, '\0', text.n) || text.n > 4096)
		return false;
	switch (k->form) {
	case FORM_RANGE:
		return fact_is_list(text, fmt_cidr);
	case FORM_ADDRESS:
		return fact_is_list(text, fmt_ip);
	case FORM_DOMAIN:
		return !fmt_dns_subdomain(text);
	case FORM_ANY:
		break;
	}
	return k->kind != FACT_BOOL || sv_is(text, "true") || sv_is(text, "false");
}

static void fact_set(struct arena *a, struct cluster_facts *f, const struct fact *k, struct sv text)
{
	struct string_list *l = fact_member(f, k);
	struct sv one;

	switch (k->kind) {
	case FACT_TEXT:
		*(const char **)fact_member(f, k) = arena_cstr(a, text);
		return;
	case FACT_BOOL:
		*(bool *)fact_member(f, k) = sv_is(text, "true");
		return;
	case FACT_LIST:
		break;
	}
	while (sv_split(&text, ',', &one))
		if (one.n)
			vec_push(&l->list, arena_cstr(a, one));
	vec_push(&l->list, NULL);
}

struct val *facts_data(struct arena *a, const struct cluster_facts *f)
{
	struct val *data = val_new_map(a);

	for (size_t i = 0; i < ARRAY_LEN(facts_all); i++) {
		struct sv text = fact_text(a, f, &facts_all[i]);

		if (text.n)
			val_set_sv(a, data, sv_from(facts_all[i].name), val_new_str(a, text));
	}
	return data;
}

int facts_parse(struct arena *a, const struct val *data, struct cluster_facts *ret, struct err *err)
{
	*ret = (struct cluster_facts){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(facts_all); i++) {
		const struct fact *k = &facts_all[i];
		struct sv text = val_str(val_member_sv(data, sv_from(k->name)));

		if (!text.n)
			continue;
		if (!fact_fits(k, text)) {
			facts_release(ret);
			return err_set(err, ERR_INVALID, "the cluster's %s cannot be '%.*s'", k->name, SV_ARG(text));
		}
		fact_set(a, ret, k, text);
	}
	if (!ret->cluster_cidr || !ret->service_cidr || !ret->cluster_domain) {
		facts_release(ret);
		return err_set(
		    err, ERR_INVALID,
		    "the cluster says no cluster-cidr, service-cidr or cluster-domain: is ConfigMap " FACTS_NS
		    "/" FACTS_NAME " damaged? The server writes it anew when it is started");
	}
	return 0;
}

/* --- in the cluster --- */

int facts_publish(struct client *c, const struct cluster_facts *f, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *have = NULL;
	struct val *doc = val_new_map(&a), *meta = val_set_map(&a, doc, F_metadata), *data = facts_data(&a, f);
	struct err why = ERR_INIT;

	if (client_get(c, RES(core_configmaps), SV(FACTS_NS), SV(FACTS_NAME), &have, &why) == 0 &&
	    val_same(obj_get(have, F_data), data))
		return 0;
	if (why.reason && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	err_release(&why);
	val_set_cstr(&a, doc, F_apiVersion, "v1");
	val_set_cstr(&a, doc, F_kind, "ConfigMap");
	val_set_cstr(&a, meta, F_name, FACTS_NAME);
	val_set_cstr(&a, meta, F_namespace, FACTS_NS);
	val_set(&a, doc, F_data, data);
	if (have)
		return client_update(c, RES(core_configmaps), doc, NULL, NULL, err);
	return client_create(c, RES(core_configmaps), SV(FACTS_NS), doc, NULL, NULL, err);
}

int facts_fetch(struct client *c, struct arena *a, struct cluster_facts *ret, struct err *err)
{
	_cleanup_obj_ struct obj *o = NULL;

	if (client_get(c, RES(core_configmaps), SV(FACTS_NS), SV(FACTS_NAME), &o, err) < 0)
		return -1;
	return facts_parse(a, obj_get(o, F_data), ret, err);
}

/* --- what other servers have said --- */

int facts_agree(struct arena *a, struct cluster_facts *mine, const struct cluster_facts *theirs, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(facts_all); i++) {
		const struct fact *k = &facts_all[i];
		struct sv own = fact_text(a, mine, k), other = fact_text(a, theirs, k);

		if (sv_eq(own, other))
			continue;
		if (k->kind == FACT_TEXT && !own.n)
			fact_set(a, mine, k, other);
		else if (rc == 0)
			rc = err_set(err, ERR_INVALID,
				     "--%s is '%.*s' here and '%.*s' on the other servers of this cluster: all of them "
				     "have the same. Give it as they do, or end them all before it is changed",
				     k->name, SV_ARG(own), SV_ARG(other));
	}
	return rc;
}

/* --- what an agent's flags say of them --- */

size_t facts_option_table(struct facts_said *said, struct option *t)
{
	for (size_t i = 0; i < ARRAY_LEN(facts_all); i++)
		t[i] = (struct option){
			facts_all[i].name, 0,
			OPT_STRING,	   &said->text[i],
			"VALUE",	   "as the server has it: when it is given, and is not the same, that is said"
		};
	return ARRAY_LEN(facts_all);
}

int facts_compare(const struct facts_said *said, const struct cluster_facts *f, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	for (size_t i = 0; i < ARRAY_LEN(facts_all); i++) {
		struct sv theirs = fact_text(&a, f, &facts_all[i]);

		if (said->text[i] && !sv_is(theirs, said->text[i]))
			return err_set(err, ERR_INVALID,
				       "--%s is '%s' here and '%.*s' on the server: it holds for the whole cluster, so "
				       "leave the flag out, or give the server's value",
				       facts_all[i].name, said->text[i], SV_ARG(theirs));
	}
	return 0;
}
