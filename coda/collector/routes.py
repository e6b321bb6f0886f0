"""The collector's routes: parameters in, answers out; what happens is in `service.py`.

Guarantee: no path or id reaches the file system but through `RunStore`; every failure is one JSON error
object with the kind and sentence of the error; nothing is held in memory that grows with a trace.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Annotated
from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from coda.collector.guard import COOKIE, Guard
from coda.collector.metrics import Metrics
from coda.collector.page import POLICY, run_list, sign_in
from coda.collector.schema import Block, FailureReply, Health, Run, RunDetail, RunList
from coda.collector.service import RunStore, follow, stream, summarise
from coda.errors import CodaError, LogError, UsageError
from coda.log import event_types, mask

NDJSON = "application/x-ndjson"
PAGE_RUNS = 200
TOKEN_WAIT_S = 10.0
_QUEUE_CHUNKS = 4
_FORM_BYTES = 4096
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Last = Annotated[int | None, Query(alias="to", ge=0, description="The event with which to end.")]
Start = Annotated[int, Query(alias="from", ge=0, description="First event.")]


def api_routes(store: RunStore) -> APIRouter:
    """Gives the routes under `/api` that answer requests."""
    router = APIRouter(prefix="/api", responses={404: {"model": FailureReply}})

    @router.get("/runs")
    def runs(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, offset: Annotated[int, Query(ge=0)] = 0
    ) -> RunList:
        """Lists runs, the newest first."""
        ids = store.ids()
        page = ids[offset : offset + limit]
        return RunList(runs=[Run(**store.summary(run)._asdict()) for run in page], total=len(ids))

    @router.get("/runs/{run}")
    def one_run(run: str) -> RunDetail:
        """Describes one run and its blocks."""
        trace = store.open(run)
        started = trace.started
        return RunDetail(
            **summarise(trace, run)._asdict(),
            model=started.model,
            python=started.python,
            level=started.level,
            blocks=[
                Block(
                    block=b.number, seq=b.seq, end_seq=b.end_seq, file=b.file, turn=b.turn, outcome=b.outcome
                )
                for b in trace.blocks
            ],
        )

    @router.get(
        "/runs/{run}/events", response_class=StreamingResponse, responses={200: {"content": {NDJSON: {}}}}
    )
    def events(
        run: str,
        start: Start = 0,
        last: Last = None,
        types: Annotated[list[str] | None, Query(alias="type", description="Types, or families.")] = None,
    ) -> StreamingResponse:
        """Streams events as NDJSON, masked; where a trace turns out to be damaged, the last line says so."""
        trace = store.open(run)
        if last is not None and last < start:
            raise UsageError(f"the range of events ends ({last}) before it begins ({start}).")
        wanted = event_types(word for given in types or () for word in given.split(",") if word)
        parts = stream(trace, start=start, last=last, types=wanted or None)
        # The first chunk now, so that a damaged trace is a failed request and not a broken stream.
        first = list(islice(parts, 1))
        return StreamingResponse(_guarded(chain(first, parts)), media_type=NDJSON)

    return router


def _guarded(parts: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from parts
    except CodaError as error:
        yield msgspec.json.encode(failure(error)) + b"\n"


def failure(error: CodaError) -> dict[str, dict[str, str]]:
    """Gives the body of a failed request."""
    return {"error": {"kind": type(error).__name__, "message": mask(error.message)}}


def live_route(store: RunStore, guard: Guard) -> APIRouter:
    """Gives the WebSocket of a run's events."""
    router = APIRouter()

    @router.websocket("/api/runs/{run}/live")
    async def live(socket: WebSocket, run: str, start: Start = 0) -> None:
        """Sends events from `from` on, and those that are still to come until the run has finished.

        Each message is one or more events, a line of JSON each. Without the token in a header or cookie the
        first message from the client must be {"token": "..."}.
        """
        await socket.accept()
        if not guard.admits(socket.headers) and not await _told_token(socket, guard):
            await socket.close(4401, "the token is missing or wrong")
            return
        try:
            trace = await asyncio.to_thread(store.open, run)
        except CodaError as error:
            await socket.send_text(json.dumps(failure(error)))
            await socket.close(4404, "there is no such run")
            return
        await _pump(socket, lambda put, stopped: follow(trace, put, start=start, stopped=stopped))

    return router


