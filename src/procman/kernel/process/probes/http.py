"""One GET to an instance, without blocking: its status decides, its body is not read, and redirects are not followed.

A certificate of loopback proves nothing, so it is not checked.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import ModuleType
from urllib.parse import urlsplit

import h11

from procman import __version__
from procman.core.policies import HttpProbe
from procman.kernel.loop.reactor import READ, WRITE, Reactor
from procman.kernel.process.probes.attempts import OnAnswer, ProbeAnswer, ProbedProcess, failed, passed
from procman.kernel.process.probes.tcp import LOOPBACK, Connecting, addresses_of

CHUNK = 4096

PORTS = {"http": 80, "https": 443}


class HttpTarget:
    """Where a probe goes: `url` is a path on the instance's port, or a whole URL. Raises ValueError with what is wrong."""

    def __init__(self, url: str, port: int | None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{LOOPBACK[0]}{url if url.startswith('/') else '/' + url}")
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError(f"cannot use '{url}': expected a path, or http://… or https://…")
        self.secure = parts.scheme == "https"
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.host = parts.hostname
        self.addresses = addresses_of(parts.hostname)
        found = parts.port or (PORTS[parts.scheme] if "://" in url else port)
        if found is None:
            raise ValueError("it has no port")
        self.port = found
        self.shown = url

    @property
    def authority(self) -> str:
        """`localhost:5000`: a framework that checks the Host header accepts at least this one."""
        host = "localhost" if self.is_loopback else self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


class HttpAttempt:
    """One request, from the connection to the status line and its headers."""

    def __init__(self, reactor: Reactor, probe: HttpProbe, process: ProbedProcess, answer: OnAnswer) -> None:
        self._reactor = reactor
        self._probe = probe
        self._port = process.port
        self._answer = answer
        self._connecting: Connecting | None = None
        self._socket: socket.socket | None = None
        self._target: HttpTarget | None = None
        self._http = h11.Connection(h11.CLIENT)
        self._unsent = b""
        self._tls: ModuleType | None = None  # the connection over which HTTP is spoken

    def start(self) -> None:
        try:
            target = self._target = HttpTarget(self._probe.url, self._port)
        except ValueError as error:
            self._answer(failed(f"http: {error}"))
            return
        self._connecting = Connecting(self._reactor, target.addresses, target.port, self._connected)
        self._connecting.start()

    def cancel(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self._close()

    def _connected(self, made: socket.socket | None, why: str) -> None:
        target = self._target
        assert target is not None
        if made is None:
            self._done(failed(why))
            return
        headers = [
            ("Host", target.authority),
            ("User-Agent", f"procman/{__version__}"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ]
        try:
            request = h11.Request(method="GET", target=target.path, headers=headers)
            self._unsent = self._http.send(request) + self._http.send(h11.EndOfMessage())
            if target.secure:
                from procman.kernel.process.probes import tls  # noqa: PLC0415  for https alone

                self._tls = tls
                made = tls.wrapped(made, target.host, check=not target.is_loopback)
            self._reactor.register(made.fileno(), WRITE, self._guarded(self._go_on))
        except (OSError, ValueError, h11.LocalProtocolError) as error:
            made.close()
            self._done(failed(str(error)))
            return
        self._socket = made

    def _guarded(self, step: Callable[[socket.socket], None]) -> Callable[[], None]:
        """Run one step; an error in it is the answer."""

        def guarded() -> None:
            made = self._socket
            assert made is not None
            try:
                step(made)
            except BlockingIOError:
                return
            except h11.RemoteProtocolError:
                self._done(failed("answered, but not in HTTP"))
            except OSError as error:
                wanted = self._tls.waits_for(error) if self._tls is not None else None
                if wanted is None:
                    self._done(failed(self._described(error)))
                else:
                    self._reactor.modify(made.fileno(), wanted, guarded)

        return guarded

    def _described(self, error: OSError) -> str:
        of_tls = self._tls.described(error) if self._tls is not None else ""
        return of_tls or (error.strerror or str(error)).lower()

    def _go_on(self, made: socket.socket) -> None:
        """Do the handshake, if any, then send the request."""
        if self._tls is not None:
            self._tls.shake_hands(made)
        while self._unsent:
            self._unsent = self._unsent[made.send(self._unsent) :]
        self._reactor.modify(made.fileno(), READ, self._guarded(self._read))

    def _read(self, made: socket.socket) -> None:
        data = made.recv(CHUNK)
        if not data and self._http.their_state is h11.SEND_RESPONSE:
            self._done(failed("closed the connection without an answer"))
            return
        self._http.receive_data(data)
        while (event := self._http.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Response):
                answer = passed if self._is_good(event.status_code) else failed
                self._done(answer(f"answered {event.status_code}"))
                return

    def _is_good(self, status: int) -> bool:
        return status in self._probe.status if self._probe.status else 200 <= status < 400

    def _done(self, answer: ProbeAnswer) -> None:
        self._close()
        shown = self._target.shown if self._target is not None else ""
        colon = "" if answer.text.startswith("answered") else ":"
        self._answer(ProbeAnswer(answer.ok, f"http {shown}{colon} {answer.text}"))

    def _close(self) -> None:
        if self._socket is not None:
            self._reactor.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None
