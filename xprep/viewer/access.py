"""Who may ask: requests with the token, to this machine's own names, from no other page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Access:
    """The rule of one server.

    Attributes
    ----------
    token
        The first part of every path.
    behind_proxy
        Whether a notebook server passes requests on, under names that are not known here; the token is still asked for.
    """

    token: str
    behind_proxy: bool = False

    def path_below(self, path: str) -> str | None:
        """Return a path without the token; None where that is not the right one.

        >>> Access("abc").path_below("/abc/images/0/zarr.json"), Access("abc").path_below("/abd/")
        ('images/0/zarr.json', None)
        """
        given, _, rest = path.lstrip("/").partition("/")
        return rest if compare_digest(given.encode(), self.token.encode()) else None

    def refusal(self, headers: Mapping[str, str]) -> str:
        """Return why a request with these headers is refused, "" where it is not.

        A page elsewhere whose name was made to mean this machine sends its own name as Host; one that asks from elsewhere has
        its own as Origin.

        >>> Access("abc").refusal({"Host": "localhost:8080"}), Access("abc").refusal({"Host": "evil.example"})
        ('', 'this server answers to 127.0.0.1 and localhost only')
        """
        host, origin = headers.get("Host", ""), headers.get("Origin")
        if not self.behind_proxy and _name(host) not in LOOPBACK:
            return "this server answers to 127.0.0.1 and localhost only"
        if origin is not None and urlsplit(origin).netloc != host:
            return "this server answers to its own page only"
        return ""


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
