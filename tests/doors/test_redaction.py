"""Every spelling of a secret, in every text that xprep makes of what others say; and every way that a recipe takes one."""

from __future__ import annotations

import base64
import html
import io
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from rich.console import Console
from typer import Exit
from typer.testing import CliRunner

import xprep
from xprep.batch import Task
from xprep.batch.located import RecipeError
from xprep.batch.recipe import load_recipe
from xprep.cli.app import app
from xprep.cli.failures import reported
from xprep.engine.running.cluster import connect
from xprep.io.store.advice import explain
from xprep.io.store.urls import parse
from xprep.redaction import redact, redact_text

SECRETS = ["hush/hush+hush=123", "7/hushHUSH99", "hush, hush's \"hush\" <&>", "hüsh hüsh\\hüsh\n", "hushhush123"]
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent but slashes": quote,
    "percent, small letters": lambda text: quote(text, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "plus": quote_plus,
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "repr in a mapping": lambda text: repr({"key": [text]}),
    "repr beside another quote": lambda text: repr(f"no '{text}' or \"that\""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of user and password": lambda text: base64.b64encode(f"ann:{text}".encode()).decode(),
    "base64 of a longer user": lambda text: base64.b64encode(f"anna:{text}".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"x:{text}".encode()).decode().rstrip("="),
    "hexadecimal": lambda text: text.encode().hex(),
    "JSON": json.dumps,
    "JSON in Unicode": lambda text: json.dumps({"secret": text}, ensure_ascii=False),
    "HTML": html.escape,
    "HTML of text": lambda text: html.escape(text, quote=False),
}
GIVEN: dict[str, Callable[[str], Any]] = {
    "options": lambda text: {"secret": text},
    "nested": lambda text: {"client_kwargs": {"headers": [("key", text)]}},
    "bytes": lambda text: {"secret": text.encode()},
    "URL": lambda text: f"https://ann:{quote(text, safe='')}@lab/x",
    "query": lambda text: {"url": [f"https://lab/x?sig={quote(text, safe='')}"]},
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_comes_through(spelling: str, given: str) -> None:
    for secret in SECRETS:
        text = SPELLINGS[spelling](secret)
        shown = redact_text(f"the server said: {text} is wrong", GIVEN[given](secret))
        assert "the server said" in shown
        for form in (secret.strip(), text.strip("'\"b"), "hush", "68757368", quote(secret, safe="")):
            assert form not in shown, (secret, shown)


# URLs with secrets in them, and what is shown.
URLS = {
    "s3://AKIA:7/hush@lab/x.zarr": "s3://lab/x.zarr",
    "s3://AKIA:123/456/hush@lab/x.zarr": "s3://lab/x.zarr",
    "http://user:123/hush@127.0.0.1:5999/lab/x": "http://127.0.0.1:5999/lab/x",
    "ftp://user:1/hush@h/x": "ftp://h/x",
    "https://ann:hush@lab/x": "https://lab/x",
    "https://ann:h@hush@lab/x": "https://lab/x",
    "https://ann:hu?hush@lab/x": "https://lab/x",
    "https://ann:hu#hush@lab/x": "https://lab/x",
    "https://ann:hu::hush@lab/x": "https://lab/x",
    "https://hush@lab/x": "https://lab/x",
    "https://lab/x?X-Amz-Signature=hush&X-Amz-Expires=9": "https://lab/x",
    "https://[::1]:9/x?sig=hush": "https://[::1]:9/x",
    "abfs://images@account/x?sv=1&sig=hush": "abfs://images@account/x",
    "zip::s3://ann:hush@lab/x": "zip::s3://lab/x",
    "tcp://ann:hush@lab:8786": "tcp://lab:8786",
}
TEXTS = [
    "no s3://ann:hush, hush's@lab/x", "no 's3://ann:a b hush@lab/x'", "no lab/x?X-Amz-Signature=hush&y=1",
    "Signature=hush, Host=lab", "sig=hush lab", "token=hush lab", "X-Amz-Security-Token=hush&lab",
    "Authorization: Bearer hush lab", "AccountKey=hush;lab",
    "{'Authorization': 'AWS4-HMAC-SHA256 Credential=hush/2026/lab, Signature=hush'} lab", "password=hush, lab",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_urls(url: str) -> None:
    assert redact(url) == URLS[url]
    assert "hush" not in redact_text(f"cannot open {url}: refused") + redact_text(repr(url)) + redact_text(f"<{url}>")
    assert "hush" not in redact_text(f"no {quote(url, safe='')}, {url.partition('://')[2]}", url)
    try:
        said = repr(parse(url)) + str(parse(url))
    except ValueError as error:
        said = str(error)
    assert "hush" not in said


@pytest.mark.parametrize("text", TEXTS)
def test_texts_without_a_known_secret(text: str) -> None:
    assert "hush" not in redact_text(text)
    assert "lab" in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9000/x is there", "write to ann@lab, http://host:80, or ask bob@lab", "s3://lab/ann@lab/x.zarr",
        "overwrite=True replaces it, key=KEY", "what? a=b", "memory://a/b: no tokens here", "C:\\x", "signature of x",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text, {"key": "hushhush"}) == text


def test_a_port_or_a_password() -> None:
    with pytest.raises(ValueError, match=r"a port and an '@' in the path, or a password with a slash.*%40.*%2F"):
        parse("http://host:80/a@b/x.zarr")
    assert parse("http://host:80/a%40b/x.zarr").shown == "http://host:80/a%40b/x.zarr"


HUSH = "hushhush123"
WRONG_OPTIONS = [
    HUSH, f"\n  secret: *{HUSH}", f"\n  secret: !{HUSH} x", f"\n  secret: !!int {HUSH}", f"[{HUSH}]", f"\n  - {HUSH}",
    f"\n  secret: !{HUSH}!x y", f"\n  secret: &{HUSH} x\n  a: *{HUSH}", f"\n  secret: !!{HUSH} x", f"*{HUSH}", f"!{HUSH} x",
    f"\n  a: {{b: !!float {HUSH}}}", f"\n  secret: ${{{HUSH}}}\n  b: *{HUSH}",
]  # fmt: skip


@pytest.mark.parametrize("key", ["storage_options", "settings"])
@pytest.mark.parametrize("text", WRONG_OPTIONS)
def test_mistakes_about_options_do_not_show_them(text: str, key: str, tmp_path: Path) -> None:
    text = text.replace(f"${{{HUSH}}}", "${NO_SUCH}")
    nested = text.replace("\n", "\n  ")
    options = f"storage_options: {text}" if key == "storage_options" else f"settings:\n  scratch_options: {nested}"
    path = tmp_path / "r.yaml"
    path.write_text(f"inputs: a.zarr\nsteps: [to_isotropic]\noutput: o\n{options}\n")
    with pytest.raises(RecipeError, match=r"r\.yaml, line") as caught:
        load_recipe(path)
    assert HUSH not in "".join(traceback.format_exception(caught.value))
    for command in ("run", "plan", "status"):
        for debug in ([], ["--debug"]):
            if command == "status" or not debug:
                result = CliRunner().invoke(app, [command, str(path), *debug])
                assert HUSH not in result.output + result.stderr


def test_no_repr_shows_a_secret() -> None:
    url = f"s3://ann:{HUSH}@lab"
    given = {
        "inputs": [f"{url}/a.zarr", f"https://lab/b.zarr?sig={HUSH}"], "steps": ["to_isotropic"],
        "output": f"{url}/out", "settings": {"scratch_options": {"key": HUSH}, "scratch_url": f"{url}/scratch"},
        "storage_options": {"key": HUSH, "more": [{"secret": HUSH}]},
    }  # fmt: skip
    recipe = load_recipe(given)
    for one in (recipe, recipe.inputs, recipe.given, recipe.steps, Task(f"{url}/a", f"{url}/b", url), recipe.to_json()):
        assert HUSH not in repr(one) + str(one)
    assert "s3://lab/a.zarr" in repr(recipe)


@pytest.mark.parametrize("url", URLS)
def test_options_do_not_show_the_secrets_of_scratch(url: str) -> None:
    with xprep.set_options(scratch_url=url, scratch_options={"key": HUSH}) as shown:
        assert URLS[url] in repr(shown)
        assert "hush" not in repr(shown) + str(shown)
        assert shown.scratch_url == url


def test_variables_stand_where_urls_and_options_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB", "lab-7")
    monkeypatch.setenv("BRACES", "{x}")
    monkeypatch.delenv("NO_SUCH", raising=False)
    right = {
        "inputs": ["s3://${LAB}/a.zarr"], "steps": ["to_isotropic"], "output": "s3://${LAB}/{name}",
        "settings": {"scratch_url": "s3://${LAB}/s", "scratch_options": {"a": ["${LAB}"]}},
        "storage_options": {"b": {"c": "${LAB}"}},
    }  # fmt: skip
    recipe = load_recipe(right)
    assert [one.plain() for one in recipe.inputs] == ["s3://lab-7/a.zarr"]
    assert recipe.output == "s3://lab-7/{name}"
    assert recipe.settings == {"scratch_url": "s3://lab-7/s", "scratch_options": {"a": ["lab-7"]}}
    assert recipe.storage_options == {"b": {"c": "lab-7"}}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"steps": [{"normalize": {"empty": "${LAB}"}}]}, r"\$\{LAB\}: variables are read in inputs, fit, output"),
        ({"store": {"method": "${LAB}"}}, "variables are read in"),
        ({"settings": {"intermediates": "${LAB}"}}, "variables are read in"),
        ({"inputs": "${NO_SUCH}"}, "there is no variable NO_SUCH"),
        ({"output": "${BRACES}/o"}, "BRACES holds a brace"),
        ({"storage_options": {"${LAB}": 1}}, "in values only"),
    ]
    for change, words in wrong:
        with pytest.raises(RecipeError, match=words):
            load_recipe({**right, **change})


