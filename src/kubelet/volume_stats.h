/* volume_stats.h - how full the claims of this node's pods are: kubelet_volume_stats_* and the volumes of
 * /stats/summary.
 *
 * Asked of the file system at each request (statvfs of where the volume is). What holds a volume's size, a project
 * quota or an image, is what the file system answers with; of a volume whose size nobody holds it is the whole disk.
 * Blocking; for worker tasks.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "codec/doc.h"

struct kpod;
struct kubelet;

/* Each claim once, however many pods use it. */
void volume_stats_metrics(struct kubelet *k, struct buf *b);
/* The list `volume` of a pod's statistics; NULL: it has no claims. now: metav1.Time. */
struct val *volume_stats_summary(struct arena *a, struct kpod *p, struct sv now);
