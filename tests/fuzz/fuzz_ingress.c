/* An Ingress whose every text is the input's: whatever is rendered, texts of users are values in map files.
 *
 * The configuration is made of the same bytes whatever the texts were, but for the few words of a small alphabet:
 * what is checked is that each of its lines begins with a word of ours, that no byte of it is outside printable ASCII,
 * and that no line has a quote or a '%' that a line of ours has not. Map files: one line an entry, a key without
 * blanks.
 */
#include "check_haproxy.h"
#include "ingress/from_ingress.h"

#include <stdio.h>

#define N "nginx.ingress.kubernetes.io/"

static const char *const annotations[] = {
	N "canary-by-header",	 N "canary-by-header-value",
	N "canary-by-cookie",	 N "permanent-redirect",
	N "temporal-redirect",	 N "app-root",
	N "rewrite-target",	 N "upstream-vhost",
	N "x-forwarded-prefix",	 N "auth-realm",
	N "session-cookie-name", N "cors-allow-origin",
	N "cors-allow-headers",	 N "proxy-body-size",
	N "proxy-read-timeout",	 N "whitelist-source-range",
	N "backend-protocol",	 N "session-cookie-max-age",
	N "limit-rps",		 N "denylist-source-range",
};

struct fuzz {
	struct arena a;
	struct sv left;
	struct obj *service, *slice, *users;
};

static struct sv fuzz_text(struct fuzz *f)
{
	struct sv s;

	return sv_split(&f->left, 0x1f, &s) ? s : SV("");
}

static struct obj *fuzz_service(void *ctx, _unused_ struct sv ns, _unused_ struct sv name)
{
	return ((struct fuzz *)ctx)->service;
}

static struct obj *fuzz_secret(void *ctx, _unused_ struct sv ns, _unused_ struct sv name)
{
	return ((struct fuzz *)ctx)->users;
}

static struct obj **fuzz_slices(void *ctx, _unused_ struct arena *a, _unused_ struct sv ns, _unused_ struct sv service,
				size_t *ret_n)
{
	*ret_n = 1;
	return &((struct fuzz *)ctx)->slice;
}

static void fuzz_say(_unused_ void *ctx, _unused_ const struct obj *o, _unused_ const char *reason, const char *message)
{
	BUG_ON(!*message);
}

static void fuzz_uses(_unused_ void *ctx, _unused_ struct sv ns, _unused_ struct sv name)
{
}

static struct obj *fuzz_object(struct fuzz *f, const char *kind, struct sv name, struct val **ret_meta,
			       struct val *spec)
{
	struct val *doc = val_new_map(&f->a), *meta = *ret_meta ? *ret_meta : val_new_map(&f->a);

	val_set_cstr(&f->a, doc, F_kind, kind);
	val_set_str(&f->a, meta, F_name, name);
	val_set_cstr(&f->a, meta, F_namespace, "d");
	val_set(&f->a, doc, F_metadata, meta);
	if (spec)
		val_set(&f->a, doc, F_spec, spec);
	return obj_link(&f->a, obj_new(doc, 1));
}

static struct obj *fuzz_ingress(struct fuzz *f, bool canary, unsigned bits)
{
	struct val *meta = val_new_map(&f->a), *map = val_new_map(&f->a), *spec = val_new_map(&f->a),
		   *rule = val_new_map(&f->a), *path = val_new_map(&f->a), *paths = val_new_list(&f->a),
		   *rules = val_new_list(&f->a), *http = val_new_map(&f->a), *backend = val_new_map(&f->a),
		   *service = val_new_map(&f->a), *port = val_new_map(&f->a), *tls = val_new_list(&f->a),
		   *one = val_new_map(&f->a), *hosts = val_new_list(&f->a);
	struct sv host = fuzz_text(f), at = fuzz_text(f), name = fuzz_text(f);

