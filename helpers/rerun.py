"""The command `python -m helpers.rerun`: the series with other knobs, or notebook 06 on your own log. See `--help`.

It stands in tools/rerun.py with the other commands, because no notebook needs it.
"""

import runpy
from pathlib import Path

globals().update(
    runpy.run_path(str(Path(__file__).resolve().parents[1] / "tools/rerun.py"), run_name=__name__)
)
