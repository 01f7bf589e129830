#!/usr/bin/env bash
# huggingface_hub 2.4.0: hf_hub_download of a branch gives an old file, and says nothing, when the server is away.
#
# A server on loopback has a model whose file `a.txt` holds 1; it is downloaded from the branch main. Then the file holds 2, and is
# another commit. Seen, of hf_hub_download(..., revision="main") without local_files_only:
#
#   the server is there                   2
#   the server answers 503                1, of the older commit (in a cache where 1 is the newest)
#   nothing listens at its port           1, likewise
#
# No exception, no warning, nothing in the log at its default level: who measures a model "at main" may measure last month's. Ask for the
# commit first (HfApi().model_info(...).sha), which does raise, and say so where a copy is used.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet huggingface_hub==2.4.0
cd "$place"
cat > seen.py <<'PYTHON'
import hashlib
import os
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(BaseHTTPRequestHandler):
    content, broken = b"1", False

    def do_GET(self):
        content = type(self).content
        if not self.path.endswith("a.txt"):
            content = b""  # nothing else is to be had
        self.send_response(503 if type(self).broken else 200 if content else 404)
        self.send_header("X-Repo-Commit", hashlib.sha1(content).hexdigest())
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_address[1]}"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HOME"] = "home"
import huggingface_hub

warnings.simplefilter("error")


def got(cache):
    return Path(huggingface_hub.hf_hub_download("me/model", "a.txt", revision="main", cache_dir=cache)).read_text()


assert got("cache") == got("newer") == "1"
Server.content = b"2"
print("there:", there := got("newer"))
Server.broken = True
print("answers 503:", broken := got("cache"))
server.shutdown()
server.server_close()
print("nothing listens:", gone := got("cache"))
assert (there, broken, gone) == ("2", "1", "1"), (there, broken, gone)
PYTHON
"$place/venv/bin/python" seen.py 2> said.txt || { cat said.txt; exit 1; }
test ! -s said.txt || { cat said.txt; exit 1; }
