/* /version: the Kubernetes that is spoken, the program that speaks it, and how it was built. */
#include "apiserver/apiserver-internal.h"

#include "base/version.h"

void version_serve(struct api_req *q)
{
	if (!accepts(q, SV("application/json"), SV_NULL)) {
		answer_text(q, 406, "text/plain; charset=utf-8",
			    SV("406: Not Acceptable\n\nAvailable representations: application/json"));
		return;
	}
	answer_text(
	    q, 200, "application/json",
	    SV("{\n  \"major\": \"1\",\n  \"minor\": \"" KUBERNETES_MINOR "\",\n  \"emulationMajor\": \"1\",\n  "
	       "\"emulationMinor\": \"" KUBERNETES_MINOR "\",\n"
	       "  \"minCompatibilityMajor\": \"1\",\n  \"minCompatibilityMinor\": \"" KUBERNETES_MINOR_BEFORE "\",\n"
	       "  \"gitVersion\": \"" VERSION_TEXT "\",\n  \"gitCommit\": \"\",\n"
	       "  \"gitTreeState\": \"clean\",\n  \"buildDate\": \"1970-01-01T00:00:00Z\",\n  \"goVersion\": "
	       "\"none\",\n"
	       "  \"compiler\": \"" VERSION_COMPILER "\",\n  \"platform\": \"" VERSION_PLATFORM "\"\n}"));
}
