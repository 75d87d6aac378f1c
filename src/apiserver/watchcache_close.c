/* The end of a kind that came at run time, as the watch cache has it: when it is dropped, or before, when its successor
 * writes what it cannot read. */
#include "apiserver/watchcache-internal.h"

void wc_late_close(struct wc_resource *r, bool replaced)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	err_set(&why, ERR_EXPIRED, "%s of group %s are served no more", r->res->plural, r->res->group);
	r->late->replaced = replaced;
	if (replaced && !r->late->gone) {
		r->late->was_count = r->tree.count;
		r->late->was_bytes = r->tree.bytes;
	}
	r->late->gone = true;
	wc_end_all(r, &why);
	wc_ring_release(r);
	objtree_release(&r->tree);
}

void wc_late_overtaken(struct wc_resource *r)
{
	pthread_rwlock_wrlock(&r->lock);
	if (!r->late->gone)
		wc_late_close(r, true);
	pthread_rwlock_unlock(&r->lock);
}
