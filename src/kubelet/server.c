#include "kubelet/kubelet-internal.h"

/* The HTTPS side (logs, exec, stats) is a piece of its own, not in the tree yet: kubelet_opts.port must be -1. */
struct kserver *kserver_new(struct kubelet *k, const struct kubelet_opts *o, struct err *err)
{
	(void)k, (void)o;
	err_set(err, ERR_METHOD_NOT_ALLOWED, "this kubelet has no server: port must be -1");
	return NULL;
}
int kserver_port(const struct kserver *s)
{
	(void)s;
	return 0;
}
struct kserver *kserver_free(struct kserver *s)
{
	(void)s;
	return NULL;
}
