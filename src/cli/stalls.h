/* stalls.h - what the watchdog finds (ev/watchdog.h), as lines of the log. */
#pragma once

#include "ev/watchdog.h"

/* Until stalls_unwatch(); without a thread for it the server runs all the same, and the log says so. */
void stalls_watch(void);
void stalls_unwatch(void);
/* One line. */
void stalls_log(const struct run_report *r, void *ctx);
