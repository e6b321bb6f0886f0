"""Front door of forking: forks of a run, and the difference of two runs."""

from __future__ import annotations

from coda.forking.diff import diff
from coda.forking.difference import Diff, Difference
from coda.forking.forks import ForkResult, fork

__all__ = ["Diff", "Difference", "ForkResult", "diff", "fork"]
