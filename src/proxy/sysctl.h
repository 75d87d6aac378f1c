/* sysctl.h - host settings changed while we run and given back afterwards. */
#pragma once

#include "base/vec.h"

struct sysctl_saved {
	const char *path;
	char was[16];
};

struct sysctls {
	VEC(struct sysctl_saved) saved;
};

/* True when the setting is `value` now. Its old value is remembered unless it was that already. path is
 * below /proc/sys, and a literal. */
bool sysctl_ensure(struct sysctls *s, const char *path, const char *value);
void sysctl_restore(struct sysctls *s);
void sysctls_release(struct sysctls *s);
