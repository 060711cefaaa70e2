"""A web back-end that says who it is: `python -m cli.demo.web NAME PORT...`, run inside a workload's namespace."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WhoAmI(BaseHTTPRequestHandler):
    """Answers any GET with its name and with the client as it sees it: nothing stands between the two."""

    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self) -> None:  # the name the base class looks for
        client, client_port = self.client_address[:2]
        body = f"{self.name} port {self.connection.getsockname()[1]}: hello {client}:{client_port}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet: the story is told elsewhere."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    WhoAmI.name, *ports = sys.argv[1:]
    servers = [Server(("0.0.0.0", int(port)), WhoAmI) for port in ports]  # noqa: S104  # all of the pod's own namespace
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
