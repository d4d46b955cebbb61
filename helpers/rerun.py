"""The command `python -m helpers.rerun`, which stands in tools/rerun.py. See `--help`."""

import sys

from tools.rerun import main

if __name__ == "__main__":
    sys.exit(main())
