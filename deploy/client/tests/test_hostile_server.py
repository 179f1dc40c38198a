"""Data of a hostile server cannot control the terminal."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

MULTISHOT = Path(sys.executable).with_name("multishot")
VIDEO = "11111111-1111-4111-8111-111111111111"
EVIL = "\x1b]0;owned\x07 \x1b[2J \x9b31m a\rb \x00 \x7f half \ud800 end"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
BODY: dict[str, Any] = {
    "videoId": VIDEO, "status": "failed", "isTerminal": True, "progress": 20, "currentStep": EVIL,
    "awaitingReview": False,
    "totalScenes": 1, "etaSeconds": None, "etaRangeSeconds": None, "title": EVIL, "prompt": EVIL, "niche": EVIL,
    "aspectRatio": "16:9", "duration": 15, "storyScript": EVIL, "videoUrl": None, "errorMessage": EVIL, "notice": EVIL,
    "costUsd": "0", "estimatedCostUsd": "0", "lastSeq": 1, "estimateUsd": "1", "provider": EVIL, EVIL: EVIL,
    "scenes": [
        {"sceneNumber": 1, "description": EVIL, "cameraAngle": "wide", "duration": 15, "action": EVIL, "state": EVIL,
         "progress": 0, "videoUrl": None}
    ],
}  # fmt: skip


class Hostile(BaseHTTPRequestHandler):
    """Answers every call with control characters in every text."""

    def do_GET(self) -> None:
        if self.path.startswith("/api/v1/videos?"):
            self._answer(200, {"videos": [BODY], "total": 1} | BODY)
        else:
            self._answer(200, BODY)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.endswith("/cancel"):
            self._answer(
                409, {"title": EVIL, "detail": EVIL, "errors": [{"field": EVIL, "code": EVIL, "detail": EVIL}]}
            )
        elif self.path.endswith("/approve"):
            self._send(400, EVIL.encode(errors="replace"))
        else:
            self._answer(200, BODY)

    def _answer(self, status: int, body: object) -> None:
        self._send(status, json.dumps(body).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("list", "--json"), ("get", VIDEO), ("get", VIDEO, "--json"), ("get", VIDEO, "--storyboard"),
     ("estimate", "a fox"), ("storyboard", "a fox"), ("cancel", VIDEO), ("approve", VIDEO)],
    ids=" ".join,
)  # fmt: skip
def test_control_characters_are_replaced_in_what_a_server_sends(hostile: str, arguments: tuple[str, ...]) -> None:
    environment = {"PATH": os.environ["PATH"], "MULTISHOT_URL": hostile}
    done = subprocess.run([MULTISHOT, *arguments], env=environment, capture_output=True, check=False, timeout=60)
    shown = (done.stdout + done.stderr).decode()
    assert "Traceback" not in shown
    assert "\ufffd" in shown
    assert not STEERING.search(shown), ascii(shown)
