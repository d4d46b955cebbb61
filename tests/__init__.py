"""What re-executing the notebooks does not see. (A package: a dependency installs its own `tests`.)"""

import pytest

pytest.register_assert_rewrite("tests.guards")  # a guard that fails shows the values it compared
