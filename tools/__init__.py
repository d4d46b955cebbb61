"""The commands of the course, each called as `python -m tools.NAME`, and what they share."""

import sys

# jsonschema, with which nbformat checks notebooks, builds a grammar of web addresses where it finds
# this package. That takes two seconds of each command's start, and no notebook has such a field.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
