/* Upstream's metrics of an API server, with their labels and bounds. */
#include "apiserver/metrics.h"

static const double admission_bounds[] = { 0.005, 0.025, 0.1, 0.5, 1.0, 2.5 };
static const double webhook_bounds[] = { 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25 };
static const double cel_bounds[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 };
static const double request_bounds[] = { 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1,  1.25, 1.5, 2,
					 3,	4,     5,    6,	  8,   10,  15,	 20,  30, 45,	60 };
static const double size_bounds[] = { 1000, 10000, 100000, 1e6, 1e7, 1e8, 1e9 };
static const double policy_bounds[] = { 0.0000005, 0.001, 0.01, 0.1, 1.0 };
static const double event_bounds[] = { 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072 };
static const double watch_list_bounds[] = { 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1,  1.25, 1.5, 2,   3,   4,	5,
					    6,	  8,   10,  15,	 20,  30,  45, 60,   90,  120, 180, 300 };

#define STABLE .stability = METRIC_STABLE
#define BETA .stability = METRIC_BETA
#define COUNTER .type = METRIC_COUNTER
#define GAUGE .type = METRIC_GAUGE
#define HISTOGRAM(bounds) .type = METRIC_HISTOGRAM, METRIC_BOUNDS(bounds)
#define OF_REQUEST "component", "group", "resource", "scope", "subresource", "verb", "version"

