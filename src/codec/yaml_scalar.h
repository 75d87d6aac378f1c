/* yaml_scalar.h - what a plain YAML scalar means; for the YAML decoder and encoder. */
#pragma once

#include "codec/doc.h"

/* Resolves an unquoted scalar as yaml.v2 does, then as JSON would read the result back: "1.0" is
 * the integer 1. Strings come out borrowing s. False for infinities and NaN, which JSON lacks. */
bool yaml_resolve(struct sv s, struct val *ret);

/* Could s stand unquoted and mean the string s, to us and to stricter YAML readers? */
bool yaml_plain_is_string(struct sv s);
