/* version.h - what this program calls itself, and which Kubernetes it speaks. */
#pragma once

#define KUBERNETES_MINOR "37"
#define KUBERNETES_MINOR_BEFORE "36" /* the oldest that it can stand in for */
#define KUBERNETES_VERSION "v1." KUBERNETES_MINOR ".0"
/* gitVersion of /version, kubeletVersion of a node: clients read the Kubernetes version out of it. */
#define VERSION_TEXT KUBERNETES_VERSION "+caravel-" CARAVEL_VERSION
#ifdef __clang__
#define VERSION_COMPILER "clang"
#else
#define VERSION_COMPILER "gcc"
#endif
#ifdef __aarch64__
#define VERSION_PLATFORM "linux/arm64"
#else
#define VERSION_PLATFORM "linux/amd64"
#endif
