"""The gateway's application for a server that is not ours; ``gateway.yml`` in the working directory configures it.

``uvicorn --factory plain_asgi:application`` runs it: uvicorn as everybody has it, without our protocol class.
"""

from __future__ import annotations

import logging

from fastapi import FastAPI

from wsgw.app import create_app
from wsgw.config.file import read
from wsgw.config.load import load


def application() -> FastAPI:
    """The factory."""
    logging.basicConfig()
    logging.getLogger("wsgw").setLevel(logging.DEBUG)
    return create_app(load(file=read("gateway.yml")))
