"""The collector's application: routes, guard and errors put together.

Guarantee: the same application serves in tests and for users; it reads no ambient state, everything it
depends on is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from coda.collector.access import names_of
from coda.collector.guard import Gate, Guard
from coda.collector.metrics import Metrics
from coda.collector.routes import api_routes, failure, live_route, page_routes
from coda.collector.service import RunStore
from coda.errors import CodaError, UsageError


def build_app(
    store: RunStore,
    *,
    clock: Callable[[], float],
    token: str,
    version: str,
    hosts: Collection[str] = (),
    open_metrics: bool = True,
) -> FastAPI:
    """Gives the application. See `create_app`, which is its front door."""
    guard = Guard(token, names_of(hosts), open_metrics)
    # The usual documentation pages load scripts from elsewhere; the description itself is behind the token.
    app = FastAPI(
        title="coda", version=version, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )
    app.include_router(api_routes(store))
    app.include_router(live_route(store, guard))
    app.include_router(page_routes(store, guard, Metrics(store, clock=clock), clock))
    app.add_exception_handler(CodaError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_middleware(Gate, guard=guard)
    return app


def _failed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CodaError)
    if isinstance(error, UsageError):
        status = 404 if "run" in error.facts else 400
    else:
        status = 500
    return JSONResponse(failure(error), status)


def _no_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": {"kind": "UsageError", "message": str(error.detail)}}, error.status_code)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = "; ".join(f"{'.'.join(str(p) for p in e['loc'][1:])}: {e['msg']}" for e in error.errors())
    return JSONResponse(failure(UsageError(f"bad request: {said}.")), 422)
