"""The commands of the course, each called as `python -m tools.NAME`, and what they share."""

import sys

# nbformat asks jsonschema, which builds a grammar of web addresses (2.5 s) where this is installed;
# no notebook needs it. None makes the import fail, as if it were not.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
