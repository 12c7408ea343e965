"""Fixtures that every test may ask for."""

from __future__ import annotations

from tests.servers import rclone, s3

__all__ = ["rclone", "s3"]
