"""A page that is being served: its address, in a terminal, in a notebook, on a machine elsewhere; and its end."""

from __future__ import annotations

import html
import os
import secrets
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Final, Self

from xprep.viewer.access import Access
from xprep.viewer.blocks import BlockCache
from xprep.viewer.client_state import client_state, extent
from xprep.viewer.server import HOST, PageServer
from xprep.viewer.shown_images import ShownImage
from xprep.viewer.virtual_store import VirtualStore

PREFIX: Final = "JUPYTERHUB_SERVICE_PREFIX"  # set where a hub started this notebook: the path of its server
FRAME_HEIGHT: Final = 640


class ViewerPage:
    """A page of images that is being served until `close`, or until this program ends.

    In a notebook it shows itself: a link, and the page in a frame.

    Attributes
    ----------
    url : str
        The page's address on this machine, with its token: who has it sees the images.
    address : str
        Where a browser finds it: `url`, or, of a notebook that a hub started, the path that jupyter-server-proxy gives it.
    port : int
    remarks : tuple of str
        What the page says of its images.
    """

    def __init__(self, images: Sequence[ShownImage], client: Path, *, port: int, memory: int, side_by_side: bool) -> None:
        self._cache = BlockCache(memory)
        stores = [VirtualStore(image, number, self._cache) for number, image in enumerate(images)]
        self.remarks = tuple(dict.fromkeys(remark for image in images for remark in image.remarks))
        self._prefix = os.environ.get(PREFIX, "")
        access = Access(secrets.token_urlsafe(24), behind_proxy=bool(self._prefix))
        about = {
            "state": client_state(images, side_by_side=side_by_side),
            "extent": extent(images[0]),
            "panels": sum(not image.is_label for image in images) if side_by_side else 1,
            "remarks": list(self.remarks),
        }
        self._server = PageServer(port, access, client, stores, about)
        self.port = int(self._server.server_address[1])
        self.url = f"http://{HOST}:{self.port}/{access.token}/"
        self._thread = Thread(target=self._server.serve_forever, name="xprep-view", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        if not self._prefix:
            return self.url
        return f"{self._prefix.rstrip('/')}/proxy/{self.port}/{self._server.access.token}/"

    @property
    def is_open(self) -> bool:
        """Whether the page is served."""
        return not self._server.ended.is_set()

    def open_browser(self) -> bool:
        """Open the page in the user's browser; return whether there was one to ask."""
        return webbrowser.open(self.url)

    def wait(self) -> None:
        """Wait until somebody closes it."""
        while self.is_open:
            self._server.ended.wait(1)  # Ctrl-C gets through on every system

    def close(self) -> None:
        """End the page: nothing is computed any more, and nobody answers."""
        if self.is_open:
            self._server.ended.set()
            self._server.shutdown()
            self._server.server_close()
            self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        if not self.is_open:
            return "<xprep view, closed>"
        return "\n".join([f"<xprep view at {self.address}>", *self.remarks])

    def _repr_html_(self) -> str:
        if not self.is_open:
            return "<p>This view was closed.</p>"
        address = html.escape(self.address, quote=True)
        remarks = "".join(f"<p>{html.escape(remark)}</p>" for remark in self.remarks)
        return (
            f'<p><a href="{address}" target="_blank" rel="noreferrer">Open in a tab of its own</a></p>{remarks}'
            f'<iframe src="{address}" width="100%" height="{FRAME_HEIGHT}" style="border: 0" title="xprep view"></iframe>'
            f"<p><small>{html.escape(self._way())}</small></p>"
        )

    def _way(self) -> str:
        """Return what to do where the frame stays empty."""
        if self._prefix:
            return "If nothing appears: the notebook server needs jupyter-server-proxy (pip install jupyter-server-proxy)."
        return (
            f"If nothing appears, this runs on another machine than your browser: ssh -N -L {self.port}:{HOST}:{self.port} "
            "thatmachine, and the same address works."
        )
