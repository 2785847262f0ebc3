"""Errors as answers: a JSON problem (RFC 9457) under `/api`, a plain page elsewhere. Nothing inside leaks."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from channels.contract import Unavailable
from gateway.desk_acts import Conflict, DeskError, Invalid, NotFound
from gateway.web.slow import TooSlow

REQUEST_ID = web.RequestKey("request_id", str)
_DESK: Mapping[type[DeskError], int] = {NotFound: 404, Conflict: 409, Invalid: 422}


class Problem(Exception):
    """An answer that is an error; `detail` says what would be right and quotes nothing."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = dict(headers or {})
        self.errors = list(errors)


def problem_of(error: Exception) -> Problem | None:
    """The answer to a known kind of error; None: a fault of ours, to be logged and answered with 500."""
    match error:
        case Problem():
            return error
        case DeskError():
            return Problem(_DESK.get(type(error), 422), str(error))
        case Unavailable():
            return Problem(503, "nothing can be stored now; ask again in a few seconds", headers={"Retry-After": "5"})
        case TooSlow():
            return Problem(408, _WORDS[408], headers={"Connection": "close"})
        case ValidationError():
            return Problem(422, "the request does not fit", errors=faults(error))
        case web.HTTPException():
            kept = {name: error.headers[name] for name in ("Allow", "Location") if name in error.headers}
            return Problem(error.status, _WORDS.get(error.status, error.reason), headers=kept)
        case _:
            return None


def faults(error: ValidationError) -> list[dict[str, str]]:
    """Where and what, without the value that was sent."""
    return [
        {"at": ".".join(map(str, fault["loc"])), "problem": fault["msg"]}
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def answer(request: web.Request, problem: Problem) -> web.Response:
    """A problem as the one who asked can read it."""
    title = HTTPStatus(problem.status).phrase
    request_id = request.get(REQUEST_ID, "")
    if request.path.startswith("/api/"):
        body = {
            "type": "about:blank",
            "title": title,
            "status": problem.status,
            "detail": problem.detail,
            "request_id": request_id,
            **({"errors": problem.errors} if problem.errors else {}),
        }
        return web.Response(
            status=problem.status,
            text=json.dumps(body, ensure_ascii=False),
            content_type="application/problem+json",
            headers=problem.headers,
        )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<meta name=robots content=noindex><title>{title}</title>"
        f"<h1>{title}</h1><p>{html.escape(_sentence(problem.detail))}</p><p><small>{request_id}</small></p></html>"
    )
    return web.Response(status=problem.status, text=page, content_type="text/html", headers=problem.headers)


def _sentence(detail: str) -> str:
    return detail[:1].upper() + detail[1:] + ("" if detail.endswith(".") else ".")


_WORDS = {
    400: "the request cannot be read",
    404: "there is nothing at this address",
    408: "the request did not arrive in time",
    405: "this address does not take that method",
    413: "the request is too big",
    415: "this kind of content is not taken here",
}
