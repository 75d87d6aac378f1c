#include "apiserver/fence.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/storekey.h"
#include "store/store.h"

#include <stdio.h>

void fence_init(struct fence *f, const char *ns, const char *lease_name)
{
	int n = snprintf(f->key, sizeof(f->key), "/caravel/leaders/%s/%s", ns, lease_name);

	BUG_ON(n < 0 || (size_t)n >= sizeof(f->key));
	atomic_init(&f->rev, 0);
}

int fence_take(struct apiserver *s, struct fence *f, const struct obj *lease, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct store_write same = {
		.key = storekey(&a, RES(coordination_leases), obj_ns(lease), obj_name(lease)),
		.expect_rev = obj_rev(lease),
		.guard = true,
	};
	const struct store_write w = {
		.key = sv_from(f->key),
		.value = val_get_str(obj_root(lease), F_spec, F_holderIdentity), /* for who looks; nobody reads it */
		.expect_rev = STORE_ANY_REV,
		.also = &same,
		.n_also = 1,
	};
	int64_t rev;
	int rc = store_commit_wait(s->store, &w, &rev, err);

	if (rc < 0)
		return err_wrap(err, "writing %s", f->key);
	if (rc == 0)
		return err_set(err, ERR_CONFLICT, "the lease has changed since it was won");
	atomic_store(&f->rev, rev);
	return 0;
}
