"""A web server that finishes the requests that it has begun when it is told to stop."""

import http.server
import os
import signal
import threading
import time

NAME = os.environ["PS"]


class Handler(http.server.BaseHTTPRequestHandler):
    wbufsize = -1  # head and body in one write: a health check may hang up after the head

    def do_GET(self) -> None:
        if self.path.startswith("/slow/"):
            time.sleep(int(self.path.removeprefix("/slow/")) / 1000)
        body = f"hello from {NAME}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A line for each request would be too many."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # so that `server_close` waits for those who answer
    request_queue_size = 128


server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"listening on {server.server_port}")
server.serve_forever()
print("finishing")
server.server_close()
