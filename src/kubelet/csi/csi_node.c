/* What the cluster hears of a driver on this node. Several drivers may come at once, so that each write names the
 * version it was made of, and one that comes too late is made again. */
#include "kubelet/csi/csi-internal.h"

#include "base/vec.h"
#include "codec/json.h"
#include "object/annotation.h"

#include <stdlib.h>

#define NODE_ID "csi.volume.kubernetes.io/nodeid" /* {"driver":"id of the node", ...} */
#define TRIES 8					  /* as many drivers come at once, at most, where all goes well */

/* --- the Node --- */

static struct val *node_ids(struct arena *a, const struct obj *node)
{
	struct val *ids = json_decode(a, annotation_of(obj_root(node), NODE_ID), NULL, NULL);

	return val_type(ids) == VAL_MAP ? ids : val_new_map(a);
}

static int csi_node_patch(struct csi *c, struct arena *a, const struct obj *node, const struct val *ids,
			  const struct val *labels, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct val *doc = val_new_map(a), *meta = val_new_map(a), *notes = val_new_map(a);

	json_encode(&text, ids);
	val_set_sv(a, notes, SV(NODE_ID), val_len(ids) ? val_new_str(a, buf_sv(&text)) : val_new_null(a));
	val_set(a, meta, F_annotations, notes);
	if (val_len(labels))
		val_set(a, meta, F_labels, labels);
	val_set(a, meta, F_resourceVersion, obj_get(node, F_metadata, F_resourceVersion));
	val_set(a, doc, F_metadata, meta);
	return client_patch(c->o.client, RES(core_nodes), SV(""), obj_name(node), PATCH_MERGE, doc, NULL, NULL, err);
}

/* A label that says something else is an admin's, or another driver's: it stays, and the driver is refused. */
static int labels_agree(const struct obj *node, const struct val *topology, bool *ret_same, struct err *err)
{
	*ret_same = true;
	VAL_EACH_MEMBER(topology, m) {
		const struct val *is = val_member_sv(obj_labels(node), m.key);

		if (!is)
			*ret_same = false;
		else if (!sv_eq(val_str(is), val_str(m.value)))
			return err_set(
			    err, ERR_INVALID,
			    "detected topology value collision: driver reported \"%.*s\":\"%.*s\" but existing label "
			    "is \"%.*s\":\"%.*s\"",
			    SV_ARG(m.key), SV_ARG(val_str(m.value)), SV_ARG(m.key), SV_ARG(val_str(is)));
	}
	return 0;
}

/* i NULL: the driver has gone. Labels stay then: volumes that there are name them. */
static int node_says(struct csi *c, struct arena *a, struct obj *node, struct sv driver, const struct csi_node_info *i,
		     struct err *err)
{
	struct val *ids = node_ids(a, node);
	const struct val *is = val_member_sv(ids, driver);
	bool same = true;

	if (i && labels_agree(node, i->topology, &same, err) < 0)
		return -1;
	if (same && (i ? sv_eq(val_str(is), i->id) : !is))
		return 0;
	if (i)
		val_set_str_sv(a, ids, driver, i->id);
	else
		(void)val_del_sv(ids, driver);
	return csi_node_patch(c, a, node, ids, i ? i->topology : NULL, err);
}

/* --- the CSINode --- */

static struct val *csi_node_driver(struct arena *a, struct sv driver, const struct csi_node_info *i)
{
	struct val *d = val_new_map(a), *keys;
	VEC(struct sv) sorted = VEC_INIT;

	val_set_str(a, d, F_name, driver);
	val_set_str(a, d, F_nodeID, i->id);
	keys = val_set_list(a, d, F_topologyKeys);
	VAL_EACH_MEMBER(i->topology, m)
		vec_push(&sorted, m.key);
	if (sorted.n)
		qsort(sorted.p, sorted.n, sizeof(*sorted.p), sv_order);
	for (size_t k = 0; k < sorted.n; k++)
		val_push(a, keys, val_new_str(a, sorted.p[k]));
	vec_release(&sorted);
	if (i->max_volumes > 0)
		val_set_int(a, val_set_map(a, d, F_allocatable), F_count, MIN(i->max_volumes, INT32_MAX));
	return d;
}

static struct val *csi_node_owner(struct arena *a, const struct obj *node)
{
	struct val *ref = val_new_map(a);

	val_set_cstr(a, ref, F_apiVersion, "v1");
	val_set_cstr(a, ref, F_kind, "Node");
	val_set_str(a, ref, F_name, obj_name(node));
	val_set_str(a, ref, F_uid, obj_uid(node));
	return ref;
}

