"""Who asks, as the site tells the handlers of channels."""

from __future__ import annotations

from aiohttp import web

CLIENT = web.RequestKey("client", str)
"""Set by the site: the client's address, the nearest one that no proxy of ours has; for limits, never for logs."""
