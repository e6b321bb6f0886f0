"""What a worker's process is given, and what the process that starts it keeps."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from coda.log import open_trace
from coda.runtime import Sandbox

_ADDR_NO_RANDOMIZE = 0x0040000


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells of a process's personality")
def test_a_worker_has_fixed_addresses_and_its_host_stays_as_it_was(tmp_path: Path) -> None:
    before = personality(os.getpid())
    with Sandbox(root=tmp_path, trace=tmp_path / "t.jsonl") as sandbox:
        theirs = personality(sandbox.engine.pid)
        assert personality(os.getpid()) == before
    assert theirs | _ADDR_NO_RANDOMIZE == before | _ADDR_NO_RANDOMIZE
    assert open_trace(tmp_path / "t.jsonl").started.aslr == (not theirs & _ADDR_NO_RANDOMIZE)


def personality(pid: int) -> int:
    return int(Path(f"/proc/{pid}/personality").read_text(), 16)
