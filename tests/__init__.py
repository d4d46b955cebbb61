"""What re-executing the notebooks does not see. (A package: one of our dependencies installs a `tests` of its own.)"""
