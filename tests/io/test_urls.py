"""URLs: what is allowed, what is shown, what lies in what."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xprep.io.store import urls
from xprep.redaction import find_secrets

SECRETS = st.text("abcXYZ019/+=", min_size=8, max_size=20).map(lambda text: f"c4nary{text}")


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("s3://lab/x.zarr", "s3"),
        ("s3a://lab/x.zarr", "s3"),
        ("S3://lab/x", "s3"),
        ("http://host/x", "http"),
        ("memory://x/y", "memory"),
        ("file:///tmp/x", "file"),
        ("/tmp/x y", "file"),
        ("x?y#z", "file"),
    ],
)
def test_allowed_protocols(url: str, protocol: str) -> None:
    assert urls.parse(url).protocol == protocol


@pytest.mark.parametrize("url", ["ftp://host/x", "reference://x", "github://o:r@x/y", "zip://x.zip", "jdbc:x://y/z"])
def test_other_protocols_are_refused(url: str) -> None:
    if "jdbc" in url:
        assert urls.parse(url).is_local  # no scheme: a folder of a strange name
        return
    with pytest.raises(ValueError, match="not allowed"):
        urls.parse(url)


@pytest.mark.parametrize("url", ["reference::/etc/passwd", "simplecache::s3://lab/x", "zip://a::s3://lab/x.zip"])
def test_chains_only_when_asked_for(url: str) -> None:
    with pytest.raises(ValueError, match="chained URL"):
        urls.parse(url)
    assert urls.parse(url, chained=True).protocol == "chain"
    assert urls.parse(Path(url)).is_local


@pytest.mark.parametrize("url", ["", "  ", "s3://", "s3:///", "http://host/x.zarr?sig=1", "a\0b", "s3://a\0b"])
def test_useless_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"empty|has no|query|NUL"):
        urls.parse(url)


def test_a_missing_backend_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'xprep\[s3\]'"):
        urls.check_backend(urls.parse("s3://lab/x"))


@given(user=SECRETS.map(lambda text: text.replace("/", "")), password=SECRETS, query=SECRETS)
def test_no_secret_survives_redaction(user: str, password: str, query: str) -> None:
    url = f"https://u:{password}@host/a/b.zarr?sig={query}"
    assert urls.redact(url) == "https://host/a/b.zarr"
    assert urls.redact(f"s3://{user}:{password}@lab/a") == "s3://lab/a"
    text = urls.redact_text(f"GET {url} failed: {user}", {"key": user, "client_kwargs": {"x": [password]}})
    assert not {user, password, query} & set(text.replace("'", " ").split())
    assert "c4nary" not in text


def test_what_is_no_secret_is_shown() -> None:
    assert urls.redact("/tmp/a@b?c") == "/tmp/a@b?c"
    assert urls.redact("s3://lab/ann@lab/x.zarr") == "s3://lab/ann@lab/x.zarr"
    assert urls.redact("http://127.0.0.1:9000/x") == "http://127.0.0.1:9000/x"
    assert urls.redact("abfs://images@lab.dfs.core.windows.net/x") == "abfs://images@lab.dfs.core.windows.net/x"
    assert "secret" not in repr(urls.parse("http://a:secret@lab/x")) + str(urls.parse("http://a:secret@lab/x"))
    assert find_secrets("http://ann:secret@lab/x") == ["ann:secret", "ann", "secret"]


def test_credentials_in_a_bucket_url_are_refused_without_showing_them() -> None:
    with pytest.raises(ValueError, match=r"^s3://lab/x was given with credentials .* storage_options") as caught:
        urls.parse("s3://ann:secret/1@lab/x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("part", ["../x", "a/../b", "..", "./x", "a//b", "a\\b", "a\0"])
def test_keys_stay_inside(part: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        urls.join("s3://lab/x", part)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "zarr.json", "__x", "a\\b", "\0", "labels"])
def test_names_that_no_node_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        urls.check_name(name)


