#include "client/client.h"

#include <stdlib.h>

void obj_list_release(struct obj_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		obj_unref(l->items[i]);
	free(l->items);
	*l = (struct obj_list){ 0 };
}

int client_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
	       struct err *err)
{
	return c->ops->get(c, r, ns, name, ret, err);
}

int client_list(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		struct obj_list *ret, struct err *err)
{
	static const struct client_list_opts none;

	return c->ops->list(c, r, ns, o ? o : &none, ret, err);
}

static const struct client_write_opts no_write_opts;

/* Callers that do not want the result need not release it. got is a pointer, as the call that fills
 * it is an argument beside it. */
static int finish_write(int rc, struct obj *const *got, struct obj **ret)
{
	if (rc == 0 && ret)
		*ret = *got;
	else
		obj_unref(*got);
	return rc;
}

static int client_may_write(struct client *c, struct err *err)
{
	if (!c->may_write || c->may_write(c->may_write_ctx))
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "%s leads no more here: another server does", c->name);
}

int client_create(struct client *c, const struct resource *r, struct sv ns, const struct val *doc,
		  const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct obj *got = NULL;

	if (client_may_write(c, err) < 0)
		return -1;
	return finish_write(c->ops->create(c, r, ns, SV(""), doc, o ? o : &no_write_opts, &got, err), &got, ret);
}

int client_create_sub(struct client *c, const struct resource *r, struct sv ns, struct sv name, const char *subresource,
		      const struct val *doc, struct obj **ret, struct err *err)
{
	const struct client_write_opts o = { .subresource = subresource };
	struct obj *got = NULL;

	if (client_may_write(c, err) < 0)
		return -1;
	return finish_write(c->ops->create(c, r, ns, name, doc, &o, &got, err), &got, ret);
}

int client_update(struct client *c, const struct resource *r, const struct val *doc, const struct client_write_opts *o,
		  struct obj **ret, struct err *err)
{
	struct obj *got = NULL;

	if (client_may_write(c, err) < 0)
		return -1;
	return finish_write(c->ops->update(c, r, val_get_str(doc, F_metadata, F_namespace),
					   val_get_str(doc, F_metadata, F_name), doc, o ? o : &no_write_opts, &got,
					   err),
			    &got, ret);
}

int client_update_status(struct client *c, const struct resource *r, const struct val *doc, struct obj **ret,
			 struct err *err)
{
	const struct client_write_opts o = { .subresource = "status" };

	return client_update(c, r, doc, &o, ret, err);
}

int client_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		 const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct obj *got = NULL;

	if (client_may_write(c, err) < 0)
		return -1;
	return finish_write(c->ops->patch(c, r, ns, name, t, patch, o ? o : &no_write_opts, &got, err), &got, ret);
}

int client_delete(struct client *c, const struct resource *r, struct sv ns, struct sv name,
		  const struct client_delete_opts *o, struct err *err)
{
	const struct client_delete_opts none = CLIENT_DELETE_OPTS;

	if (client_may_write(c, err) < 0)
		return -1;
	return c->ops->del(c, r, ns, name, o ? o : &none, err);
}

/* One segment as it was encoded: what percent_segment_fine() says of it. What would be several when it is decoded, or a
 * step up, is no name of anything: who wrote the name would choose what is read, with rights that are not his. */
static bool client_segment_fine(struct sv s)
{
	static const char *const bad[] = { "%2f", "%2e", "%25", "%00" };

	if (!s.n || sv_is(s, ".") || sv_is(s, ".."))
		return false;
	for (size_t i = 0; i + 3 <= s.n; i++)
		for (size_t k = 0; k < ARRAY_LEN(bad); k++)
			if (sv_ieq(sv_sub(s, i, 3), sv_from(bad[k])))
				return false;
	return true;
}

int client_get_doc(struct client *c, struct arena *a, const char *target, const struct val **ret, struct err *err)
{
	struct sv path = sv_from(target), segment;
	ssize_t query = sv_find(path, '?');

	path = sv_sub(path, 1, query < 0 ? path.n : (size_t)query - 1);
	while (sv_split(&path, '/', &segment))
		if (!client_segment_fine(segment))
			return err_set(err, ERR_INVALID, "'%.*s' is no name that a path can have", SV_ARG(segment));
	return c->ops->get_doc(c, a, target, ret, err);
}

int client_watch(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		 const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err)
{
	static const struct client_list_opts none;

	return c->ops->watch(c, r, ns, o ? o : &none, cb, ctx, ret, err);
}

void client_unwatch(struct client *c, struct client_watch *w)
{
	if (w)
		c->ops->unwatch(c, w);
}

struct client *client_free(struct client *c)
{
	if (c)
		c->ops->free(c);
	return NULL;
}
