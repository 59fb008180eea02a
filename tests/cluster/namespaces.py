"""The LAN of network namespaces, for tests: skipped where there can be none."""

import pytest

from edgesdk.testing.lan import Lan, lan_possible

__all__ = ["Lan", "lan_possible", "needs_namespaces"]

needs_namespaces = pytest.mark.skipif(not lan_possible(), reason="needs network namespaces")
