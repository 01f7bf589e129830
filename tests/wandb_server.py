"""As much of a W&B server, on loopback, as `wandb agent` talks to: it hands out runs one after another, then ends."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY, PROJECT, SWEEP = "somebody", "air", "abcd1234"
VIEWER = {
    "id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "admin": False,
    "teams": {"edges": [{"node": {"name": ENTITY}}]},
}  # fmt: skip


class SweepServer:
    """Answers of the server, and what it saw.

    Args:
        config: text of the sweep's YAML. program: of it. runs: parameters of each run, by name.
    """

    def __init__(self, config: str, program: str, runs: Sequence[dict[str, Any]]) -> None:
        self.config, self.program, self.runs = config, program, runs
        self.given = 0
        self.over: list[str] = []  # runs that the agent has said to be in progress, and then no more
        self.seen: set[str] = set()
        self.unknown: list[str] = []

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data for a GraphQL request."""
        if "createAgent" in query:
            return {"createAgent": {"agent": {"id": "agent"}}}
        if "agentHeartbeat" in query:
            state = json.loads(variables["runState"])
            return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(self._commands(state))}}
        if "sweep(" in query:
            sweep = {"id": "1", "name": SWEEP, "state": "RUNNING", "config": self.config, "runs": {"edges": []}}
            return {"project": {"sweep": sweep}}
        if "viewer" in query:
            return {"viewer": VIEWER}
        self.unknown.append(query)
        return {}

    def _commands(self, state: dict[str, bool]) -> list[dict[str, Any]]:
        """What the agent is to do, given the runs that it has in progress."""
        self.over += sorted(self.seen - set(state) - set(self.over))
        self.seen |= set(state)
        if state or len(self.over) < self.given:
            return []
        if self.given == len(self.runs):
            return [{"type": "exit"}]
        values = {name: {"value": value} for name, value in self.runs[self.given].items()}
        self.given += 1
        return [{"type": "run", "run_id": f"run{self.given}", "program": self.program, "args": values}]


@contextmanager
def serve(server: SweepServer) -> Iterator[str]:
    """Its address, while it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply: dict[str, Any] = {}
            if self.path == "/graphql":  # the rest is telemetry
                request = json.loads(body)
                reply = {"data": server.answer(request["query"], request.get("variables") or {})}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
