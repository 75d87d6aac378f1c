import sys, os
out = sys.argv[sys.argv.index('--out') + 1]
open(os.path.join(out, 'symbols.h'), 'w').write('#pragma once\nenum sym { SYM_NONE, F_metadata, SYM_MAX };\n')
open(os.path.join(out, 'resources.h'), 'w').write('#pragma once\nenum resource_id { R_none };\n')
open(os.path.join(out, 'symbols.c'), 'w').write('#include "symbols.h"\n')
open(os.path.join(out, 'schema_tables.c'), 'w').write('#include "symbols.h"\n')
