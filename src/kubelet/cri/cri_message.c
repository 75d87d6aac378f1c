/* What the calls share: making one, and the fields that several messages have. */
#include "kubelet/cri/cri.h"

#include <stdio.h>

static int cri_call(struct runtime *r, struct arena *a, const char *service, const char *method, struct buf *request,
		    int64_t timeout_ns, struct sv *ret, struct err *err)
{
	char path[96];
	struct sv dummy;
	int n = snprintf(path, sizeof(path), "/runtime.v1.%s/%s", service, method), rc;

	BUG_ON(n < 0 || (size_t)n >= sizeof(path));
	rc = grpc_call(cri_of(r)->ch, a, path, buf_sv(request), timeout_ns, ret ? ret : &dummy, err);
	buf_release(request);
	return rc;
}

int cri_runtime_call(struct runtime *r, struct arena *a, const char *method, struct buf *request, int64_t timeout_ns,
		     struct sv *ret, struct err *err)
{
	return cri_call(r, a, "RuntimeService", method, request, timeout_ns, ret, err);
}

int cri_image_call(struct runtime *r, struct arena *a, const char *method, struct buf *request, int64_t timeout_ns,
		   struct sv *ret, struct err *err)
{
	return cri_call(r, a, "ImageService", method, request, timeout_ns, ret, err);
}

void cri_put_labels(struct buf *b, uint32_t field, const struct rt_label *l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pb_map_entry(b, field, l[i].key, l[i].value);
}

void cri_put_strings(struct buf *b, uint32_t field, const struct sv *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pb_sv_elem(b, field, s[i]);
}

void cri_put_int64_value(struct buf *b, uint32_t field, int64_t v)
{
	size_t m;

	if (v < 0)
		return;
	m = pb_open(b, field);
	pb_i64(b, 1, v);
	pb_close(b, m);
}

void cri_put_selinux(struct buf *b, uint32_t field, const struct rt_selinux *o)
{
	size_t m;

	if (!o->user.n && !o->role.n && !o->type.n && !o->level.n)
		return;
	m = pb_open(b, field);
	pb_sv(b, 1, o->user);
	pb_sv(b, 2, o->role);
	pb_sv(b, 3, o->type);
	pb_sv(b, 4, o->level);
	pb_close(b, m);
}

/* SecurityProfile: 0 RuntimeDefault, 1 Unconfined, 2 Localhost with its path. Nothing for "". */
void cri_put_profile(struct buf *b, uint32_t field, struct sv profile)
{
	size_t m;

	if (!profile.n)
		return;
	m = pb_open(b, field);
	if (sv_is(profile, "Unconfined")) {
		pb_u64(b, 1, 1);
	} else if (sv_starts(profile, SV("localhost/"))) {
		pb_u64(b, 1, 2);
		pb_sv(b, 2, sv_sub(profile, strlen("localhost/"), profile.n));
	}
	pb_close(b, m);
}

size_t cri_count(struct sv message, uint32_t field)
{
	size_t n = 0;

	PB_EACH(message, r, f)
		n += f.no == field;
	return n;
}

struct rt_label *cri_get_labels(struct arena *a, struct sv message, uint32_t field, size_t *ret_n)
{
	struct rt_label *l = ARENA_ARRAY(a, struct rt_label, cri_count(message, field) + 1);

	*ret_n = 0;
	PB_EACH(message, r, f)
		if (f.no == field)
			l[(*ret_n)++] =
			    (struct rt_label){ .key = pb_get_sv(f.bytes, 1), .value = pb_get_sv(f.bytes, 2) };
	return l;
}

struct sv *cri_get_strings(struct arena *a, struct sv message, uint32_t field, size_t *ret_n)
{
	struct sv *s = ARENA_ARRAY(a, struct sv, cri_count(message, field) + 1);

	*ret_n = 0;
	PB_EACH(message, r, f)
		if (f.no == field)
			s[(*ret_n)++] = f.bytes;
	return s;
}
