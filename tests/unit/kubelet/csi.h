/* csi.h - drivers of volumes as tests make them: sockets that are files, answers that are functions. */
#pragma once

#include "../apiserver/harness.h"
#include "base/file.h"
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
	unsigned can;		 /* enum csi_can */
	const char *fails;	 /* a method that fails */
	int registered, refused; /* what it was told, how often */
	char why[512];		 /* the last refusal */
	struct buf calls;	 /* "NodeStageVolume NodePublishVolume " */
} driver;

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
