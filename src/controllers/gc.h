/* gc.h - names shared by gc.c and gc_graph.c only. */
#pragma once

#define GC_FOREGROUND "foregroundDeletion"
#define GC_ORPHAN "orphan"
