/* rules.h - x-kubernetes-validations of one object; only for the files of this folder. */
#pragma once

#include "object/structural/node.h"

void rules_check(const struct structural *s, struct field_errs *fe, const struct val *doc, const struct val *old,
		 const struct structural_run *run);
void rules_release(struct structural *s);
