"""The OpenAPI document is valid, and the API conforms to it."""

import asyncio
import re
import shutil
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway import app as gateway_app
from gateway.app import Gateway
from gateway.settings import Settings
from shared.contracts.events import VideoCancelled, VideoRequested
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.persistence.unit_of_work import transaction

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).with_name("clients")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
]


async def test_the_document_is_valid_and_every_operation_is_described(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {"requestVideo", "getVideo", "listVideos", "cancelVideo", "followVideo"} <= set(names)
    for operation in operations:
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (operation["operationId"], status)
    # What a page is tried out with has to be right itself.
    examples = document["components"]["schemas"]["VideoRequest"]["examples"]
    assert [(await api.post("/api/v1/videos", json=one)).status_code for one in examples] == [202] * len(examples)
    assert len(examples) > 1


async def test_every_reference_of_the_document_resolves(api: httpx.AsyncClient) -> None:
    # The validator above looks at the paths alone.
    document = (await api.get("/openapi.json")).json()
    found = list(_references(document))
    assert len(found) > 100
    assert [one for one in found if not _is_there(document, one)] == []


def _references(value: Any) -> Iterator[str]:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and isinstance(value.get("$ref"), str):
        yield value["$ref"]
    for member in members:
        yield from _references(member)


def _is_there(document: Any, reference: str) -> bool:
    here = document
    for name in reference.removeprefix("#/").split("/"):
        if name not in here:
            return False
        here = here[name]
    return True


async def test_a_client_is_generated_from_the_document_and_works(
    api: httpx.AsyncClient, url: str, node: Callable[..., Any], tmp_path: Path
) -> None:
    document = (await api.get("/openapi.json")).text
    said = await node("openapi/generate.mjs", str(tmp_path / "schema.d.ts"), given=document)
    assert said == {"valid": True, "errors": [], "fault": None}
    for name in ("client.ts", "tsconfig.json"):
        shutil.copy(CLIENTS / "openapi" / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(CLIENTS / "openapi" / "node_modules")
    deps = CLIENTS / "node_modules"
    tsc, esbuild = deps / "typescript" / "bin" / "tsc", deps / "esbuild" / "bin" / "esbuild"
    checked = subprocess.run([tsc, "-p", tmp_path], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
    bundle = (esbuild, tmp_path / "client.ts", "--bundle", "--format=esm", "--log-level=warning")
    subprocess.run([*bundle, f"--outfile={tmp_path}/client.mjs"], check=True)
    assert await node(str(tmp_path / "client.mjs"), url) == {
        "made": [202, "pending"],
        "shown": "a fox",
        "list": [1, True],
        "cancelled": [202, "cancelled"],
        "missing": [404, "/problems#video-not-found"],
        "fields": ["prompt"],
    }


async def test_the_docs_page_loads_nothing_from_other_hosts(api: httpx.AsyncClient) -> None:
    page = (await api.get("/docs")).text
    assert re.findall(r"https?://[^\"' ]+", page) == []
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) >= 2
    for asset in assets:
        answer = await api.get(asset)
        assert answer.status_code == 200
        assert len(answer.content) > 1000
    assert "/openapi.json" in page


class Served:
    """A gateway in a thread, with two films, a cancelled video, and one that awaits review."""

    def __init__(self, folder: Path, film_events: Any) -> None:
        self.folder = folder
        self.film_events = film_events
        self.ready = threading.Event()
        self.ended: list[str] = []
        self.awaiting: list[str] = []
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        gateway = Gateway(
            Settings(
                database_url=SecretStr(f"sqlite+aiosqlite:///{self.folder}/gateway.db"),
                storage_url=(self.folder / "media").as_uri(),
                media_secret=SecretStr("secret"),
                storyboard_wait_seconds=0,
            )
        )
        await migrate(gateway.database, folder_of(gateway_app.__file__))
        await self._fill(gateway)
        app = gateway.app(gateway.storage, routes=[])
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
        serving = asyncio.create_task(self.server.serve())
        while not self.server.started:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        self.ready.set()
        await serving
        await gateway.database.close()

    async def _fill(self, gateway: Gateway) -> None:
        for kind in ("film", "film", "cancelled", "review"):
            wish = VideoRequested(video_id=uuid4(), prompt="a fox", scene_count=2)
            await gateway.videos.request(wish)
            events = await self.film_events(gateway, str(wish.video_id), self.folder)
            if kind == "cancelled":
                events = [VideoCancelled(video_id=wish.video_id, by="t", reason="r")]
            elif kind == "review":
                events = [events[0].model_copy(update={"review": True})]
            for event in events:
                async with transaction(gateway.database) as work:
                    await gateway.projector.record(work, event)
            (self.awaiting if kind == "review" else self.ended).append(str(wish.video_id))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, film_events: Any) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("openapi"), film_events)
    served.thread.start()
    assert served.ready.wait(30)
    yield served
    served.server.should_exit = True
    served.thread.join(10)


def test_answers_to_generated_requests_conform_to_the_document(running: Served, pytestconfig: pytest.Config) -> None:
    document = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    count = 300 if pytestconfig.getoption("--all") else 12
    answers: dict[str, Counter[int]] = defaultdict(Counter)

    operations = [found.ok() for found in document.get_all_operations()]
    for operation in sorted(operations, key=lambda one: one.method == "delete"):
        good = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
        bad = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
        # The stream of a video that goes on has no end.
        live = [] if operation.path.endswith("/events") else running.awaiting
        known = st.sampled_from([*running.ended, *live, None])

        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=good | bad, video_id=known)
        def ask(case: Any, video_id: str | None) -> None:
            if video_id is not None and "video_id" in (case.path_parameters or {}):
                case.path_parameters["video_id"] = video_id
            response = case.call(timeout=20)
            case.validate_response(response, checks=CHECKS)
            answers[case.operation.label][response.status_code] += 1

        ask()
    assert len(answers) == len(operations)
    # Not only refused: what is asked gets through to where something is done.
    accepted = sum(any(status < 400 for status in of_one) for of_one in answers.values())
    assert accepted > len(answers) / 2, answers