/* One of a Node that has gone, and was made anew, would go with that one. True: it was not this Node's. */
static bool csi_node_own(struct arena *a, struct val *doc, const struct obj *node)
{
	struct val *meta = val_ensure_map(a, doc, F_metadata);

	VAL_EACH(val_member(meta, F_ownerReferences), r)
		if (sv_eq(val_get_str(r, F_uid), obj_uid(node)))
			return false;
	val_push(a, val_set_list(a, meta, F_ownerReferences), csi_node_owner(a, node));
	return true;
}

static struct val *csi_node_new(struct arena *a, const struct obj *node)
{
	struct val *doc = val_new_map(a), *meta = val_new_map(a);

	val_set_cstr(a, doc, F_apiVersion, "storage.k8s.io/v1");
	val_set_cstr(a, doc, F_kind, "CSINode");
	val_set_str(a, meta, F_name, obj_name(node));
	val_push(a, val_set_list(a, meta, F_ownerReferences), csi_node_owner(a, node));
	val_set(a, doc, F_metadata, meta);
	val_set_list(a, val_set_map(a, doc, F_spec), F_drivers);
	return doc;
}

static ssize_t driver_at(const struct val *drivers, struct sv name)
{
	ssize_t i = 0;

	VAL_EACH(drivers, d) {
		if (sv_eq(val_get_str(d, F_name), name))
			return i;
		i++;
	}
	return -1;
}

/* i NULL: the driver has gone. driver "": only that it is there. */
static int csi_node_says(struct csi *c, struct arena *a, const struct obj *node, struct sv driver,
			 const struct csi_node_info *i, struct err *err)
{
	struct val *mine = i ? csi_node_driver(a, driver, i) : NULL, *doc, *drivers;
	struct err why = ERR_INIT;
	struct obj *is = NULL;
	bool same;
	ssize_t at;

	if (client_get(c->o.client, RES(storage_csinodes), SV(""), obj_name(node), &is, &why) < 0) {
		if (why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
		err_release(&why);
		if (!i && driver.n)
			return 0;
		doc = csi_node_new(a, node);
		same = false;
	} else {
		doc = obj_edit(a, obj_link(a, is));
		same = !csi_node_own(a, doc, node);
	}
	drivers = val_ensure_list(a, val_ensure_map(a, doc, F_spec), F_drivers);
	at = driver_at(drivers, driver);
	if (same && (at >= 0 ? i && val_same(val_at(drivers, (size_t)at), mine) : !i))
		return 0;
	if (at >= 0)
		val_list_remove(drivers, (size_t)at);
	if (i)
		val_push(a, drivers, mine);
	return is ? client_update(c->o.client, RES(storage_csinodes), doc, NULL, NULL, err)
		  : client_create(c->o.client, RES(storage_csinodes), SV(""), doc, NULL, NULL, err);
}

/* --- both --- */

static int csi_node_try(struct csi *c, struct arena *a, struct sv driver, const struct csi_node_info *i,
			struct err *err)
{
	struct obj *node;

	if (client_get(c->o.client, RES(core_nodes), SV(""), sv_from(c->node_name), &node, err) < 0)
		return -1;
	obj_link(a, node);
	if (!driver.n)
		return csi_node_says(c, a, node, driver, NULL, err);
	/* Gone from the CSINode first: what is there promises that the rest is. */
	if (!i && csi_node_says(c, a, node, driver, NULL, err) < 0)
		return -1;
	if (node_says(c, a, node, driver, i, err) < 0)
		return -1;
	return i ? csi_node_says(c, a, node, driver, i, err) : 0;
}

static int csi_node_write(struct csi *c, struct arena *a, struct sv driver, const struct csi_node_info *i,
			  struct err *err)
{
	for (int tries = 1;; tries++) {
		struct err why = ERR_INIT;

		if (csi_node_try(c, a, driver, i, &why) == 0)
			return 0;
		if ((why.reason != ERR_CONFLICT && why.reason != ERR_ALREADY_EXISTS) || tries == TRIES)
			return err_move(err, &why);
		err_release(&why);
	}
}

int csi_node_install(struct csi *c, struct arena *a, struct sv driver, const struct csi_node_info *i, struct err *err)
{
	if (!i->id.n)
		return err_set(err, ERR_INVALID,
			       "error updating CSINode object with CSI driver node info: the driver "
			       "%.*s gave no node_id",
			       SV_ARG(driver));
	return csi_node_write(c, a, driver, i, err) < 0
		   ? err_wrap(err, "error updating CSINode object with CSI driver node info")
		   : 0;
}

int csi_node_uninstall(struct csi *c, struct arena *a, struct sv driver, struct err *err)
{
	struct err why = ERR_INIT;

	if (csi_node_write(c, a, driver, NULL, &why) == 0 || why.reason == ERR_NOT_FOUND) {
		err_release(&why);
		return 0; /* without a Node there is nothing that says so */
	}
	return err_move(err, &why);
}

int csi_node_ensure(struct csi *c, struct arena *a, struct err *err)
{
	return csi_node_write(c, a, SV(""), NULL, err);
}
