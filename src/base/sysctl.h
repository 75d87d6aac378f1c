/* sysctl.h - host settings changed while we run and given back afterwards.
 *
 * What they were is kept in a file, if one is named, and written there before anything is changed: so they are
 * given back after a crash, and by `caravel cleanup`. The file is to be gone after a reboot, as the changes are.
 * Lines of "net/ipv4/ip_forward 0". A setting that others on this machine still need is not given back but
 * handed over: the last one turns off the light.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"

struct sysctl_saved {
	char path[64];
	char was[16];
};

struct sysctls {
	VEC(struct sysctl_saved) saved;
	char *file; /* or NULL */
};

void sysctls_init(struct sysctls *s, const char *file); /* with what an earlier run left in the file */
/* True when the setting is `value` now. Its old value is remembered unless it was that already, or is known. path is
 * below /proc/sys. */
bool sysctl_ensure(struct sysctls *s, const char *path, const char *value);
void sysctl_restore(struct sysctls *s); /* and removes the file */
/* To the first directory, other than the file's own, with a file that matches the pattern heirs: what says that
 * somebody lives there, for a name alone may be anybody's. One whose first line names another network namespace than
 * ours ("... netns 4026531840"), or none yet, is no heir: the settings there are others of the same names. False when
 * there is none. */
bool sysctl_hand_over(struct sysctls *s, const char *heirs);
/* What whoever is gone has left in the file (NULL: nothing) is given back, or handed over to heirs (NULL: there are
 * none). */
void sysctls_give_back(const char *file, const char *heirs);
/* The end of an heir: the file by which others know him is removed, and whatever they handed over to him until then
 * (files of his directory whose names begin with prefix) is given back or handed on. Whom they hand over to, he does
 * this; so nothing is handed to who is gone already. */
void sysctls_no_heir(const char *claim, const char *prefix, const char *heirs);
uint64_t sysctl_netns(void); /* of this process, as claims name it; 0: not known */
void sysctls_release(struct sysctls *s);
