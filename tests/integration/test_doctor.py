"""`coda doctor` says what it has just done, not what should be."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from coda.replay.session import LAYERS_OF_KERNEL
from tests.conftest import RunCoda
from tests.integration.test_escape import REFUSED, run_under

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fences of Linux"),
]


def test_what_works_is_said(coda: RunCoda) -> None:
    told = coda("doctor")
    answer = json.loads(coda("doctor", "--json").out)
    assert answer["recording"] is None
    assert answer["replay"] is None
    assert set(answer["layers"]) | set(answer["missing"]) >= LAYERS_OF_KERNEL
    assert told.status == (0 if answer["isolation"] == "kernel" else 1)
    assert f"isolation   {answer['isolation']}" in told.out


def test_what_is_missing_has_advice() -> None:
    done: subprocess.CompletedProcess[str] = run_under(REFUSED, "doctor")
    assert done.returncode == 1
    assert "isolation   partial" in done.stdout
    assert "user.max_user_namespaces" in done.stdout
