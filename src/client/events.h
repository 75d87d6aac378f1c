/* events.h - recording Events about objects (core/v1 Event, correlated as client-go does).
 *
 * Fire and forget: similar events are counted up on one Event object instead of repeated,
 * bursts per object are limited (25, then one every 5 minutes), writing happens in a task.
 */
#pragma once

#include "client/client.h"

struct recorder;
struct recorder *recorder_new(struct client *c, const char *component, const char *host /* or "" */);
struct recorder *recorder_free(struct recorder *r);

/* type "Normal" or "Warning". The object is named by resource (apiVersion, kind) and document. */
void recorder_event(struct recorder *r, const struct resource *res, const struct val *obj, const char *type,
		    const char *reason, const char *fmt, ...) _printf_(6, 7);
void recorder_event_v(struct recorder *r, const struct resource *res, const struct val *obj, const char *type,
		      const char *reason, const char *fmt, va_list ap) _printf_(6, 0);
/* As above about a part: field_path "spec.containers{web}". */
void recorder_event_at(struct recorder *r, const struct resource *res, const struct val *obj, const char *field_path,
		       const char *type, const char *reason, const char *fmt, ...) _printf_(7, 8);
