#include "kubelet/env_vars.h"

#include "base/b64.h"
#include "base/buf.h"
#include "codec/val_index.h"

#include <ctype.h>

#define ENV_SOURCE_SMALL 64 /* nodes of a map that is not worth an index */

const struct budget_limit env_expanded_limit = {
	4 * 1024 * 1024, ERR_INVALID,
	"what the references in variables, arguments and paths stand for is larger than 4194304 bytes together, more "
	"than any kernel gives a program"
};

int env_var_expand(struct arena *a, struct sv text, struct budget *expanded,
		   bool (*lookup)(struct sv name, struct sv *ret, void *ctx), void *ctx, struct sv *ret,
		   struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool closes = true; /* there is a parenthesis ahead */

	for (size_t i = 0; i < text.n; i++) {
		ssize_t end;
		struct sv value;

		if (text.p[i] != '$' || i + 1 == text.n) {
			buf_addc(&b, text.p[i]);
			continue;
		}
		if (text.p[i + 1] == '$') { /* escaped: the reference behind it stays text */
			buf_addc(&b, '$');
			i++;
			continue;
		}
		end = text.p[i + 1] == '(' && closes ? sv_find(sv_sub(text, i + 2, text.n), ')') : -1;
		if (end < 0) {
			closes &= text.p[i + 1] != '(';
			buf_addc(&b, '$');
			continue;
		}
		if (!lookup(sv_sub(text, i + 2, (size_t)end), &value, ctx)) {
			buf_addsv(&b, sv_sub(text, i, (size_t)end + 3));
		} else {
			if (budget_spend(expanded, value.n, err) < 0)
				return -1;
			buf_addsv(&b, value);
		}
		i += (size_t)end + 2;
	}
	*ret = arena_sv(a, buf_sv(&b));
	return 0;
}

static void env_names_drop(void *names)
{
	strmap_release(names);
}

static struct rt_label *env_var_find(const struct env_list *l, struct sv name)
{
	size_t at = l->at ? (uintptr_t)strmap_get(l->at, name) : 0;

	return at ? &l->p[at - 1] : NULL;
}

/* A namespace's services alone can be thousands of variables: none is searched for. */
static void env_var_set(struct env_list *l, struct sv name, struct sv value)
{
	struct rt_label *had = env_var_find(l, name);

	if (had) {
		had->value = value;
		return;
	}
	if (!l->at) {
		l->at = ARENA_NEW(l->a, struct strmap);
		arena_defer(l->a, env_names_drop, l->at);
	}
	if (l->n == l->cap) {
		struct rt_label *p = ARENA_ARRAY(l->a, struct rt_label, l->cap ? l->cap * 2 : 32);

		if (l->n)
			memcpy(p, l->p, l->n * sizeof(*p));
		l->p = p;
		l->cap = l->cap ? l->cap * 2 : 32;
	}
	l->p[l->n++] = (struct rt_label){ name, value };
	strmap_set(l->at, name, (void *)(uintptr_t)l->n);
}

bool env_var_lookup(struct sv name, struct sv *ret, void *list)
{
	const struct rt_label *var = env_var_find(list, name);

	if (var)
		*ret = var->value;
	return var != NULL;
}

static bool env_var_name_valid(struct sv name)
{
	if (!name.n)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] > '~' || name.p[i] == '=')
			return false;
	return true;
}

/* --- services --- */