async def _told_token(socket: WebSocket, guard: Guard) -> bool:
    try:
        message = await asyncio.wait_for(socket.receive_text(), TOKEN_WAIT_S)
        told = json.loads(message)
    except (TimeoutError, ValueError, KeyError, WebSocketDisconnect):
        return False
    token = told.get("token") if isinstance(told, dict) else None
    return isinstance(token, str) and guard.knows(token)


Work = Callable[[Callable[[bytes], None], Callable[[], bool]], None]


async def _pump(socket: WebSocket, work: Work) -> None:
    """Runs `work` in a thread and sends what it puts, until it ends or the client leaves.

    A client that reads slowly fills the bounded queue, which makes its own thread wait and no other.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | CodaError | None] = asyncio.Queue(_QUEUE_CHUNKS)
    gone = threading.Event()

    def put(item: bytes | CodaError | None) -> None:
        if not gone.is_set():
            asyncio.run_coroutine_threadsafe(queue.put(item), loop).result()

    def run() -> None:
        end: CodaError | None = None
        try:
            work(put, gone.is_set)
        except CodaError as error:
            end = error
        except OSError as error:
            end = LogError(f"the trace cannot be read any more: {error.strerror}")
        except RuntimeError:
            return  # the loop has closed: nobody is left to tell
        try:
            put(end)
        except RuntimeError:
            return

    # A thread of its own: the loop's pool is small, and a viewer stays for the length of a run.
    thread = threading.Thread(target=run, name="coda-live-view", daemon=True)
    leaving = asyncio.create_task(_until_gone(socket))
    thread.start()
    try:
        await _send_all(socket, queue, leaving)
    finally:
        gone.set()
        leaving.cancel()
        while not queue.empty():  # wakes a thread that waits for room
            queue.get_nowait()


async def _send_all(
    socket: WebSocket, queue: asyncio.Queue[bytes | CodaError | None], leaving: asyncio.Task[None]
) -> None:
    while True:
        getting = asyncio.create_task(queue.get())
        await asyncio.wait({getting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            getting.cancel()
            return
        item = getting.result()
        if item is None:
            await socket.close(1000, "the run has finished")
            return
        if isinstance(item, CodaError):
            await socket.send_text(json.dumps(failure(item)))
            await socket.close(1011, "the trace cannot be read")
            return
        try:
            await socket.send_text(item.decode().rstrip("\n"))
        except (WebSocketDisconnect, RuntimeError):
            return


async def _until_gone(socket: WebSocket) -> None:
    """Returns when the client has left; what it says meanwhile has no meaning here."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def page_routes(store: RunStore, guard: Guard, metrics: Metrics, clock: Callable[[], float]) -> APIRouter:
    """Gives the page, signing in, health and metrics."""
    router = APIRouter()
    began = clock()

    @router.get("/health")
    def health() -> Health:
        """Tells that the server answers."""
        return Health(uptime_s=round(clock() - began, 3))

    @router.get("/metrics", response_class=Response)
    def prometheus() -> Response:
        """Gives the metrics of all runs in Prometheus' text format."""
        return Response(metrics.text(), media_type=_METRICS_TYPE)

    @router.get("/", include_in_schema=False)
    def index(request: Request) -> HTMLResponse:
        if not guard.admits(request.headers):
            return _html(sign_in())
        ids = store.ids()
        return _html(run_list([store.summary(run) for run in ids[:PAGE_RUNS]], len(ids)))

    @router.post("/session", include_in_schema=False)
    async def session(request: Request) -> Response:
        """Takes the token from the form and keeps it in a cookie that scripts cannot read."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _FORM_BYTES:
                return _html(sign_in(wrong=True), 413)
        token = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if not guard.knows(token):
            return _html(sign_in(wrong=True), 401)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
        return answer

    return router


def _html(text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(text, status, headers={"Content-Security-Policy": POLICY})
