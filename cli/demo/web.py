"""A web back-end that says who it is: `python -m cli.demo.web NAME PORT...`, run inside a workload's namespace."""

import socket
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
        client = client.removeprefix("::ffff:")  # IPv4, as a socket of both families sees it
        body = f"{self.name} port {self.connection.getsockname()[1]}: hello {client}:{client_port}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet: the story is told elsewhere."""


class Server(ThreadingHTTPServer):
    """Of both families, where the kernel has IPv6."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    daemon_threads = True
    request_queue_size = 1024

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    WhoAmI.name, *ports = sys.argv[1:]
    servers = [Server(("", int(port)), WhoAmI) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
