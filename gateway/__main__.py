"""`gateway` and `python -m gateway`.

Read by any Python 3: an old one gets one line that says what to do, not a syntax error.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    _HAVE = (*sys.version_info[:2], sys.executable)
    sys.exit("gateway: Python 3.11 or newer is needed; this is %d.%d (%s)" % _HAVE)  # noqa: UP031

from gateway.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
