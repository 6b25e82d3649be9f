"""Real invoice lines through the whole line: the published figures of that data come out.

The data is not part of the project; its place is given by ONLINE_RETAIL_DIR. Without it this file says so and a newcomer's
`make test` goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT, Paths
from tests.integration.test_published_figures import IN_SCOPE, rows

FOLDER = os.environ.get("ONLINE_RETAIL_DIR", "")
COHORTS = {
    "2010-12-01": [885, 324, 286, 340, 321, 352, 321, 309, 313, 350, 331, 445, 235],
    "2011-01-01": [417, 92, 111, 96, 134, 120, 103, 101, 125, 136, 152, 49],
    "2011-02-01": [380, 71, 71, 108, 103, 94, 96, 106, 94, 116, 26],
    "2011-03-01": [452, 68, 114, 90, 101, 76, 121, 104, 126, 39],
}

pytestmark = pytest.mark.skipif(
    not FOLDER, reason="set ONLINE_RETAIL_DIR to the folder of online_retail.csv.gz (examples/online_retail/README.md)"
)
