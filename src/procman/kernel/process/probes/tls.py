"""TLS for a probe's connection, without blocking. Only loaded for https: OpenSSL takes 3.8 MB of memory."""

from __future__ import annotations

import socket
import ssl

from procman.kernel.loop.reactor import READ, WRITE


def wrapped(made: socket.socket, host: str, *, check: bool) -> ssl.SSLSocket:
    """The connection, with its handshake still to be made. `check`: whether its certificate must prove the host."""
    context = ssl.create_default_context()
    if not check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(made, server_hostname=host, do_handshake_on_connect=False)


def shake_hands(made: socket.socket) -> None:
    """Continue the handshake; does nothing once it is done."""
    if isinstance(made, ssl.SSLSocket):
        made.do_handshake()


def waits_for(error: OSError) -> int | None:
    """READ or WRITE where TLS only has to wait for that; None for a real error."""
    if isinstance(error, ssl.SSLWantReadError):
        return READ
    return WRITE if isinstance(error, ssl.SSLWantWriteError) else None


def described(error: OSError) -> str:
    """`TLS: WRONG_VERSION_NUMBER`, or "" for other errors."""
    return f"TLS: {error.reason or error}" if isinstance(error, ssl.SSLError) else ""
