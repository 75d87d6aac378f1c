#include "client/foreign.h"

void foreign_left_release(struct foreign_left *l)
{
	buf_release(&l->kinds);
	buf_release(&l->undiscovered);
	buf_release(&l->failure);
	strmap_release(&l->finalizers);
	*l = (struct foreign_left){ 0 };
}
