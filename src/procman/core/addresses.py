"""Addresses that may contain a password: passed on unchanged, and never shown unchanged. Every message, event and repr
goes through `Address`. Knows no network.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from urllib.parse import SplitResult

HIDDEN = "***"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")


class Address:
    """A URL. Raises ValueError, without the text, where it has another scheme or no host."""

    __slots__ = ("_secrets", "parts", "port", "shown", "url")

    def __init__(self, url: str, schemes: tuple[str, ...]) -> None:
        from urllib.parse import unquote, urlsplit  # noqa: PLC0415  3 ms, which a start with a procman.yml need not pay

        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        try:
            self.parts: Final[SplitResult] = urlsplit(url)
            self.port: Final[int | None] = self.parts.port
        except ValueError:  # its text quotes the URL
            raise ValueError(f"expected a URL that begins with {wanted}") from None
        if self.parts.scheme not in schemes or not (self.parts.hostname or self.parts.scheme == "unix"):
            raise ValueError(f"expected a URL that begins with {wanted}")
        if any(not character.isprintable() or character == " " for character in url):
            raise ValueError("expected a URL without spaces and control characters")
        self.url: Final = url
        self.shown: Final = _shown(self.parts, self.port)
        words = (self.parts.password, self.parts.username if self.parts.password is None else None, self.parts.query)
        secrets = {form for word in words if word for form in (word, unquote(word))}
        self._secrets: Final = tuple(sorted((s for s in secrets if len(s) > 2), key=len, reverse=True))

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    def scrub(self, text: str) -> str:
        """A library's message without the secrets of the URL, on one line of limited length."""
        text = text.replace(self.url, self.shown)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return "".join(c if c.isprintable() else " " for c in text)[:200].strip()


def _shown(parts: SplitResult, port: int | None) -> str:
    """Scheme, host, port and path, without a user name, a password and a query (which is often a token)."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}"


def masked(url: str) -> str:
    """A URL, or text that is not a valid URL, for a repr."""
    from urllib.parse import urlsplit  # noqa: PLC0415  as above

    try:
        parts = urlsplit(url)
        return _shown(parts, parts.port)
    except ValueError:
        return HIDDEN


def variables_in(text: str) -> list[str]:
    """The names that `expanded` replaces."""
    return [match[1] or match[2] for match in _VARIABLE.finditer(text)]


def expanded(text: str, environ: dict[str, str]) -> str:
    """The text with `$NAME` and `${NAME}` replaced: a password can stay elsewhere. KeyError where one is not set."""
    return _VARIABLE.sub(lambda match: environ[match[1] or match[2]], text)
