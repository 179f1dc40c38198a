"""The status page for people, and the content security policy that lets it run only its own script."""

import base64
import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

PAGE = Path(__file__).with_name("status.html").read_text()


def route(path: str = "/") -> Route:
    """Return the route of the page."""

    async def show(_request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    return Route(path, show, include_in_schema=False)


def _own(tag: str) -> str:
    found = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in found)


POLICY = (
    f"default-src 'none'; script-src {_own('script')}; style-src {_own('style')}; connect-src 'self'; "
    # Films and images come from the storage's own host.
    "img-src * data:; media-src *; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
