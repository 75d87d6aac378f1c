#include "cli/import_read.h"

#include "base/retry.h"
#include "codec/json.h"

#define READ_TRIES 6 /* twelve seconds: an etcd has a leader again after two or three */

static const struct retry_policy read_retry = { .first_ns = NS_PER_SEC / 2, .max_ns = 4 * NS_PER_SEC };

static bool read_passes(int status)
{
	return status == 404 || status == 429 || status >= 500;
}

static struct val *import_read_document(const struct import_reader *r, struct arena *a, struct sv body,
					const char *target, const char *field, struct err *err)
{
	struct val *doc = json_decode(a, body, NULL, err);
	const struct val *list = val_member_sv(doc, sv_from(field));

	if (!doc)
		return NULL;
	/* null is what some servers write for an empty one. */
	if (!val_str(val_member_sv(doc, SV("kind"))).n || !list ||
	    (val_type(list) != VAL_LIST && val_type(list) != VAL_NULL)) {
		err_set(err, ERR_INVALID, "%s answers %s with something that is no list", r->from->what, target);
		return NULL;
	}
	return doc;
}

struct val *import_read_list(const struct import_reader *r, struct arena *a, const char *target, const char *field,
			     int *ret_absent, struct err *err)
{
	struct http_response got = { 0 };
	struct err why = ERR_INIT;

	if (ret_absent)
		*ret_absent = 0;
	for (unsigned i = 0; i < READ_TRIES; i++) {
		if (i)
			r->pause(retry_pause_ns(&read_retry, i));
		err_release(&why);
		got.status = 0;
		if (r->get(r->from, a, target, &got, &why) < 0)
			continue;
		if (got.status == 200)
			return import_read_document(r, a, got.body, target, field, err);
		if (!read_passes(got.status) || (ret_absent && got.status == 404))
			break;
	}
	if (!got.status) {
		(void)err_move(err, &why);
		return NULL;
	}
	if (ret_absent && read_passes(got.status))
		*ret_absent = got.status;
	else
		(void)api_way_refused(r->from, &got, err);
	return NULL;
}
