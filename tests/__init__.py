"""What re-executing notebooks does not see (a package, as a dependency installs `tests` too)."""

import pytest

pytest.register_assert_rewrite("tests.guards")  # a guard that fails shows the values it compared
