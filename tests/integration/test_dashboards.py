"""The dashboards ask for metrics that there are: by name, and by a real Prometheus where there is one."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from coda.collector import RunStore, names
from coda.collector.metrics import Metrics
from coda.log import BlockFinished, BlockStarted, LimitHit, RunFinished
from tests.conftest import ROOT
from tests.integration.test_serve import TOKEN, serving
from tests.support.traces import agent_trace, program_trace, started, writer

DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")


def panels() -> list[dict[str, Any]]:
    return [panel for path in DASHBOARDS for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"] if "expr" in target]


def some_runs(folder: Path) -> Path:
    """A run directory in which every metric has a value."""
    for run in ("20260314T150926-a1b2c3", "20260314T151500-b2c3d4", "20260314T152000-000001"):
        (folder / run).mkdir(parents=True)
    program_trace(folder / "20260314T150926-a1b2c3" / "trace.jsonl")
    agent_trace(folder / "20260314T151500-b2c3d4" / "trace.jsonl")
    with writer(folder / "20260314T152000-000001" / "trace.jsonl", "20260314T152000-000001") as out:
        out.append(started())
        out.append(BlockStarted(block=1, source="", file="<block 1>"))
        out.append(LimitHit(what="threads"))
        out.append(BlockFinished(block=1, outcome="ok"))
        out.append(RunFinished(outcome="ok"))
    return folder


def test_there_are_dashboards_with_panels() -> None:
    assert DASHBOARDS
    assert len(expressions()) > 10
    for path in DASHBOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
        assert all(panel["title"] for panel in board["panels"])
        cells = [
            (x, y)
            for panel in board["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells)), "panels lie on one another"
        assert max(x for x, _ in cells) < 24


def test_every_metric_and_label_in_a_panel_is_one_that_is_served(tmp_path: Path) -> None:
    text = Metrics(RunStore(some_runs(tmp_path)), clock=lambda: 0.0).text().decode()
    served = set(re.findall(r"^([a-z_]+)[{ ]", text, re.MULTILINE))
    labels = {*re.findall(r'[{,]([a-z_]+)="', text)}
    asked = {name for expr in expressions() for name in re.findall(r"\b(?:coda|gen_ai)_[a-z_]+", expr)}
    assert asked
    assert asked - served - labels == set()
    assert {
        name
        for expr in expressions()
        for by in re.findall(r"by \(([^)]*)\)", expr)
        for name in by.split(", ")
    } <= labels


def test_panels_name_the_data_sources_that_are_provisioned() -> None:
    provisioned = (DEPLOY / "grafana" / "provisioning" / "datasources" / "coda.yaml").read_text(
        encoding="utf-8"
    )
    known = set(re.findall(r"uid: (\S+)", provisioned))
    used = {
        source["uid"]
        for panel in panels()
        for source in [panel["datasource"], *(t["datasource"] for t in panel["targets"])]
    }
    assert used == known


def test_every_metric_of_the_table_that_is_no_panel_is_known() -> None:
    asked = " ".join(expressions())
    absent = {name for name in names.METRICS if names.prometheus_name(name) not in asked}
    assert absent == {names.METRIC_UNREADABLE}


def test_ports_are_published_on_the_loopback_only_and_versions_are_pinned() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    published = re.findall(r'- "([^"]*:\d+)"', text)
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in re.findall(r"image: (\S+)", text))
    mounted = re.findall(r"- \./([^:]+):", text)
    assert mounted
    assert all((DEPLOY / path).exists() for path in mounted)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
def test_the_scrape_configuration_is_one() -> None:
    checked = subprocess.run(
        [PROMTOOL or "", "check", "config", "--syntax-only", str(DEPLOY / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def ask(url: str, expr: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expr}).json()
    assert answer["status"] == "success", (expr, answer)
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian package prometheus)")
def test_a_real_prometheus_answers_every_panel(tmp_path: Path) -> None:
    some_runs(tmp_path / ".coda" / "runs")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(tmp_path, "--token", TOKEN) as server:
        config = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
        (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
        config = config.replace("/run/secrets/coda_token", str(tmp_path / "token"))
        config = config.replace("host.docker.internal:8321", server.url.removeprefix("http://"))
        config = re.sub(r"scrape_(interval|timeout): \d+s", r"scrape_\1: 1s", config)
        (tmp_path / "prometheus.yml").write_text(config, encoding="utf-8")
        process = subprocess.Popen(
            [
                PROMETHEUS or "",
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            # Two scrapes, so that rates exist.
            wait_for(url, "count_over_time(coda_log_bytes[1m]) >= 3")
            for expr in expressions():
                found = ask(url, expr.replace("$__rate_interval", "1m").replace("$__range", "1h"))
                assert found, f"no data for {expr}"
            assert ask(url, "sum(coda_runs)")[0]["value"][1] == "3"
        finally:
            process.kill()
            process.wait()


def wait_for(url: str, expr: str) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        try:
            if ask(url, expr):
                return
        except (httpx.TransportError, ValueError):
            pass
        threading.Event().wait(0.2)
    raise AssertionError(f"Prometheus had no answer to {expr} in time")