	for (size_t i = 0; i < ARRAY_LEN(annotations); i++) {
		struct sv text = fuzz_text(f);

		if (text.n)
			val_set_str_sv(&f->a, map, sv_from(annotations[i]), text);
	}
	if (canary)
		val_set_str_sv(&f->a, map, SV(N "canary"), SV("true"));
	if (bits & 1)
		val_set_str_sv(&f->a, map, SV(N "enable-cors"), SV("true"));
	if (bits & 2)
		val_set_str_sv(&f->a, map, SV(N "affinity"), SV("cookie"));
	if (bits & 4) {
		val_set_str_sv(&f->a, map, SV(N "auth-type"), SV("basic"));
		val_set_str_sv(&f->a, map, SV(N "auth-secret"), SV("users"));
		val_set_str_sv(&f->a, map, SV(N "auth-secret-type"), SV("auth-map"));
	}
	val_set(&f->a, meta, F_annotations, map);
	val_set_str(&f->a, service, F_name, name);
	val_set_int(&f->a, port, F_number, 80);
	val_set(&f->a, service, F_port, port);
	val_set(&f->a, backend, F_service, service);
	val_set_str(&f->a, path, F_path, at);
	val_set_cstr(&f->a, path, F_pathType, bits & 8 ? "Exact" : bits & 16 ? "Prefix" : "ImplementationSpecific");
	val_set(&f->a, path, F_backend, backend);
	val_push(&f->a, paths, path);
	val_set(&f->a, http, F_paths, paths);
	if (host.n)
		val_set_str(&f->a, rule, F_host, host);
	val_set(&f->a, rule, F_http, http);
	val_push(&f->a, rules, rule);
	val_set(&f->a, spec, F_rules, rules);
	val_push(&f->a, hosts, val_new_str(&f->a, host));
	val_set(&f->a, one, F_hosts, hosts);
	val_push(&f->a, tls, one);
	val_set(&f->a, spec, F_tls, tls);
	return fuzz_object(f, "Ingress", canary ? SV("c") : SV("i"), &meta, spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .left = SV_NULL };
	struct ing_names names = { .next = 0 };
	struct ing_listen l = { .http_port = 80, .https_port = 443, .threads = 1, .max_connections = 100 };
	struct ing_source s = { .service = fuzz_service,
				.secret = fuzz_secret,
				.slices = fuzz_slices,
				.say = fuzz_say,
				.uses = fuzz_uses,
				.ctx = &f };
	struct val *spec = val_new_map(&f.a), *port = val_new_map(&f.a), *meta = NULL, *class_spec = val_new_map(&f.a),
		   *user;
	struct obj *ingresses[2], *class;
	struct ingress_classes classes;
	struct ing_model m;
	struct ing_conf c;
	unsigned bits = size ? data[0] : 0;

	if (!size || size > 65536)
		goto out;
	f.left = sv_make((const char *)data + 1, size - 1);
	val_set_int(&f.a, port, F_port, 80);
	val_push(&f.a, val_set_list(&f.a, spec, F_ports), port);
	if (bits & 32) {
		val_set_cstr(&f.a, spec, F_type, "ExternalName");
		val_set_str(&f.a, spec, F_externalName, fuzz_text(&f));
	}
	f.service = fuzz_object(&f, "Service", SV("a"), &meta, spec);
	f.slice = fuzz_object(&f, "EndpointSlice", SV("a"), &meta, NULL);
	user = val_new_map(&f.a);
	val_set_str_sv(&f.a, val_set_map(&f.a, user, F_data), fuzz_text(&f),
		       SV("JDEkYWJjJGFiY2RlZmdoaWprbG1ub3BxcnN0dXY="));
	f.users = obj_link(&f.a, obj_new(user, 1));
	val_set_cstr(&f.a, class_spec, F_controller, INGRESS_CONTROLLER);
	class = fuzz_object(&f, "IngressClass", SV("x"), &meta, class_spec);
	for (int i = 0; i < 2; i++) {
		struct val *doc;

		ingresses[i] = fuzz_ingress(&f, i == 1, bits);
		doc = obj_edit(&f.a, ingresses[i]);
		val_set_cstr(&f.a, val_ensure_map(&f.a, doc, F_spec), F_ingressClassName, "x");
		ingresses[i] = obj_link(&f.a, obj_new(doc, 1));
	}
	s.ingresses = ingresses;
	s.n_ingresses = 2;
	ingress_classes_of(&class, 1, &classes);
	s.classes = &classes;
	ing_from_ingresses(&f.a, &s, &m);
	ing_render(&f.a, &names, &m, &l, &c);
	BUG_ON(c.refused); /* who judged it before lets through what may be written */
	check_config(c.config);
	for (int i = 0; i < ING_MAPS; i++)
		check_map(c.maps[i]);
	ing_names_release(&names);
	ingress_classes_release(&classes);
out:
	arena_release(&f.a);
	return 0;
}
