/* elem_use.h - which elements come and go in one transaction, and what of them others need, too.
 *
 * Pods serve several Services and a ClusterIP several ports: such an element is there while anybody needs it. So is a
 * chain while elements lead to it, and some time longer.
 *
 * Not thread-safe.
 */
#pragma once

#include "base/strmap.h"
#include "proxy/elem.h"
#include "proxy/render.h"

/* As in the kernel. Zero: nothing is there. */
struct elem_uses {
	struct strmap shared; /* elements several Services may need -> number of them */
	struct strmap chains; /* name -> number of elements going there, + 1 */
	size_t idle_chains;
};
void elem_uses_release(struct elem_uses *u); /* zero again */

/* What one transaction gathers before it is text. */
struct elem_changes {
	const struct render_cfg *cfg;
	struct elem_uses *uses;
	struct elems dels, adds;
	struct buf chains; /* that it makes */
};
void elem_changes_release(struct elem_changes *c);
/* Somebody does not need it any more. */
void elem_changes_del(struct elem_changes *c, const struct elem *e);
/* From old to neu, both sorted: what goes (dels), or what comes. Source ranges of another length are another element to
 * the kernel, and are covered here, too: a changed value is a deletion and an addition. */
void elem_changes_diff(struct elem_changes *c, const struct elems *old, const struct elems *neu, bool dels);
/* Sorted, the first before anything else of the transaction that has the keys again. adds: with the chains. */
void elem_changes_write_dels(struct elem_changes *c, struct buf *out);
void elem_changes_write_adds(struct elem_changes *c, struct buf *out);
