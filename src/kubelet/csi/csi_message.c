#include "kubelet/csi/csi_message.h"

#include "codec/pbwire.h"

static int csi_malformed(struct sv m, const char *what, struct err *err)
{
	return pb_valid(m) ? 0 : err_set(err, ERR_INTERNAL, "%s is no protobuf message", what);
}

int csi_get_plugin_info(struct sv m, struct csi_plugin_info *ret, struct err *err)
{
	*ret =
	    (struct csi_plugin_info){ .type = pb_get_sv(m, 1), .name = pb_get_sv(m, 2), .endpoint = pb_get_sv(m, 3) };
	if (csi_malformed(m, "PluginInfo", err) < 0)
		return -1;
	PB_EACH(m, r, f)
		if (f.no == 4 && f.wire == PB_BYTES) {
			if (ret->n_versions == CSI_VERSIONS_MAX)
				return err_set(err, ERR_INVALID, "PluginInfo names more than %d versions",
					       CSI_VERSIONS_MAX);
			ret->versions[ret->n_versions++] = f.bytes;
		}
	return 0;
}

void csi_put_registered(struct buf *b, const char *why)
{
	pb_bool(b, 1, !why);
	pb_sv(b, 2, sv_from(why));
}

int csi_get_node_info(struct arena *a, struct sv m, struct csi_node_info *ret, struct err *err)
{
	struct sv topology = pb_get_sv(m, 3);

	*ret = (struct csi_node_info){ .id = pb_get_sv(m, 1), .topology = val_new_map(a) };
	if (csi_malformed(m, "NodeGetInfoResponse", err) < 0 || csi_malformed(topology, "Topology", err) < 0)
		return -1;
	ret->max_volumes = (int64_t)pb_get_u64(m, 2);
	PB_EACH(topology, r, f) {
		if (f.no != 1 || f.wire != PB_BYTES)
			continue;
		if (val_len(ret->topology) == CSI_TOPOLOGY_MAX)
			return err_set(err, ERR_INVALID, "the driver reported more than %d topology keys",
				       CSI_TOPOLOGY_MAX);
		val_set_str_sv(a, ret->topology, pb_get_sv(f.bytes, 1), pb_get_sv(f.bytes, 2));
	}
	return 0;
}

int csi_get_capabilities(struct sv m, unsigned *ret, struct err *err)
{
	*ret = 0;
	if (csi_malformed(m, "NodeGetCapabilitiesResponse", err) < 0)
		return -1;
	PB_EACH(m, r, f) {
		/* NodeServiceCapability.rpc.type, from STAGE_UNSTAGE_VOLUME (1) to VOLUME_MOUNT_GROUP (6) */
		uint64_t type = f.no == 1 && f.wire == PB_BYTES ? pb_get_u64(pb_get_sv(f.bytes, 1), 1) : 0;

		if (type >= 1 && type <= 6)
			*ret |= 1U << (type - 1);
	}
	return 0;
}

/* --- a volume --- */

static void csi_put_map(struct buf *b, uint32_t field, const struct val *map)
{
	VAL_EACH_MEMBER(map, m)
		pb_map_entry(b, field, m.key, val_str(m.value));
}

/* VolumeCapability.AccessMode.Mode. A driver that does not know the modes of one node gets SINGLE_NODE_WRITER. */
static uint64_t csi_access_mode(const struct csi_capability *c)
{
	bool knows = c->can & CSI_CAN_SINGLE_NODE;

	if (sv_is(c->access_mode, "ReadOnlyMany"))
		return 3;
	if (sv_is(c->access_mode, "ReadWriteMany"))
		return 5;
	if (sv_is(c->access_mode, "ReadWriteOncePod"))
		return knows ? 6 : 1;
	return knows ? 7 : 1;
}

static void csi_put_capability(struct buf *b, uint32_t field, const struct csi_capability *c)
{
	size_t all = pb_open(b, field), part = pb_open(b, c->block ? 1 : 2);

	if (!c->block) {
		pb_sv(b, 1, c->fs_type);
		VAL_EACH(c->mount_options, o)
			pb_sv_elem(b, 2, val_str(o));
		pb_sv(b, 3, c->group);
	}
	pb_close(b, part);
	part = pb_open(b, 3);
	pb_u64(b, 1, csi_access_mode(c));
	pb_close(b, part);
	pb_close(b, all);
}

void csi_put_stage(struct buf *b, const struct csi_mount *m)
{
	pb_sv(b, 1, m->handle);
	csi_put_map(b, 2, m->attachment);
	pb_sv(b, 3, sv_from(m->staging));
	csi_put_capability(b, 4, &m->cap);
	csi_put_map(b, 5, m->secrets);
	csi_put_map(b, 6, m->context);
}

void csi_put_publish(struct buf *b, const struct csi_mount *m)
{
	pb_sv(b, 1, m->handle);
	csi_put_map(b, 2, m->attachment);
	pb_sv(b, 3, sv_from(m->staging));
	pb_sv(b, 4, sv_from(m->target));
	csi_put_capability(b, 5, &m->cap);
	pb_bool(b, 6, m->readonly);
	csi_put_map(b, 7, m->secrets);
	csi_put_map(b, 8, m->context);
}

void csi_put_expand(struct buf *b, const struct csi_mount *m)
{
	size_t range;

	pb_sv(b, 1, m->handle);
	pb_sv(b, 2, sv_from(m->target));
	range = pb_open(b, 3);
	pb_i64(b, 1, m->bytes);
	pb_close(b, range);
	pb_sv(b, 4, sv_from(m->staging));
	csi_put_capability(b, 5, &m->cap);
	csi_put_map(b, 6, m->secrets);
}

void csi_put_unstage(struct buf *b, struct sv handle, const char *staging)
{
	pb_sv(b, 1, handle);
	pb_sv(b, 2, sv_from(staging));
}

void csi_put_unpublish(struct buf *b, struct sv handle, const char *target)
{
	pb_sv(b, 1, handle);
	pb_sv(b, 2, sv_from(target));
}

void csi_put_stats(struct buf *b, struct sv handle, const char *path, const char *staging)
{
	pb_sv(b, 1, handle);
	pb_sv(b, 2, sv_from(path));
	pb_sv(b, 3, sv_from(staging));
}

int csi_get_stats(struct sv m, struct csi_stats *ret, struct err *err)
{
	struct pb_field condition;

	*ret = (struct csi_stats){ .bytes = { -1, -1, -1 }, .inodes = { -1, -1, -1 } };
	if (csi_malformed(m, "NodeGetVolumeStatsResponse", err) < 0)
		return -1;
	PB_EACH(m, r, f) {
		uint64_t unit = f.no == 1 && f.wire == PB_BYTES ? pb_get_u64(f.bytes, 4) : 0;
		struct csi_usage *u = unit == 1 ? &ret->bytes : &ret->inodes;

		if (unit == 1 || unit == 2)
			*u = (struct csi_usage){ (int64_t)pb_get_u64(f.bytes, 1), (int64_t)pb_get_u64(f.bytes, 2),
						 (int64_t)pb_get_u64(f.bytes, 3) };
	}
	ret->condition = pb_find(m, 2, &condition) && condition.wire == PB_BYTES;
	if (ret->condition) {
		ret->abnormal = pb_get_u64(condition.bytes, 1) != 0;
		ret->message = pb_get_sv(condition.bytes, 2);
	}
	return 0;
}

int64_t csi_get_expanded(struct sv m)
{
	int64_t bytes = (int64_t)pb_get_u64(m, 1);

	return MAX(bytes, 0);
}
