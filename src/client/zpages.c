#include "client/zpages.h"

#include "base/timefmt.h"
#include "base/version.h"
#include "codec/cbor.h"
#include "codec/doc.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "object/feature.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WARNING                                                                                                    \
	"Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees " \
	"and is for debugging purposes only.\n"

enum zpage_form { FORM_NONE, FORM_TEXT, FORM_JSON, FORM_YAML, FORM_CBOR, _FORM_MAX };

static const char *const zpage_types[_FORM_MAX] = {
	[FORM_TEXT] = "text/plain; charset=utf-8",
	[FORM_JSON] = "application/json",
	[FORM_YAML] = "application/yaml",
	[FORM_CBOR] = CBOR_MEDIA_TYPE,
};
static const char *const zpage_kinds[] = { [ZPAGE_STATUS] = "Statusz", [ZPAGE_FLAGS] = "Flagz" };
static const char *const zpage_versions[] = { "v1beta1", "v1alpha1" };

bool zpage_on(struct sv path, enum zpage *ret)
{
	*ret = sv_is(path, "/flagz") ? ZPAGE_FLAGS : ZPAGE_STATUS;
	if (sv_is(path, "/flagz"))
		return feature_on(FG_ComponentFlagz);
	return sv_is(path, "/statusz") && feature_on(FG_ComponentStatusz);
}

/* --- what is asked for --- */

struct zpage_choice {
	enum zpage_form form;
	const char *version; /* of an object */
};

/* One clause of an Accept header. */
static struct zpage_choice zpage_clause(enum zpage which, struct sv clause, double *ret_q)
{
	struct zpage_choice c = { FORM_NONE, NULL };
	struct sv type = SV_NULL, one, version = SV_NULL;
	bool group = false, kind = false;

	*ret_q = 1;
	(void)sv_split(&clause, ';', &type);
	type = sv_trim(type);
	while (clause.p && sv_split(&clause, ';', &one)) {
		struct sv p = sv_trim(one);

		if (sv_starts(p, SV("q=")))
			*ret_q = p.n < 12 ? strtod(p.p + 2, NULL) : 0;
		else if (sv_starts(p, SV("v=")))
			version = sv_sub(p, 2, p.n);
		else if (sv_is(p, "g=config.k8s.io"))
			group = true;
		else if (sv_starts(p, SV("as=")))
			kind = sv_is(sv_sub(p, 3, p.n), zpage_kinds[which]);
	}
	if (sv_is(type, "*/*") || sv_is(type, "text/*") || sv_is(type, "text/plain")) {
		c.form = FORM_TEXT;
		return c;
	}
	for (enum zpage_form f = FORM_JSON; f < _FORM_MAX; f++)
		if (sv_is(type, zpage_types[f]) && (f != FORM_CBOR || feature_on(FG_CBORServingAndStorage)))
			c.form = f;
	for (size_t i = 0; i < ARRAY_LEN(zpage_versions); i++)
		if (sv_is(version, zpage_versions[i]))
			c.version = zpage_versions[i];
	if (!group || !kind || !c.version)
		c.form = FORM_NONE;
	return c;
}

/* The first of those that are liked best. */
static struct zpage_choice zpage_choose(enum zpage which, struct sv accept)
{
	struct zpage_choice best = { FORM_NONE, NULL };
	double best_q = 0;
	struct sv one;

	if (!sv_trim(accept).n)
		return (struct zpage_choice){ FORM_TEXT, NULL };
	while (accept.p && sv_split(&accept, ',', &one)) {
		double q;
		struct zpage_choice c = zpage_clause(which, one, &q);

		if (c.form != FORM_NONE && q > best_q) {
			best = c;
			best_q = q;
		}
	}
	return best;
}

/* --- text --- */

