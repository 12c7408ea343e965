"""Texts without secrets: URLs without user, password and query; messages without what a run was given, however it is spelled."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote, quote_plus, unquote

_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*)://")
# Of fsspec's chains, "zip::s3://…"; "::" may stand in a password and in a host, http://[::1]/, too.
_CHAIN: Final = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.\-]*(?:::|://))")
_AZURE: Final = ("az", "abfs", "abfss")
_PORT: Final = re.compile(r"[0-9]+([/?#]|$)")
_TOKEN: Final = r"[^\s'\"<>,;)\]}]"
# A URL ends where a sentence goes on. A password may hold what ends a sentence, so that "scheme://user:" reaches up to its "@",
# unless digits follow as a port's do: "http://host:80, ask ann@lab".
_ANY_URL: Final = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^\s/@:?#\[\]'\"<>]+:(?![0-9]+(?:[\s/?#:,;.)\]'\"]|$))[^\n@]{{0,400}}@)?{_TOKEN}+"
)
# Signed queries of which the URL's beginning was cut off, and parts of them; the headers that carry the same.
_QUERY: Final = re.compile(r"\?[\w.%\-]+=(?:[^\s'\"<>])+")
_NAMED: Final = re.compile(
    r"(?<![\w.\-])((?:X-(?:Amz|Goog)-[\w\-]+|sig|signature|credential|token|(?:access|id|session|refresh)_token|AWSAccessKeyId|"
    r"AccountKey|SharedAccess(?:Key|Signature)|password|passwd|(?:client_)?secret|aws_secret_access_key|aws_session_token|api_?key)"
    r"=)[^\s&'\",;)]+",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(
    r"(\bauthorization['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic|aws4[\w\-]*)\s+)?[^\s'\",]+", re.IGNORECASE
)
# Keys of options whose values are secrets, however short they are.
_SENSITIVE: Final = re.compile(r"secret|password|passwd|token|account_key|sas|credential", re.IGNORECASE)
HIDDEN: Final = "***"


def redact(url: str | Path) -> str:
    """Return ``url`` without user, password and query: what may be printed, logged or stored.

    Examples
    --------
    >>> redact("https://ann:secret@host/x.zarr?sig=abc"), redact("s3://AKIA:7/secret@lab/x.zarr")
    ('https://host/x.zarr', 's3://lab/x.zarr')
    """
    text = str(url)
    if len(chain := _CHAIN.split(text)) > 1:
        return "::".join(map(redact, chain))
    if not (match := _SCHEME.match(text)):
        return text
    rest = text[match.end() :]
    if match.group(1).lower() in _AZURE and ":" not in rest.partition("@")[0]:
        return match.group(0) + _without_query(rest)  # abfs://container@account/…
    return match.group(0) + _without_query(without_user(rest))


def without_user(rest: str) -> str:
    """Return what follows the user and password in ``rest``, a URL behind its scheme.

    A password may hold what ends a host: slashes (AWS secrets do), ``?``, ``#``, ``@``. So whatever has a colon in its first
    part and an ``@`` in its path may be one, also where digits follow the colon as a port's do; see `is_doubtful`.
    """
    path = _without_query(rest)
    host, slash, tail = path.partition("/")
    user, colon, password = host.partition(":")
    if colon and user and "@" in path:
        return rest[path.rindex("@") + 1 :]
    if colon and user and "@" in rest and not _PORT.match(password + slash):
        return rest.rsplit("@", 1)[1]
    return host.rsplit("@", 1)[-1] + slash + tail + rest[len(path) :]


def is_doubtful(url: str) -> bool:
    """Whether ``url`` may be a host with a port and an ``@`` in its path, or a user with a password of digits and slashes.

    Examples
    --------
    >>> is_doubtful("http://host:80/a@b/x.zarr"), is_doubtful("http://host:80/x.zarr"), is_doubtful("http://u:p@host:80/x.zarr")
    (True, False, False)
    """
    host, slash, path = url.partition("://")[2].partition("/")
    return bool(slash) and "@" not in host and "@" in path and re.fullmatch(r".+:[0-9]+", host) is not None


def _without_query(rest: str) -> str:
    return re.split(r"[?#]", rest, maxsplit=1)[0]


def find_secrets(url: str) -> list[str]:
    """Return what `redact` takes out of a URL: user and password, as they are written and decoded, and the query's values.

    Examples
    --------
    >>> find_secrets("https://ann:se%2Fcret@host/x.zarr?sig=abc")
    ['ann:se%2Fcret', 'ann:se/cret', 'ann', 'se%2Fcret', 'se/cret', 'sig=abc', 'abc']
    """
    rest = url.partition("://")[2]
    found: list[str] = []
    if not _shows_all(url, rest):
        user = rest.removesuffix(without_user(rest)).removesuffix("@")
        found = [user, unquote(user)]
        for part in user.split(":", 1):
            found += [part, unquote(part)]
    for pair in filter(None, re.split(r"[&#]", rest.partition("?")[2])):
        value = pair.partition("=")[2]
        found += [pair, value, unquote(value)]
    return list(dict.fromkeys(filter(None, found)))


def _shows_all(url: str, rest: str) -> bool:
    return url.partition(":")[0].lower() in _AZURE and ":" not in rest.partition("@")[0]


def redact_text(text: str, secrets: Any = None) -> str:
    """Return ``text``, somebody else's message, with its URLs redacted and none of ``secrets`` in it.

    Parameters
    ----------
    text : str
        A message.
    secrets : mapping, list or str, optional
        What the run was given: options of a store, nested or not, and URLs or paths. Values of options of six characters or more
        are taken out, shorter ones where the key says that they are secret, of URLs what `redact` takes out, of paths nothing;
        as they are, and as ``%``, ``+``, ``repr``, bytes, base64, hexadecimal, JSON and HTML spell them.

    Examples
    --------
    >>> redact_text("no key 'hush%2Fhush' at https://ann:pw@lab/x?sig=1, sig=abc", {"key": "hush/hush"})
    "no key '***' at https://lab/x, sig=***"
    """
    spelled = {form for secret in _values(secrets) for form in _spellings(secret)}
    if spelled:
        longest_first = sorted(spelled, key=lambda form: (-len(form), form))
        text = re.sub("|".join(map(_pattern, longest_first)), HIDDEN, text)
    text = _ANY_URL.sub(lambda match: redact(match.group(0)), text)
    text = _QUERY.sub(f"?{HIDDEN}", text)
    return _HEADER.sub(rf"\1{HIDDEN}", _NAMED.sub(rf"\1{HIDDEN}", text))


def without_secrets(value: Any, secrets: Any = None) -> Any:
    """Return ``value`` as JSON knows it, every text redacted; of what JSON does not know, only the type.

    Examples
    --------
    >>> without_secrets({"url": "s3://ann:pw@lab/x", "size": (1, None), "rois": object()})
    {'url': 's3://lab/x', 'size': [1, None], 'rois': '<object>'}
    """
    if isinstance(value, Mapping):
        return {str(key): without_secrets(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item, secrets) for item in value]
    if isinstance(value, str):
        return redact_text(redact(value), secrets)
    return value if value is None or isinstance(value, bool | int | float) else f"<{type(value).__name__}>"


def _values(given: Any, key: str = "") -> Iterator[str]:
    """Yield every text that must not be shown."""
    if isinstance(given, Mapping):
        for name, item in given.items():
            yield from _values(item, str(name))
    elif isinstance(given, list | tuple | set | frozenset):
        for item in given:
            yield from _values(item, key)
    elif isinstance(given, bytes):
        yield from _values(given.decode("utf-8", "replace"), key)
    elif isinstance(given, int | float | Path) and not isinstance(given, bool):
        yield from _values(str(given), key)
    elif isinstance(given, str) and _SCHEME.match(_CHAIN.split(given)[-1]):
        for url in _CHAIN.split(given):
            yield from (part for part in find_secrets(url) if len(part) >= 6 or f"{part}@" in url)
    elif isinstance(given, str) and key and len(given) >= (4 if _SENSITIVE.search(key) else 6):
        yield given
        yield from (line for line in given.splitlines() if len(line) >= 16 and line != given)  # keys in PEM


def _spellings(secret: str) -> set[str]:
    """Return a secret as other programs spell it, in whole or inside of a longer text."""
    raw = secret.encode("utf-8", "replace")
    percent = [quote(secret, safe=safe, errors="replace") for safe in ("", "/", "/:", "/+=", "/:+=")]
    found = {secret, *percent, quote(percent[0]), quote_plus(secret, errors="replace")}
    found |= {repr(secret)[1:-1], repr(raw)[2:-1], repr(secret + "'\"")[1:-4], repr(repr(secret))[2:-2], ascii(secret)[1:-1]}
    found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(json.dumps(secret))[3:-3]}
    escaped = secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # the module html takes 2 ms to import
    found |= {escaped, *(escaped.replace('"', "&quot;").replace("'", one) for one in ("&#x27;", "&#39;"))}
    found |= {raw.hex(), raw.hex().upper(), secret.strip(), *(_in_base64(raw) if len(raw) >= 6 else ())}
    return {one for one in found if len(one) >= 4}


def _pattern(form: str) -> str:
    """Return the expression that finds a text, whether the letters of its percent codes are small or capital."""
    return re.sub("%[0-9A-Fa-f]{2}", lambda code: f"(?i:{code.group(0)})", re.escape(form))


def _in_base64(raw: bytes) -> Iterator[str]:
    """Yield the characters that ``raw`` makes in base64 wherever in a longer text it begins (``user:password``)."""
    for before in range(3):  # bytes before it in the group of three that four characters stand for
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + raw).decode()[first:last]
    yield base64.b64encode(raw).decode()
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")


def raise_alone(error: Exception) -> NoReturn:
    """Raise ``error`` without the one that is being handled, which may hold secrets.

    ``from None`` hides that one from Python's own tracebacks only: it stays in ``__context__``, which tools that collect errors
    send along.
    """
    try:
        raise error from None
    finally:
        error.__context__ = None
