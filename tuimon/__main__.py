"""``python -m tuimon``."""

import sys

from tuimon.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
