"""Bad job files against the whole: refused at `kubectl apply` where schema and CEL can, by a condition where only Python can."""

from __future__ import annotations

import pytest
from harness import Cluster
from mutations import MUTATIONS

pytestmark = pytest.mark.e2e
