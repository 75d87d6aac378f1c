/* go_quote.h - text as Go's strconv.Quote writes it: what %q is in upstream's error words. And without the quotes. */
#pragma once

#include "base/buf.h"

/* Appends s in double quotes. What is not printable is escaped; which characters of all scripts are, is known of the
 * common ones only: separators, marks of direction, private and reserved ones. */
void go_quote(struct buf *b, struct sv s);
/* The same without quotes, and with newlines, tabs, quotes and backslashes as they are: text of others for a terminal.
 */
void go_quote_bare(struct buf *b, struct sv s);