// clang-format off: a metric each
const struct metric_family api_metrics[_AM_MAX] = {
	[AM_ADMISSION_PLUGIN] = { "apiserver_admission_controller_admission_duration_seconds",
				  "How long a plugin of admission took, in seconds, by plugin, operation and kind of "
				  "question.",
				  HISTOGRAM(admission_bounds), STABLE,
				  .labels = { "name", "operation", "rejected", "type" } },
	[AM_ADMISSION_STEP] = { "apiserver_admission_step_admission_duration_seconds",
				"How long all plugins of admission took together, in seconds, by operation and kind of "
				"question.",
				HISTOGRAM(admission_bounds), STABLE, .labels = { "operation", "rejected", "type" } },
	[AM_ADMISSION_WEBHOOK] = { "apiserver_admission_webhook_admission_duration_seconds",
				   "How long calls of admission webhooks took, in seconds, by webhook, operation and "
				   "kind of question.",
				   HISTOGRAM(webhook_bounds), STABLE,
				   .labels = { "name", "operation", "rejected", "type" } },
	[AM_AUTHN_RELOAD_TIME] = { "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds",
				   "When the authentication configuration was last read again, in Unix seconds, by how "
				   "that went.",
				   GAUGE, BETA, .labels = { "apiserver_id_hash", "status" } },
	[AM_AUTHN_RELOADS] = { "apiserver_authentication_config_controller_automatic_reloads_total",
			       "How often the authentication configuration was read again, by how that went.", COUNTER,
			       BETA, .labels = { "apiserver_id_hash", "status" } },
	[AM_AUTHZ_RELOAD_TIME] = { "apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds",
				   "When the authorization configuration was last read again, in Unix seconds, by how "
				   "that went.",
				   GAUGE, BETA, .labels = { "apiserver_id_hash", "status" } },
	[AM_AUTHZ_RELOADS] = { "apiserver_authorization_config_controller_automatic_reloads_total",
			       "How often the authorization configuration was read again, by how that went.", COUNTER,
			       BETA, .labels = { "apiserver_id_hash", "status" } },
	[AM_CEL_COMPILATION] = { "apiserver_cel_compilation_duration_seconds",
				 "How long compiling an expression took, in seconds.", HISTOGRAM(cel_bounds), BETA },
	[AM_CEL_EVALUATION] = { "apiserver_cel_evaluation_duration_seconds",
				"How long evaluating an expression took, in seconds.", HISTOGRAM(cel_bounds), BETA },
	[AM_INFLIGHT] = { "apiserver_current_inflight_requests",
			  "Requests under way that do not last by nature, by whether they change something.", GAUGE,
			  STABLE, .labels = { "request_kind" } },
	[AM_LONGRUNNING] = { "apiserver_longrunning_requests",
			     "Requests under way that last by nature (watches, logs, exec and its like), by what they "
			     "are.",
			     GAUGE, STABLE, .labels = { OF_REQUEST } },
	[AM_REQUEST_DURATION] = { "apiserver_request_duration_seconds",
				  "How long requests took until they were answered, in seconds, by what they are.",
				  HISTOGRAM(request_bounds), STABLE,
				  .labels = { "component", "dry_run", "group", "resource", "scope", "subresource",
					      "verb", "version" } },
	[AM_REQUEST_TOTAL] = { "apiserver_request_total",
			       "Requests that were answered, by what they are and their code.", COUNTER, STABLE,
			       .labels = { "code", "component", "dry_run", "group", "resource", "scope", "subresource",
					   "verb", "version" } },
	[AM_DEPRECATED] = { "apiserver_requested_deprecated_apis",
			    "Deprecated APIs that were asked for since the start, by API and the release that will not "
			    "have it.",
			    GAUGE, STABLE,
			    .labels = { "group", "removed_release", "resource", "subresource", "version" } },
	[AM_RESPONSE_SIZES] = { "apiserver_response_sizes",
				"Bytes of answers to GET and LIST as far as they are known, by what they are.",
				HISTOGRAM(size_bounds), STABLE, .labels = { OF_REQUEST } },
	[AM_STORAGE_EVENTS] = { "apiserver_storage_events_received_total",
				"Changes of stored objects that the watch cache was told of, by resource.", COUNTER,
				BETA, .labels = { "group", "resource" } },
	[AM_STORAGE_OBJECTS] = { "apiserver_storage_objects", "Stored objects, by resource.", GAUGE, STABLE,
				 .labels = { "resource" } },
	[AM_POLICY_DURATION] = { "apiserver_validating_admission_policy_check_duration_seconds",
				 "How long a validating policy's check took, in seconds, by policy, binding and what "
				 "came of it.",
				 HISTOGRAM(policy_bounds), BETA,
				 .labels = { "enforcement_action", "error_type", "policy", "policy_binding" } },
	[AM_POLICY_TOTAL] = { "apiserver_validating_admission_policy_check_total",
			      "Checks of validating policies, by policy, binding and what came of them.", COUNTER, BETA,
			      .labels = { "enforcement_action", "error_type", "policy", "policy_binding" } },
	[AM_DECLARATIVE_MISMATCH] = { "apiserver_validation_declarative_validation_mismatch_total",
				      "Always 0: there is one set of rules here, and nothing that it could differ "
				      "from.",
				      COUNTER, BETA },
	[AM_DECLARATIVE_PANIC] = { "apiserver_validation_declarative_validation_panic_total",
				   "Always 0: rules of validation cannot end otherwise than with an answer here.",
				   COUNTER, BETA },
	[AM_WATCH_SIZES] = { "apiserver_watch_events_sizes", "Bytes of events sent to watchers, by resource.",
			     HISTOGRAM(event_bounds), BETA, .labels = { "group", "resource", "version" } },
	[AM_WATCH_EVENTS] = { "apiserver_watch_events_total", "Events sent to watchers, by resource.", COUNTER, BETA,
			      .labels = { "group", "resource", "version" } },
	[AM_WATCH_LIST] = { "apiserver_watch_list_duration_seconds",
			    "How long it took until a watch had told all that there is, in seconds, by resource.",
			    HISTOGRAM(watch_list_bounds), BETA, .labels = { "group", "resource", "scope", "version" } },
	[AM_X509_SHA1] = { "apiserver_webhooks_x509_insecure_sha1_total",
			   "Calls of webhooks that failed as a certificate is signed by SHA-1.", COUNTER, BETA },
	[AM_X509_SAN] = { "apiserver_webhooks_x509_missing_san_total",
			  "Calls of webhooks that failed as a certificate names no subject alternative.", COUNTER,
			  BETA },
	[AM_METRICS_DISABLED] = { "disabled_metrics_total", "Metrics that --disabled-metrics left out.", COUNTER,
				  BETA },
	[AM_METRICS_HIDDEN] = { "hidden_metrics_total", "Metrics that are hidden as they are deprecated.", COUNTER,
				BETA },
	[AM_METRICS_REGISTERED] = { "registered_metrics_total", "Metrics of this page, by stability.", COUNTER, BETA,
				    .labels = { "deprecated_version", "stability_level" } },
	[AM_BUILD_INFO] = { "kubernetes_build_info", "Always 1; its labels tell what this is.", GAUGE, BETA,
			    .labels = { "build_date", "compiler", "git_commit", "git_tree_state", "git_version",
					"go_version", "major", "minor", "platform" } },
	[AM_FEATURE] = { "kubernetes_feature_enabled", "Is a feature gate on (1)? By name and stage.", GAUGE, BETA,
			 .labels = { "name", "stage" } },
	[AM_HEALTH] = { "kubernetes_healthcheck", "What a check of health said last: 1 is well.", GAUGE, STABLE,
			.labels = { "name", "type" } },
	[AM_HEALTH_TOTAL] = { "kubernetes_healthchecks_total", "Checks of health, by what they said.", COUNTER, STABLE,
			      .labels = { "name", "status", "type" } },
};
// clang-format on
