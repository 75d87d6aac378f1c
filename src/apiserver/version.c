#include "apiserver/apiserver-internal.h"

#ifdef __clang__
#define COMPILER "clang"
#else
#define COMPILER "gcc"
#endif
#ifdef __aarch64__
#define PLATFORM "arm64"
#else
#define PLATFORM "amd64"
#endif

void version_serve(struct api_req *q)
{
	answer_text(q, 200, "application/json",
		    SV("{\n  \"major\": \"1\",\n  \"minor\": \"35\",\n  \"emulationMajor\": \"1\",\n  "
		       "\"emulationMinor\": \"35\",\n"
		       "  \"minCompatibilityMajor\": \"1\",\n  \"minCompatibilityMinor\": \"34\",\n"
		       "  \"gitVersion\": \"v1.35.0+caravel-" CARAVEL_VERSION "\",\n  \"gitCommit\": \"\",\n"
		       "  \"gitTreeState\": \"clean\",\n  \"buildDate\": \"1970-01-01T00:00:00Z\",\n  \"goVersion\": "
		       "\"none\",\n"
		       "  \"compiler\": \"" COMPILER "\",\n  \"platform\": \"linux/" PLATFORM "\"\n}"));
}
