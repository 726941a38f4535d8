"""What the extension mends, each with plain boto3 against the running server: all checks, or those named.

    "$(scripts/aws-server-venv)" tests/aws_server/test_server.py
    "$(scripts/aws-server-venv)" tests/aws_server/test_server.py test_health test_groups.Groups.test_deleting
"""

import glob
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    parts = sorted(os.path.basename(path)[: -len(".py")] for path in glob.glob(os.path.join(HERE, "test_*.py")))
    parts.remove("test_server")
    chosen = [] if any(not one.startswith("-") for one in sys.argv[1:]) else parts
    unittest.main(module=None, argv=sys.argv + chosen)
