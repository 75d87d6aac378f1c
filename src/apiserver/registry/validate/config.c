/* config.c - ConfigMap and Secret: keys that become file names, a size limit, freezing. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/b64.h"
#include "codec/json.h"
#include "codec/val_index.h"
#include "object/legacy_token.h"

#define DATA_MAX_BYTES (1024 * 1024)

static void keys(struct field_errs *fe, const struct val *map, enum sym name)
{
	struct fpath at = FPATH_ROOT(name);

	VAL_EACH_MEMBER(map, m) {
		struct fpath here = FPATH_KEY(&at, m.key);

		fe_check(fe, &here, m.key, fmt_config_key);
	}
}

/* Bytes that a base64 text stands for. */
static size_t decoded_len(struct sv s)
{
	size_t n = s.n / 4 * 3;

	if (sv_ends(s, SV("==")))
		return n - 2;
	return sv_ends(s, SV("=")) ? n - 1 : n;
}

static size_t total(const struct val *map, bool base64)
{
	size_t n = 0;

	VAL_EACH_MEMBER(map, m)
		n += base64 ? decoded_len(val_str(m.value)) : val_str(m.value).n;
	return n;
}

static bool config_same(const struct val *x, const struct val *y)
{
	if (val_len(x) == 0 && val_len(y) == 0)
		return true;
	return x && y && val_equal(x, y);
}

/* Once immutable, always, with all data. */
static void config_frozen(struct field_errs *fe, const struct val *doc, const struct val *old, const enum sym *members)
{
	struct fpath at = FPATH_ROOT(F_immutable);

	if (!val_get_bool(old, F_immutable))
		return;
	if (!val_get_bool(doc, F_immutable))
		fe_forbidden(fe, &at, "field is immutable when `immutable` is set");
	for (; *members; members++) {
		struct fpath here = FPATH_ROOT(*members);

		if (!config_same(val_member(doc, *members), val_member(old, *members)))
			fe_forbidden(fe, &here, "field is immutable when `immutable` is set");
	}
}

void validate_config_map(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *data = val_member(doc, F_data), *binary = val_member(doc, F_binaryData);
	struct fpath data_at = FPATH_ROOT(F_data);
	static const struct sv nowhere = { "", 0 };
	struct fpath whole = FPATH_KEY(NULL, nowhere);
	_cleanup_(val_index_release) struct val_index in_data = val_index_of(data);

	(void)sub;
	if (old)
		config_frozen(fe, doc, old, (const enum sym[]){ F_data, F_binaryData, SYM_NONE });
	keys(fe, data, F_data);
	VAL_EACH_MEMBER(binary, m) {
		struct fpath here = FPATH_KEY(&data_at, m.key);

		if (val_index_get(&in_data, m.key))
			fe_format(fe, &here, m.key, "duplicate of key present in binaryData");
	}
	keys(fe, binary, F_binaryData);
	if (total(data, false) + total(binary, true) > DATA_MAX_BYTES)
		fe_too_long(fe, &whole, DATA_MAX_BYTES);
}

static void required_key(struct field_errs *fe, const struct val *data, const char *key, bool json)
{
	const struct val *v = val_member_sv(data, sv_from(key));
	struct fpath at = FPATH_ROOT(F_data), here = FPATH_KEY(&at, sv_from(key));
	struct sv text = SV("");

	if (!v) {
		fe_required(fe, &here);
		return;
	}
	if (json && b64_decode(fe->a, val_str(v), &text))
		text = sv_trim(text);
	if (json && (text.n == 0 || text.p[0] != '{' || !json_valid(text)))
		fe_format(fe, &here, SV("<secret contents redacted>"), "must be a JSON object");
}

static bool has(const struct val *data, const char *key)
{
	return val_member_sv(data, sv_from(key)) != NULL;
}

void validate_secret(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *data = val_member(doc, F_data), *type = val_member(doc, F_type);
	struct fpath at = FPATH_ROOT(F_data), meta_at = FPATH_ROOT(F_metadata), ann_at = FPATH(&meta_at, F_annotations);
	struct fpath sa_at = FPATH_KEY(&ann_at, SV(LEGACY_TOKEN_ACCOUNT));
	struct fpath user_at = FPATH_KEY(&at, SV("username")), pass_at = FPATH_KEY(&at, SV("password"));
	struct fpath key_at = FPATH_KEY(&at, SV("ssh-privatekey"));

	(void)sub;
	if (old) {
		check_immutable(fe, doc, old, NULL, F_type);
		config_frozen(fe, doc, old, (const enum sym[]){ F_data, SYM_NONE });
	}
	keys(fe, data, F_data);
	if (total(data, true) > DATA_MAX_BYTES)
		fe_too_long(fe, &at, DATA_MAX_BYTES);
	if (val_is(type, LEGACY_TOKEN_TYPE)) {
		if (val_str(val_member_sv(val_get(doc, F_metadata, F_annotations), SV(LEGACY_TOKEN_ACCOUNT))).n == 0)
			fe_required(fe, &sa_at);
	} else if (val_is(type, "kubernetes.io/dockercfg")) {
		required_key(fe, data, ".dockercfg", true);
	} else if (val_is(type, "kubernetes.io/dockerconfigjson")) {
		required_key(fe, data, ".dockerconfigjson", true);
	} else if (val_is(type, "kubernetes.io/basic-auth")) {
		if (!has(data, "username") && !has(data, "password")) {
			fe_required(fe, &user_at);
			fe_required(fe, &pass_at);
		}
	} else if (val_is(type, "kubernetes.io/ssh-auth")) {
		if (val_str(val_member_sv(data, SV("ssh-privatekey"))).n == 0)
			fe_required(fe, &key_at);
	} else if (val_is(type, "kubernetes.io/tls")) {
		required_key(fe, data, "tls.crt", false);
		required_key(fe, data, "tls.key", false);
	}
}