static void zpage_text(enum zpage which, const struct zpage_about *z, struct buf *b)
{
	int64_t up = MAX(z->now_ns - z->start_ns, 0) / 1000000000;
	time_t start = (time_t)(z->start_ns / 1000000000);
	char started[64] = "";
	struct tm tm;

	if (which == ZPAGE_FLAGS) {
		buf_printf(b, "\n%s flags\n" WARNING "\n", z->component);
		for (size_t i = 0; i < z->n_flags; i++)
			buf_printf(b, "%s=%s\n", z->flags[i].name,
				   z->flags[i].secret ? "CLASSIFIED" : z->flags[i].value);
		return;
	}
	(void)strftime(started, sizeof(started), "%a %b %e %H:%M:%S UTC %Y", gmtime_r(&start, &tm));
	buf_printf(b,
		   "\n%s statusz\n" WARNING "\nStarted: %s\nUp: %" PRId64 " hr %02d min %02d sec\nGo version: none\n"
		   "Binary version: %s\nEmulation version: 1." KUBERNETES_MINOR "\n",
		   z->component, started, up / 3600, (int)(up / 60 % 60), (int)(up % 60), &VERSION_TEXT[1]);
	if (!z->paths)
		return;
	buf_adds(b, "Paths:");
	for (size_t i = 0; z->paths[i]; i++)
		buf_printf(b, " %s", z->paths[i]);
	buf_addc(b, '\n');
}

/* --- objects --- */

static void zpage_set(struct arena *a, struct val *map, const char *name, const char *value)
{
	val_set_str_sv(a, map, sv_from(name), sv_from(value));
}

static struct val *zpage_doc(enum zpage which, const struct zpage_about *z, const char *version, struct arena *a)
{
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *part;
	char start[TIME_TEXT_MAX];

	zpage_set(a, doc, "kind", zpage_kinds[which]);
	zpage_set(a, doc, "apiVersion", arena_printf(a, "config.k8s.io/%s", version));
	zpage_set(a, meta, "name", z->component);
	val_set_sv(a, doc, SV("metadata"), meta);
	if (which == ZPAGE_FLAGS) {
		part = val_new_map(a);
		for (size_t i = 0; i < z->n_flags; i++)
			zpage_set(a, part, z->flags[i].name, z->flags[i].secret ? "CLASSIFIED" : z->flags[i].value);
		val_set_sv(a, doc, SV("flags"), part);
		return doc;
	}
	(void)time_format(z->start_ns, false, start);
	zpage_set(a, doc, "startTime", start);
	val_set_sv(a, doc, SV("uptimeSeconds"), val_new_int(a, MAX(z->now_ns - z->start_ns, 0) / 1000000000));
	zpage_set(a, doc, "binaryVersion", &VERSION_TEXT[1]);
	zpage_set(a, doc, "emulationVersion", "1." KUBERNETES_MINOR);
	zpage_set(a, doc, "minimumCompatibilityVersion", "1." KUBERNETES_MINOR_BEFORE);
	if (z->paths) {
		part = val_new_list(a);
		for (size_t i = 0; z->paths[i]; i++)
			val_push(a, part, val_new_str(a, sv_from(z->paths[i])));
		val_set_sv(a, doc, SV("paths"), part);
	}
	return doc;
}

static int zpage_refuse(struct buf *b, const char **ret_type)
{
	*ret_type = zpage_types[FORM_JSON];
	buf_printf(
	    b,
	    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"only "
	    "the following media types are accepted: application/json, application/yaml, %stext/plain\","
	    "\"reason\":\"NotAcceptable\",\"code\":406}\n",
	    feature_on(FG_CBORServingAndStorage) ? "application/cbor, " : "");
	return 406;
}

int zpage_make(enum zpage which, const struct zpage_about *z, struct sv accept, struct buf *b, const char **ret_type)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct zpage_choice c = zpage_choose(which, accept);
	const struct val *doc;

	if (c.form == FORM_NONE)
		return zpage_refuse(b, ret_type);
	*ret_type = zpage_types[c.form];
	if (c.form == FORM_TEXT) {
		zpage_text(which, z, b);
		return 200;
	}
	doc = zpage_doc(which, z, c.version, &a);
	if (c.form == FORM_JSON) {
		json_encode(b, doc);
		buf_addc(b, '\n');
	} else if (c.form == FORM_YAML) {
		yaml_encode(b, doc);
	} else {
		buf_addsv(b, CBOR_SELF);
		cbor_encode(b, doc);
	}
	return 200;
}
