/* The second half of every write that makes an object: of POST, PUT and apply. */
#include "apiserver/registry/registry.h"
#include "base/timefmt.h"

#define GENERATED_SUFFIX 5
#define GENERATED_BASE_MAX 58 /* upstream: 63 less the suffix */

/* Suffix letters of upstream's names: no vowels, nothing that looks like another. */
static const char suffix_letters[] = "bcdfghjklmnpqrstvwxz2456789";

static struct sv generate_name(struct write_op *op)
{
	char suffix[GENERATED_SUFFIX];
	struct sv base = sv_sub(op->base_name, 0, GENERATED_BASE_MAX);
	/* One draw for all letters: what 27^5 leaves over of 2^64 values is no bias worth a loop. */
	uint64_t draw = env_random_u64(op->q->server->env);

	for (size_t i = 0; i < sizeof(suffix); i++) {
		suffix[i] = suffix_letters[draw % (sizeof(suffix_letters) - 1)];
		draw /= sizeof(suffix_letters) - 1;
	}
	return arena_svf(op->a, "%.*s%.*s", SV_ARG(base), (int)sizeof(suffix), suffix);
}

/* Namespace of the body against the path's. */
static int settle_namespace(struct write_op *op, struct err *err)
{
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);
	struct sv ns = val_get_str(meta, F_namespace);

	if (!op->res->namespaced) {
		val_del(meta, F_namespace);
		return 0;
	}
	if (!ns.n)
		val_set_str(op->a, meta, F_namespace, op->ns);
	else if (!sv_eq(ns, op->ns))
		return err_set(err, ERR_BAD_REQUEST,
			       "the namespace of the provided object does not match the namespace sent on the request");
	return 0;
}

static void system_fields(struct write_op *op)
{
	struct apiserver *s = op->q->server;
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);
	char text[TIME_TEXT_MAX], uid[37];

	val_del(meta, F_selfLink);
	val_del(meta, F_deletionTimestamp);
	val_del(meta, F_deletionGracePeriodSeconds);
	if (!op->strat->no_generation) /* else it is the client's, whatever it means by it */
		val_del(meta, F_generation);
	val_del(meta, F_resourceVersion);
	env_uuid(s->env, uid);
	val_set_cstr(op->a, meta, F_uid, uid);
	if (!op->strat->no_generation && !op->strat->late_generation)
		val_set_int(op->a, meta, F_generation, 1);
	val_set_str(op->a, meta, F_creationTimestamp, time_format(env_now_ns(s->env), false, text));
}

int create_begin(struct write_op *op, struct err *err)
{
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);

	op->creating = true;
	if (write_open(op->res, err) < 0)
		return -1;
	if (val_get_str(meta, F_resourceVersion).n && !val_is(val_get(meta, F_resourceVersion), "0")) {
		err_set(err, ERR_UNKNOWN, "resourceVersion should not be set on objects to be created");
		return -1;
	}
	if (settle_namespace(op, err) < 0)
		return -1;
	return 0;
}

void create_owned(struct write_op *op)
{
	if (op->res->has_status && !op->strat->status_on_create)
		val_del(op->doc, F_status);
	op->name = val_get_str(op->doc, F_metadata, F_name);
}

int create_prepare(struct write_op *op, struct err *err)
{
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);

	/* Once more: admission may have written another one, and rights, quotas and standards were asked about this. */
	if (settle_namespace(op, err) < 0)
		return -1;
	op->name = val_get_str(meta, F_name);
	if (op->generated_name || (!op->name.n && val_get_str(meta, F_generateName).n)) {
		op->generated_name = true;
		op->base_name = val_get_str(meta, F_generateName);
		op->name = generate_name(op);
		val_set_str(op->a, meta, F_name, op->name);
	}
	system_fields(op);
	if (op->strat->prepare_create)
		op->strat->prepare_create(op->q, op->doc);
	op->name = val_get_str(op->doc, F_metadata, F_name);
	return write_validate(op, NULL, err);
}