static char *upper(struct arena *a, struct sv name)
{
	char *s = arena_cstr(a, name);

	for (char *p = s; *p; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	return s;
}

const char *const env_service_paths[] = { "spec clusterIP", "spec ports name", "spec ports port", "spec ports protocol",
					  NULL };

void env_var_add_service(struct env_list *l, const struct val *service)
{
	struct arena *a = l->a;
	char *name = upper(a, val_get_str(service, F_metadata, F_name));
	struct sv ip = val_get_str(service, F_spec, F_clusterIP);
	const struct val *ports = val_get(service, F_spec, F_ports);
	bool v6 = sv_find(ip, ':') >= 0, first = true;
	const char *host = v6 ? arena_printf(a, "[%.*s]", SV_ARG(ip)) : arena_cstr(a, ip);

	if (!ip.n || sv_is(ip, "None") || !val_len(ports))
		return;
	env_var_set(l, arena_svf(a, "%s_SERVICE_HOST", name), ip);
	env_var_set(l, arena_svf(a, "%s_SERVICE_PORT", name),
		    arena_svf(a, "%" PRId64, val_get_int(val_at(ports, 0), 0, F_port)));
	VAL_EACH(ports, p)
		if (val_get_str(p, F_name).n)
			env_var_set(l, arena_svf(a, "%s_SERVICE_PORT_%s", name, upper(a, val_get_str(p, F_name))),
				    arena_svf(a, "%" PRId64, val_get_int(p, 0, F_port)));
	VAL_EACH(ports, p) {
		struct sv proto = val_get_str(p, F_protocol);
		char *up = upper(a, proto.n ? proto : SV("TCP")), *low = arena_strdup(a, up);
		int64_t port = val_get_int(p, 0, F_port);
		const char *prefix = arena_printf(a, "%s_PORT_%" PRId64 "_%s", name, port, up);
		struct sv url;

		for (char *c = low; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		url = arena_svf(a, "%s://%s:%" PRId64, low, host, port);
		if (first)
			env_var_set(l, arena_svf(a, "%s_PORT", name), url);
		first = false;
		env_var_set(l, arena_svf(a, "%s", prefix), url);
		env_var_set(l, arena_svf(a, "%s_PROTO", prefix), sv_from(low));
		env_var_set(l, arena_svf(a, "%s_PORT", prefix), arena_svf(a, "%" PRId64, port));
		env_var_set(l, arena_svf(a, "%s_ADDR", prefix), ip);
	}
}

/* --- envFrom, env --- */

int env_var_add_from(struct env_list *l, const struct val *container, const struct env_source *src, struct err *err)
{
	VAL_EACH(val_member(container, F_envFrom), f) {
		const struct val *ref = val_member(f, F_configMapRef), *o = NULL;
		bool secret = !ref;
		struct sv prefix = val_get_str(f, F_prefix);
		struct err e = ERR_INIT;

		if (secret)
			ref = val_member(f, F_secretRef);
		if (src->get(src->ctx, l->a, secret, val_get_str(ref, F_name), &o, &e) < 0) {
			if (e.reason == ERR_NOT_FOUND && val_get_bool(ref, F_optional)) {
				err_release(&e);
				continue;
			}
			return err_move(err, &e);
		}
		VAL_EACH_MEMBER(val_member(o, F_data), m) {
			struct sv name = arena_svf(l->a, "%.*s%.*s", SV_ARG(prefix), SV_ARG(m.key)),
				  value = val_str(m.value);

			if (!env_var_name_valid(name))
				continue;
			if (secret && !b64_decode(l->a, value, &value))
				continue;
			env_var_set(l, name, arena_sv(l->a, value));
		}
	}
	return 0;
}

static void env_index_drop(void *index)
{
	val_index_release(index);
}

/* A container may name each key of what may have as many. */
static const struct val *env_source_get(struct env_list *l, const struct val *data, struct sv key)
{
	struct val_index *x;
	void **slot;

	if (val_type(data) != VAL_MAP || data->n <= ENV_SOURCE_SMALL)
		return val_member_sv(data, key);
	if (!l->sources) {
		l->sources = ARENA_NEW(l->a, struct strmap);
		arena_defer(l->a, env_names_drop, l->sources);
	}
	slot = strmap_slot(l->sources, sv_make((const char *)&data, sizeof(data)));
	if (!*slot) {
		*slot = x = ARENA_NEW(l->a, struct val_index);
		*x = val_index_of(data);
		arena_defer(l->a, env_index_drop, x);
	}
	return val_index_get(*slot, key);
}

static int key_ref(struct env_list *l, const struct val *ref, bool secret, const struct env_source *src, bool *ret_have,
		   struct sv *ret, struct err *err)
{
	struct sv name = val_get_str(ref, F_name), key = val_get_str(ref, F_key);
	bool optional = val_get_bool(ref, F_optional);
	const struct val *o = NULL, *v;
	struct err e = ERR_INIT;

	*ret_have = false;
	if (src->get(src->ctx, l->a, secret, name, &o, &e) < 0) {
		if (e.reason == ERR_NOT_FOUND && optional) {
			err_release(&e);
			return 0;
		}
		return err_move(err, &e);
	}
	v = env_source_get(l, val_member(o, F_data), key);
	if (!v) {
		if (optional)
			return 0;
		return err_set(err, ERR_NOT_FOUND, "couldn't find key %.*s in %s %.*s/%.*s", SV_ARG(key),
			       secret ? "Secret" : "ConfigMap", SV_ARG(val_get_str(o, F_metadata, F_namespace)),
			       SV_ARG(name));
	}
	*ret = val_str(v);
	if (secret && !b64_decode(l->a, *ret, ret))
		return err_set(err, ERR_INTERNAL, "key %.*s of Secret %.*s is no base64", SV_ARG(key), SV_ARG(name));
	*ret = arena_sv(l->a, *ret);
	*ret_have = true;
	return 0;
}

int env_var_add_own(struct env_list *l, const struct val *container, const struct env_source *src, struct err *err)
{
	VAL_EACH(val_member(container, F_env), e) {
		struct sv name = val_get_str(e, F_name), value = val_get_str(e, F_value);
		const struct val *from = val_member(e, F_valueFrom), *ref;
		bool have = true;

		if (from && (ref = val_member(from, F_configMapKeyRef))) {
			if (key_ref(l, ref, false, src, &have, &value, err) < 0)
				return -1;
		} else if (from && (ref = val_member(from, F_secretKeyRef))) {
			if (key_ref(l, ref, true, src, &have, &value, err) < 0)
				return -1;
		} else if (from && (ref = val_member(from, F_fileKeyRef))) {
			if (src->file(src->ctx, l->a, ref, &have, &value, err) < 0)
				return -1;
		} else if (from && val_len(from)) {
			if (src->field(src->ctx, l->a, from, &value, err) < 0)
				return -1;
		} else {
			if (env_var_expand(l->a, value, &l->expanded, env_var_lookup, l, &value, err) < 0)
				return -1;
		}
		if (have)
			env_var_set(l, name, value);
	}
	return 0;
}
