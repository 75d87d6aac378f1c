#include "base/lazylib.h"

#include <dlfcn.h>

static int lazylib_load(struct lazylib *l, struct err *err)
{
	void *lib = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		return err_set(err, ERR_UNAVAILABLE, "cannot load a library: %s", dlerror());
	for (size_t i = 0; i < l->n_syms; i++) {
		void *p = dlsym(lib, l->syms[i].name);

		if (!p) {
			dlclose(lib);
			return err_set(err, ERR_UNAVAILABLE, "'%s' has no function '%s'", l->soname, l->syms[i].name);
		}
		memcpy(l->syms[i].pointer, &p, sizeof(p));
	}
	return 0;
}

int lazylib_need(struct lazylib *l, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&l->lock);
	if (!l->loaded)
		rc = lazylib_load(l, err);
	l->loaded = rc == 0;
	pthread_mutex_unlock(&l->lock);
	return rc;
}
