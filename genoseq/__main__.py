"""``python -m genoseq``: the command line."""

import sys

from genoseq.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
