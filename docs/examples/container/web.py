"""A web server that says who it is, and finishes what it has begun when it is told to stop."""

import http.server
import os
import signal
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    wbufsize = -1  # head and body in one write: a health check may hang up after the head

    def do_GET(self) -> None:
        body = f"hello from {os.environ['PS']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A line for each request would be too many."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # so that `server_close` waits for those who answer


server = Server(("0.0.0.0", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"listening on {server.server_port}")
server.serve_forever()
server.server_close()
print("web says goodbye")
