"""Zone, temporary folder and mask: what the C library and `tempfile` would take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coda.runtime.surroundings import is_known_zone, temp_of, umask_here, zone_of

BERLIN = b"TZif2" + b"\0" * 40 + b"TZif2" + b"\0" * 40 + b"\nCET-1CEST,M3.5.0,M10.5.0/3\n"


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    folder = tmp_path / "share" / "zoneinfo"
    for name in ("Europe/Berlin", "posix/Asia/Kolkata"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(BERLIN)
    (tmp_path / "linked").symlink_to(folder / "Europe/Berlin")
    (tmp_path / "variant").symlink_to(folder / "posix/Asia/Kolkata")
    (tmp_path / "dangling").symlink_to(folder / "Europe/Nowhere")
    (tmp_path / "copied").write_bytes(BERLIN)
    (tmp_path / "old").write_bytes(b"TZif" + b"\0" * 40)
    (tmp_path / "other").write_bytes(b"no zone at all\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("linked", "Europe/Berlin"), ("variant", "Asia/Kolkata"), ("copied", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("dangling", "UTC0"), ("missing", "UTC0"), ("old", "UTC0"), ("other", "UTC0"),
    ],
)  # fmt: skip
def test_the_systems_zone(name: str, zone: str, zones: Path) -> None:
    assert zone_of({}, localtime=str(zones / name)) == zone
    assert zone_of({"TZ": "Asia/Tokyo"}, localtime=str(zones / name)) == ""


def test_zones_that_are_known(zones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZDIR", str(zones / "share/zoneinfo"))
    known = [is_known_zone(zone) for zone in ("Europe/Berlin", "UTC0", "CET-1CEST,M3.5.0", "Mars/Olympus")]
    assert known == [True, True, True, False]


def test_the_temporary_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    assert temp_of({"TMPDIR": str(first), "TMP": str(second)}) == str(second)
    assert temp_of({"TMPDIR": str(first)}) == os.path.realpath("/tmp")
    first.symlink_to(second)
    assert temp_of({"TEMP": str(first)}) == str(second)


def test_the_mask_is_read_and_kept() -> None:
    before = os.umask(0o027)
    try:
        assert (umask_here(), umask_here()) == (0o027, 0o027)
    finally:
        os.umask(before)
