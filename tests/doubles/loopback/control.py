"""The control endpoint of a loopback server, and the middleware that obeys it.

`/_control/` is not authenticated: such a server listens on a loopback address, for tests.

| request | does |
| --- | --- |
| `POST /_control/faults` | adds a rule, or a list of rules (see `faults.py`) |
| `GET /_control/faults` | the rules in force, with `seen` and `hits` |
| `DELETE /_control/faults` | clears them; what they stall goes on |
| `GET /_control/counters` | requests, bytes in and out, statuses: in total and by operation |
| `DELETE /_control/counters` | back to zero |
| `GET /_control/requests` | the latest requests, oldest first |
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.doubles.loopback.bodies import PLAN, BodyResponse, BytesSource, NoAnswer
from tests.doubles.loopback.counters import Counters, Entry
from tests.doubles.loopback.faults import BadRuleError, Kind, Rules, parse_rule
from tests.doubles.loopback.replacing import replaced
from tests.doubles.loopback.spoiling import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp.typedefs import Handler, Middleware

    from tests.doubles.loopback.faults import Plan, Rule

PREFIX: Final = "/_control/"
_LEFT: Final = (ConnectionError, web.RequestPayloadError)


@dataclass
class Control:
    """Faults and counters of one server.

    Args:
        operation: Names the operation that a request asks for.
        render: Gives a `status` rule's answer the form that the server's errors have.
        presets: Names that stand for whole rules, such as an error the service is known for.
        range_headers: Where a request may say its range; the first one found is recorded.
    """

    operation: Callable[[web.Request], str]
    render: Callable[[web.Request, Mapping[str, Any]], web.StreamResponse]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    range_headers: Sequence[str] = ("Range",)
    rules: Rules = field(default_factory=Rules)
    counters: Counters = field(default_factory=Counters)

    def install(self, app: web.Application) -> None:
        """Add the endpoint to `app`, before its own routes; its middleware goes in first."""
        app.router.add_post(f"{PREFIX}faults", self._add_faults)
        app.router.add_get(f"{PREFIX}faults", self._list_faults)
        app.router.add_delete(f"{PREFIX}faults", self._clear_faults)
        app.router.add_get(f"{PREFIX}counters", self._show_counters)
        app.router.add_delete(f"{PREFIX}counters", self._reset_counters)
        app.router.add_get(f"{PREFIX}requests", self._show_requests)

    def middleware(self) -> Middleware:
        """Counts every request, and does to it what the rules say. The outermost one."""

        @web.middleware
        async def obey(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(PREFIX):
                return await handler(request)
            start = time.monotonic()
            name = self.operation(request)
            plan = self.rules.plan(operation=name, path=request.path, method=request.method)
            request[PLAN] = plan
            response: web.StreamResponse | None = None
            try:
                response = await self._respond(request, handler, plan)
                await response.prepare(request)
                await response.write_eof()
            except _LEFT:
                response = NoAnswer(request)
            finally:
                entry = _entry(request, name, plan, response)
                asked = (request.headers.get(header) for header in self.range_headers)
                entry = replace(
                    entry,
                    range=next(filter(None, asked), None),
                    seconds=round(time.monotonic() - start, 6),
                )
                self.counters.record(entry)
            return response

        return obey

    async def _respond(
        self, request: web.Request, handler: Handler, plan: Plan
    ) -> web.StreamResponse:
        for rule in plan.of(Kind.DELAY):
            await wait(rule, rule.fields["seconds"])
        if before := plan.cut_off(committed=False):
            return self._in_place_of_answer(request, before)
        response = await handler(request)
        if after := plan.cut_off(committed=True):
            if isinstance(response, BodyResponse):
                response.drop()
            return self._in_place_of_answer(request, after)
        for rule in plan.of(Kind.REPLACE):
            response = await replaced(response, rule)
        return _spoilt(response, plan)

    def _in_place_of_answer(self, request: web.Request, rule: Rule) -> web.StreamResponse:
        if rule.kind is not Kind.STATUS:
            return NoAnswer(request, reset=rule.kind is Kind.RESET)
        response = self.render(request, rule.fields)
        response.headers.update(rule.fields.get("headers", {}))
        if (seconds := rule.fields.get("retry_after")) is not None:
            response.headers["Retry-After"] = str(seconds)
        return response

    async def _add_faults(self, request: web.Request) -> web.Response:
        try:
            given = json.loads(await request.text())
            rules = given if isinstance(given, list) else [given]
            parsed = [parse_rule(fields, self.presets) for fields in rules]
            if not parsed:
                raise BadRuleError("no rule")
        except (ValueError, AttributeError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        for rule in parsed:
            self.rules.add(rule)
        return web.json_response(self.rules.report(), status=201)

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response(self.rules.report())

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self.rules.clear()
        return web.Response(status=204)

    async def _show_counters(self, _: web.Request) -> web.Response:
        return web.json_response(self.counters.report())

    async def _reset_counters(self, _: web.Request) -> web.Response:
        self.counters.reset()
        return web.Response(status=204)

    async def _show_requests(self, _: web.Request) -> web.Response:
        return web.json_response(self.counters.latest())


def _spoilt(response: web.StreamResponse, plan: Plan) -> web.StreamResponse:
    """The same answer, in a form whose body the plan can reach."""
    if not plan.rules:
        return response
    if isinstance(response, web.Response) and isinstance(response.body, bytes) and response.body:
        headers = {k: v for k, v in response.headers.items() if k != "Content-Length"}
        response = BodyResponse(BytesSource(response.body), status=response.status, headers=headers)
    if isinstance(response, BodyResponse):
        response.plan = plan
    return response


def _entry(
    request: web.Request, name: str, plan: Plan, response: web.StreamResponse | None
) -> Entry:
    answered = response is not None and not isinstance(response, NoAnswer)
    sent = 0
    if isinstance(response, BodyResponse):
        sent = response.sent
    elif isinstance(response, web.Response) and isinstance(response.body, bytes):
        sent = len(response.body)
    return Entry(
        operation=name,
        method=request.method,
        path=request.path,
        range=None,
        status=response.status if response is not None and answered else 0,
        bytes_in=request.content.total_bytes,
        bytes_out=sent,
        seconds=0,
        faults=tuple(rule.kind.value for rule in plan.rules),
    )


__all__ = ["PREFIX", "BadRuleError", "Control"]