def test_addresses_of_schedulers() -> None:
    for address in (f"tcp://ann:{HUSH}@127.0.0.1:1", f"nope://ann:{HUSH}@127.0.0.1:1"):
        with pytest.raises(ValueError, match="both") as caught, connect(address, 2):
            pass
        assert HUSH not in str(caught.value)
    with pytest.raises((ValueError, OSError)) as failed, connect(f"nope://ann:{HUSH}@127.0.0.1:1"):
        pass
    assert HUSH not in str(failed.value)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("debug", [False, True])
def test_the_command_prints_no_spelling(spelling: str, debug: bool) -> None:
    """Errors and, with --debug, their tracebacks, with what they were raised from."""
    for secret in SECRETS:
        stream = io.StringIO()
        console = Console(file=stream, width=400)
        with pytest.raises(Exit), reported(console, debug=debug, secrets=[{"secret": secret}, "s3://lab"]):
            fail(SPELLINGS[spelling](secret))
        assert "no " in stream.getvalue()
        assert "hush" not in stream.getvalue()


def fail(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError as error:
        raise OSError(f"no {text}") from error


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_errors_of_stores(spelling: str) -> None:
    for secret in SECRETS:
        said = str(explain(OSError(SPELLINGS[spelling](secret)), "cannot read s3://lab", {"key": secret, "url": "s3://lab"}))
        assert "cannot read s3://lab" in said
        assert "hush" not in said


def test_what_a_store_says_names_no_secret(tmp_path: Path) -> None:
    """A batch over places that are refused: report, JSON, status."""
    recipe = {"inputs": f"s3://AKIA:7/{HUSH}@lab/a.zarr", "steps": ["to_isotropic"], "output": str(tmp_path / "o")}
    report = xprep.run(recipe, progress=False, report=tmp_path / "report.json")
    said = f"{report} {report!r} {report.to_json()} {(tmp_path / 'report.json').read_text()} {xprep.status(recipe)}"
    assert "lab/a.zarr" in said
    assert HUSH not in said
