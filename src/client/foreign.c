#include "client/foreign.h"

void foreign_left_release(struct foreign_left *l)
{
	buf_release(&l->kinds);
	buf_release(&l->undiscovered);
	buf_release(&l->failure);
	strmap_release(&l->finalizers);
	*l = (struct foreign_left){ 0 };
}

void foreign_forget(foreign_forget_fn *forget, void *ctx, struct foreign_waker *w)
{
	if (forget)
		forget(ctx, w);
}
