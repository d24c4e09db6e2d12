"""`python -m tellapart` is the command `tellapart`."""

import sys

from tellapart.cli import main

sys.exit(main())
