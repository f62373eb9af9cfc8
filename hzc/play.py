"""Serves the page of web/ on this machine, with some .hzc files: the work of `hzc play`.

The page is built by `make web` into hzc/page, which wheels take along. It has no networks of its
own: they come from the weight file, so that what is heard is what `hzc decode` writes.
"""

from __future__ import annotations

import gzip
import os
import sys
import webbrowser
from collections.abc import Callable, Sequence
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as package_files
from pathlib import Path
from urllib.parse import quote, urlsplit

from hzc.errors import ModelError, OutputError
from hzc.files import reason
from hzc.model.file import Model

HOST = "127.0.0.1"
PAGE = Path(str(package_files("hzc") / "page"))
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".txt": "text/plain",
}
HEADERS = {
    "Cache-Control": "no-store",
    # With these two, browsers allow shared memory, and with it threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Content-Type-Options": "nosniff",
}

Contents = Callable[[], bytes]


def has_page() -> bool:
    """Whether this installation has the page."""
    return (PAGE / "index.html").exists()


def has_browser() -> bool:
    """Whether there is a browser with a screen; those of terminals cannot run the page."""
    if sys.platform.startswith("linux"):
        return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


class PageServer(ThreadingHTTPServer):
    """Gives the page, a model and some files to browsers of this machine; nothing else."""

    daemon_threads = True

    def __init__(self, model: Model, named: Sequence[tuple[str, bytes]], port: int = 0) -> None:
        """Listen, on a free port where it is 0.

        Args:
            model: What the files need.
            named: Name and bytes of every .hzc file.
            port: Of the loopback interface.

        Raises:
            ModelError: the model has no ONNX graphs.
            OutputError: the port is taken.
        """
        self.contents = _page() | _model(model)
        places = [f"files/{i}/{os.path.basename(name)}" for i, (name, _) in enumerate(named)]
        for place, (_, data) in zip(places, named, strict=True):
            self.contents[f"/{quote(place, errors='surrogateescape')}"] = partial(bytes, data)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise OutputError(f"port {port} cannot be opened ({reason(error)})") from error
        self.origin = f"{HOST}:{self.server_address[1]}"
        query = "&".join(f"url={quote(quote(p, errors='surrogateescape'), '/')}" for p in places)
        self.url = f"http://{self.origin}/?{query}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing where a browser hangs up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _page() -> dict[str, Contents]:
    found: dict[str, Contents] = {f"/{path.name}": path.read_bytes for path in PAGE.iterdir()}
    return found | {"/": found["/index.html"]}


def _model(model: Model) -> dict[str, Contents]:
    contents: dict[str, Contents] = {}
    for part in ("analysis", "synthesis"):
        graph = model.graph_path(part)
        if not graph.exists():
            raise ModelError(
                "the model has no ONNX graphs", path=graph, hint="hzc train export writes them"
            )
        contents[f"/model/{part}.onnx.gzip"] = partial(_wrapped, graph)
        contents[f"/model/{part}.safetensors.gzip"] = partial(_wrapped, model.path)
    return contents


@cache
def _wrapped(path: Path) -> bytes:
    """Return a file as the page wants it, in gzip; on one machine packing would only take time."""
    return gzip.compress(path.read_bytes(), compresslevel=0)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        """Answer with one of the server's contents."""
        path = urlsplit(self.path).path
        # Another name for this machine's address would let a foreign page in.
        if self.headers.get("Host") != self.server.origin or path not in self.server.contents:
            self.send_error(404)
            return
        data = self.server.contents[path]()
        suffix = Path(path).suffix if path != "/" else ".html"
        self.send_response(200)
        self.send_header("Content-Type", TYPES.get(suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(data)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""
