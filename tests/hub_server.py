"""As much of the Hugging Face Hub, on loopback, as downloads need: models of one commit each, at `main` and a tag."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest


class Hub:
    """Models by `owner/name`, each the files of a folder; a file that is changed there is another commit."""

    def __init__(self) -> None:
        self.models: dict[str, Path] = {}
        self.cut_off: set[str] = set()
        """Files of which the server sends half, though it says how long they are."""
        self.url = ""

    def commit(self, model: str) -> str:
        """What the files are at present hashed to."""
        folder = self.models[model]
        content = [path.relative_to(folder).as_posix().encode() + path.read_bytes() for path in sorted(_files(folder))]
        return hashlib.sha1(b"".join(content)).hexdigest()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _answer(self, body: bool) -> None:
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        is_info = parts[:2] == ["api", "models"]
        model = "/".join(parts[2:4] if is_info else parts[:2])
        if model not in self.hub.models:
            return self._refuse("RepoNotFound")
        commit = self.hub.commit(model)
        revision = (parts[5:6] or ["main"])[0] if is_info else parts[3]
        if revision not in ("main", "v1", commit):
            return self._refuse("RevisionNotFound")
        if is_info:
            return self._send(json.dumps({"id": model, "sha": commit, "siblings": []}).encode(), commit, body)
        file = self.hub.models[model].joinpath(*parts[4:])
        if not file.is_file():
            return self._refuse("EntryNotFound")
        self._send(file.read_bytes(), commit, body, cut=file.name in self.hub.cut_off)

    def _send(self, content: bytes, commit: str, body: bool, cut: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if cut else content)

    def _refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def served(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that the library talks to, with an empty cache."""
    from huggingface_hub import constants

    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(cache / "agents.json"), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
