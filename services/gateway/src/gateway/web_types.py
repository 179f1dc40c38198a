"""Generates the TypeScript types of API clients: `python -m gateway.web_types [--check] <file>`."""

import sys
from pathlib import Path

from gateway.procedures import router
from gateway.trpc.typescript import IMPORTS, ROOT, Types, paragraphs, router_types
from gateway.videos.event_payloads import PAYLOADS

HEAD = """\
// The types of the gateway's tRPC API and of its Socket.IO events. Written by `make types`; do not edit.
//   import type { AppRouter } from './app-router';                     // with @trpc/client 11.0 and later, superjson
//   import type { ServerToClientEvents, ClientToServerEvents } from './app-router';     // with socket.io-client 4"""

CLIENT_TO_SERVER = """\
/** A video, and the last `seq` that the client has: later events are sent first. */
export interface VideoSubscription {
  videoId: string;
  lastSeq?: number;
}

export type Answer = { ok: true } | { ok: false; error: string };

/** A video by its bare id or with the last known `seq`; without argument: all videos that the caller may see. */
export interface ClientToServerEvents {
  subscribe_video_updates: (video?: VideoSubscription | string | null, answer?: (answer: Answer) => void) => void;
  unsubscribe_video_updates: (video?: VideoSubscription | string | null, answer?: (answer: Answer) => void) => void;
}"""

VIDEO_EVENT = """\
/** The events of `video.events`: the same as on the socket. */
export type VideoEvent = {
  [Name in keyof ServerToClientEvents]: { type: Name; data: Parameters<ServerToClientEvents[Name]>[0] };
}[keyof ServerToClientEvents];"""


def text() -> str:
    """Return the generated file."""
    of_calls, of_events = Types(), Types(date="string")
    app_router = router_types(router, of_calls)
    handlers = "\n".join(f"  {name}: (payload: {of_events.model(model)}) => void;" for name, model in PAYLOADS.items())
    named = of_calls.named | of_events.named
    if clash := [name for name in of_calls.named if named[name] != of_calls.named[name]]:
        raise ValueError(f"two types are called {clash}")
    server_to_client = "export interface ServerToClientEvents {\n" + handlers + "\n}"
    events = (server_to_client, CLIENT_TO_SERVER, VIDEO_EVENT)
    return paragraphs((HEAD, IMPORTS, ROOT, app_router, *events, *named.values()))


def main(arguments: list[str]) -> None:
    """Write the file; with `--check`, only check that it is up to date."""
    path = Path(arguments[-1])
    if arguments[0] != "--check":
        path.write_text(text())
    elif not path.exists() or path.read_text() != text():
        sys.exit(f"{path} is out of date: run make types.")


if __name__ == "__main__":
    main(sys.argv[1:])
