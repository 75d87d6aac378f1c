#include "base/budget.h"

int budget_refuse(const struct budget *b, struct err *err)
{
	return err_set(err, b->limit->reason, "%s", b->limit->refusal);
}
