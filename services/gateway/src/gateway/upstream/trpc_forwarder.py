"""Forwards calls of the application's tRPC procedures that arrive in one batch with calls of ours."""

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode

from pydantic_core import from_json
from starlette.requests import Request

from gateway.trpc.errors import TRPCError
from gateway.trpc.fallback import FallbackAnswers
from gateway.upstream.proxy import Proxy

OF_THE_BODY = frozenset((b"content-length", b"content-type", b"accept", b"accept-encoding", b"trpc-accept"))
OF_THE_BATCH = ("batch", "input")


class TrpcForwarder:
    """Calls the application's tRPC server at `path`, in a batch of its own."""

    def __init__(self, proxy: Proxy, path: str) -> None:
        self.proxy = proxy
        self.path = path

    async def forward(self, request: Request, names: list[str], inputs: Mapping[int, object]) -> FallbackAnswers:
        """Implement `gateway.trpc.fallback.Fallback`; of the response headers, only cookies pass.

        Raises:
            ApplicationAway, ApplicationSilent: it did not answer.
            TRPCError: the answer is not tRPC.
        """
        given = json.dumps({str(place): value for place, value in inputs.items()}, separators=(",", ":"))
        query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = [("batch", "1"), *((name, value) for name, value in query if name not in OF_THE_BATCH)]
        headers = [one for one in self.proxy.headers(request.scope) if one[0] not in OF_THE_BODY]
        headers.append((b"accept", b"application/json"))
        content = None
        if request.method == "GET":
            query.append(("input", given))
        else:
            content = given.encode()
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        target = f"{self.path}/{quote(','.join(names), safe=',')}?{urlencode(query)}"
        body, answer_headers = await self.proxy.fetch(request.method, target.encode(), headers, content)
        return FallbackAnswers(_items(body, len(names)), [one for one in answer_headers if one[0] == b"set-cookie"])


def _items(body: bytes, calls: int) -> list[dict[str, object]]:
    try:
        answer = from_json(body)
    except ValueError:
        answer = None
    # A request that is refused as a whole gets one error for all of its calls.
    items = [answer] * calls if isinstance(answer, dict) and "error" in answer else answer
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise TRPCError("BAD_GATEWAY", "The application behind this gateway sent an answer that is not tRPC.")
    return items
