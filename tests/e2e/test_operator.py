#!/usr/bin/env python3
"""An operator in JavaScript: a kind with two versions, conversion, admission webhooks, finalizer, leader election, informers."""
import os
import shutil
import sys

from hooks import Hooks
from lib import Cluster, Tap
from test_js import install, program

if __name__ == "__main__":
    TAP = Tap()
    why = "needs openssl" if not shutil.which("openssl") else install()
    if why:
        TAP.point(True, "an operator", f" # SKIP {why}")
    else:
        with Cluster() as c:
            os.environ["HOOK_PEM"] = Hooks(c.dir).pem  # its certificate alone: the operator serves itself
            program(TAP, "operated", c)
    print(f"1..{TAP.n}")
    sys.exit(1 if TAP.failed else 0)
