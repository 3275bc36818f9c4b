"""``python -m reid_ext.cli`` is ``reid-ext``."""

import sys

from reid_ext.cli import main

sys.exit(main())
