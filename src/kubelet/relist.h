/* relist.h - news from the runtime: its notices as they come, and now and then a look at everything.
 *
 * A notice kicks its pod at once. The look compares with the one before: pods whose containers or sandboxes are others
 * are kicked, and what the API does not know goes to the orphans. Without notices it comes every second.
 */
#pragma once

struct kubelet;

void relist_start(struct kubelet *k);
void relist_stop(struct kubelet *k); /* no notice after it; before k->stopping is set */
