/* Running commands: to their end (ExecSync), or as an URL of the runtime's streaming server. */
#include "kubelet/cri/cri.h"

int cri_exec_sync(struct runtime *r, struct arena *a, struct sv id, const struct sv *argv, size_t argc,
		  int64_t timeout_s, size_t max, int stop_fd, struct sv *ret_out, struct sv *ret_err, int *ret_code,
		  struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv m;

	pb_sv(&b, 1, id);
	cri_put_strings(&b, 2, argv, argc);
	pb_i64(&b, 3, timeout_s);
	/* The runtime ends the command itself; our own deadline is for a runtime that hangs. */
	if (grpc_call_until(cri_of(r)->ch, a, "/runtime.v1.RuntimeService/ExecSync", buf_sv(&b),
			    timeout_s > 0 ? (timeout_s + 5) * NS_PER_SEC : CRI_PULL_TIMEOUT_NS, stop_fd, &m, err) < 0)
		return -1;
	*ret_out = sv_sub(pb_get_sv(m, 1), 0, max);
	*ret_err = sv_sub(pb_get_sv(m, 2), 0, max);
	*ret_code = (int32_t)pb_get_u64(m, 3);
	return 0;
}

static int url_call(struct runtime *r, struct arena *a, const char *method, struct buf *b, struct sv *ret_url,
		    struct err *err)
{
	struct sv m;

	if (cri_runtime_call(r, a, method, b, CRI_TIMEOUT_NS, &m, err) < 0)
		return -1;
	*ret_url = pb_get_sv(m, 1);
	return ret_url->n ? 0 : err_set(err, ERR_INTERNAL, "the runtime gave no streaming address");
}

int cri_exec_url(struct runtime *r, struct arena *a, struct sv id, const struct sv *argv, size_t argc, bool tty,
		 bool in, bool out, bool errs, struct sv *ret_url, struct err *err)
{
	struct buf b = BUF_INIT;

	pb_sv(&b, 1, id);
	cri_put_strings(&b, 2, argv, argc);
	pb_bool(&b, 3, tty);
	pb_bool(&b, 4, in);
	pb_bool(&b, 5, out);
	pb_bool(&b, 6, errs && !tty); /* a terminal has one output */
	return url_call(r, a, "Exec", &b, ret_url, err);
}

int cri_attach_url(struct runtime *r, struct arena *a, struct sv id, bool tty, bool in, bool out, bool errs,
		   struct sv *ret_url, struct err *err)
{
	struct buf b = BUF_INIT;

	pb_sv(&b, 1, id);
	pb_bool(&b, 2, in);
	pb_bool(&b, 3, tty);
	pb_bool(&b, 4, out);
	pb_bool(&b, 5, errs && !tty);
	return url_call(r, a, "Attach", &b, ret_url, err);
}

int cri_port_forward_url(struct runtime *r, struct arena *a, struct sv sandbox_id, const int *ports, size_t n,
			 struct sv *ret_url, struct err *err)
{
	struct buf b = BUF_INIT;

	pb_sv(&b, 1, sandbox_id);
	for (size_t i = 0; i < n; i++)
		pb_i64(&b, 2, ports[i]);
	return url_call(r, a, "PortForward", &b, ret_url, err);
}
