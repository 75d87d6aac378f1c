/* etchosts.h - /etc/hosts of a pod's containers. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

struct kpod;

/* ips: space separated; "" for none. domain: "" or the FQDN's part behind the host name. aliases: spec.hostAliases. */
void etchosts_text(struct buf *b, struct sv ips, struct sv hostname, struct sv domain, const struct val *aliases);
/* The file of a pod: its own text, or with the host's network the host's file and the aliases. */
int etchosts_write(struct kpod *p, struct arena *a, const struct val *pod, const char *path, struct err *err);
