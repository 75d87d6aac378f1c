/* csi.h - drivers of volumes as tests make them: sockets that are files, answers that are functions. */
#pragma once

#include "../apiserver/harness.h"
#include "base/file.h"
#include "base/strmap.h"
#include "codec/pbwire.h"
#include "kubelet/csi/csi.h"
#include "kubelet/csi/csi_message.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket that nobody listens on: calls go to the test's own function. */
static _unused_ void socket_make(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
}

/* What the one driver says; "" of what is not said. */
static struct driver {
	const char *name, *type, *version, *endpoint, *node_id, *zone;
	int64_t max_volumes;
	unsigned can;		   /* enum csi_can */
	const char *fails;	   /* a method that fails */
	int registered, refused;   /* what it was told, how often */
	char why[512];		   /* the last refusal */
	struct buf calls;	   /* "NodeStageVolume NodePublishVolume " */
	struct buf stage, publish; /* the last such requests */
	struct strmap mounted;	   /* paths */
	bool keeps;		   /* what it says to have unmounted stays mounted */
	bool abnormal;
	int64_t grown; /* bytes that it was asked for */
} driver;

static _unused_ bool driver_mounted(const char *path)
{
	return strmap_has(&driver.mounted, sv_from(path));
}

static _unused_ void driver_forget(void)
{
	strmap_release(&driver.mounted);
	buf_release(&driver.calls);
	buf_release(&driver.stage);
	buf_release(&driver.publish);
}

static void driver_mount(struct arena *a, struct sv path, bool on)
{
	if (on)
		strmap_set(&driver.mounted, path, &driver);
	else if (!driver.keeps)
		(void)strmap_del(&driver.mounted, path);
	(void)a;
}

static void driver_volume(struct arena *a, const char *method, struct sv request, struct buf *b)
{
	if (!strcmp(method, CSI_NODE_STAGE)) {
		buf_clear(&driver.stage);
		buf_addsv(&driver.stage, request);
		driver_mount(a, pb_get_sv(request, 3), true);
	} else if (!strcmp(method, CSI_NODE_PUBLISH)) {
		buf_clear(&driver.publish);
		buf_addsv(&driver.publish, request);
		(void)mkdir(arena_cstr(a, pb_get_sv(request, 4)), 0750);
		driver_mount(a, pb_get_sv(request, 4), true);
	} else if (!strcmp(method, CSI_NODE_UNSTAGE) || !strcmp(method, CSI_NODE_UNPUBLISH)) {
		driver_mount(a, pb_get_sv(request, 2), false);
	} else if (!strcmp(method, CSI_NODE_EXPAND)) {
		driver.grown = (int64_t)pb_get_u64(pb_get_sv(request, 3), 1);
	} else if (!strcmp(method, CSI_NODE_STATS)) {
		size_t m = pb_open(b, 1);

		pb_i64(b, 1, 60);
		pb_i64(b, 2, 100);
		pb_i64(b, 3, 40);
		pb_u64(b, 4, 1);
		pb_close(b, m);
		m = pb_open(b, 2);
		pb_bool(b, 1, driver.abnormal);
		pb_sv(b, 2, SV("it smokes"));
		pb_close(b, m);
	}
}

/* The value of a map's key in the message; SV_NULL: it has none. */
static _unused_ struct sv driver_map(struct sv message, uint32_t field, const char *key)
{
	PB_EACH(message, r, f)
		if (f.no == field && sv_is(pb_get_sv(f.bytes, 1), key))
			return pb_get_sv(f.bytes, 2);
	return SV_NULL;
}

static _unused_ void driver_answer(struct arena *a, const char *method, struct sv request, struct sv *ret)
{
	struct buf b = BUF_INIT;

	if (!strcmp(method, CSI_REGISTRAR_INFO)) {
		pb_sv(&b, 1, sv_from(driver.type));
		pb_sv(&b, 2, sv_from(driver.name));
		pb_sv(&b, 3, sv_from(driver.endpoint));
		pb_sv(&b, 4, sv_from(driver.version));
	} else if (!strcmp(method, CSI_REGISTRAR_STATUS)) {
		if (pb_get_u64(request, 1))
			driver.registered++;
		else
			driver.refused++;
		snprintf(driver.why, sizeof(driver.why), "%.*s", SV_ARG(pb_get_sv(request, 2)));
	} else if (!strcmp(method, CSI_NODE_INFO)) {
		pb_sv(&b, 1, sv_from(driver.node_id));
		pb_i64(&b, 2, driver.max_volumes);
		if (driver.zone && *driver.zone) {
			size_t m = pb_open(&b, 3);

			pb_map_entry(&b, 1, SV("topology.test/zone"), sv_from(driver.zone));
			pb_close(&b, m);
		}
	} else if (!strcmp(method, CSI_NODE_CAPABILITIES)) {
		for (uint64_t i = 0; i < 6; i++)
			if (driver.can & 1U << i) {
				size_t m = pb_open(&b, 1), rpc = pb_open(&b, 1);

				pb_u64(&b, 1, i + 1);
				pb_close(&b, rpc);
				pb_close(&b, m);
			}
	} else {
		driver_volume(a, method, request, &b);
	}
	*ret = arena_sv(a, buf_sv(&b));
	buf_release(&b);
}

static _unused_ int driver_ask(void *ctx, struct arena *a, const char *socket, const char *method, struct sv request,
			       int64_t timeout_ns, int stop_fd, struct sv *ret, struct err *err)
{
	(void)ctx, (void)socket, (void)stop_fd;
	assert_true(timeout_ns > 0);
	buf_printf(&driver.calls, "%s ", strrchr(method, '/') + 1);
	if (driver.fails && !strcmp(driver.fails, method))
		return err_set(err, ERR_UNAVAILABLE, "rpc error: code = Unavailable desc = not now");
	driver_answer(a, method, request, ret);
	return 0;
}
