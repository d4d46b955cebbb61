"""The commands of the course, each called as `python -m tools.NAME`, and what they share."""
