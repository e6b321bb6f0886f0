"""Nothing gets out of a replay: what hostile code in a trace tries, really tried against the fences."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coda.log import open_trace
from coda.replay import replay
from coda.replay.session import LAYERS_OF_KERNEL
from tests.conftest import ROOT
from tests.support.programs import record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or platform.machine() != "x86_64",
        reason="the program calls Linux by the numbers of x86_64",
    ),
]

PROGRAM = Path(__file__).with_name("escape_program.py").read_text(encoding="utf-8")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder outside of workspace and temporary folder, with what may not be changed or reached."""
    folder = Path(tempfile.mkdtemp(prefix="coda-escape-", dir="/var/tmp"))
    (folder / "old").write_text("untouched")
    os.mkfifo(folder / "fifo")
    yield folder
    shutil.rmtree(folder)


def what_is_there(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every name with what an escape would change."""
    found: dict[str, tuple[int, ...]] = {}
    for path in [folder, *sorted(folder.iterdir())]:
        info = path.lstat()
        facts = (info.st_mode, info.st_uid, info.st_size, info.st_nlink, info.st_mtime_ns, info.st_ctime_ns)
        found[path.name] = facts
    return found


def test_nothing_gets_out(tmp_path: Path, place: Path) -> None:
    """Files, processes, signals, sockets, devices, mounts: all refused, and the replay itself is faithful."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        unix.bind(str(place / "socket"))
        unix.listen()
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        for server in (tcp, unix, udp):
            server.setblocking(False)
        reader = os.open(place / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        targets = {"place": str(place), "port": port, "victim": os.getpid()}
        trace = record(PROGRAM, tmp_path, level="effects", files={"targets.json": json.dumps(targets)})
        (place / "act").touch()
        before = what_is_there(place)
        verdict = replay(open_trace(trace))
        assert what_is_there(place) == before
        for server in (tcp, unix, udp):
            with pytest.raises(BlockingIOError):
                server.accept() if server is not udp else server.recv(1)
        assert os.read(reader, 10) == b""
        os.close(reader)
    assert verdict.diverged is None, str(verdict.diverged)
    assert set(verdict.layers) >= LAYERS_OF_KERNEL


ORDINARY = 'exec unshare --user --map-user=1000 --map-group=1000 "$@"'
REFUSED = (
    'unshare --user --map-root-user sh -c \'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"\' sh "$@"'
)


def run_under(shell: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`coda` under other rights; skips where this system does not let us set them up."""
    command = [sys.executable, "-m", "coda", *map(str, arguments)]
    if subprocess.run(["sh", "-c", shell, "sh", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces to make such a user with")
    return subprocess.run(
        ["sh", "-c", shell, "sh", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_ordinary_user_is_isolated_too(tmp_path: Path) -> None:
    """Every layer holds without any privilege."""
    trace = record("print(sum(range(10)))\n", tmp_path)
    done = run_under(ORDINARY, "replay", "--json", trace)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["layers"]) >= LAYERS_OF_KERNEL


def test_where_namespaces_are_refused_the_user_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused in one sentence; with `--trust` the fences that need no namespace hold, and are named."""
    trace = record("print(sum(range(10)))\n", tmp_path)
    own = run_under(REFUSED, "replay", "--json", trace)  # one's own key vouches for it
    assert own.returncode == 0, own.stderr
    assert json.loads(own.stdout)["isolation"] == "partial"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    refused = run_under(REFUSED, "replay", "--json", trace)
    assert refused.returncode == 2
    message = json.loads(refused.stdout)["error"]["message"]
    assert "namespaces refused" in message
    assert "--trust" in message
    trusted = run_under(REFUSED, "replay", "--json", trace, "--trust")
    assert trusted.returncode == 0, trusted.stderr
    verdict = json.loads(trusted.stdout)
    assert verdict["isolation"] == "partial"
    assert set(verdict["layers"]) == {"no-new-privileges", "landlock", "system-calls"}
