"""What others need to test what they build on edgesdk: small models, a LAN, a conformance suite."""

import contextlib

with contextlib.suppress(ImportError):
    import pytest

    # A failed assertion in the suite shows its values, as in one's own tests.
    for _name in ("answers", "harness", "opening", "running", "subjects"):
        pytest.register_assert_rewrite(f"edgesdk.testing.{_name}")
