"""The JWT after the one that a connection is made with, seen in time for another connection before the end.

NATS ends a connection when its JWT ends, whatever is in the file by then.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import datetime
from time import time

from wsgw.broker.proof import read_proof
from wsgw.broker.subscription import Credentials
from wsgw.config.natsfiles import BadFileError

#: So long before the end a file is looked at; leaving a connection takes some of it.
EARLY_SECONDS = 60.0
#: Between two looks.
LOOK_SECONDS = 2.0
#: A clock may be set meanwhile.
MOST_SECONDS = 600.0


async def renewed(credentials_file: str, ends: datetime) -> None:
    """Returns when the file has a JWT that lasts for longer than until ``ends``, which is soon."""
    early = EARLY_SECONDS * random.uniform(0.5, 1)  # noqa: S311  many gateways may have the same
    while (left := ends.timestamp() - time() - early) > 0:  # noqa: ASYNC110  it may be days
        await asyncio.sleep(min(left, MOST_SECONDS))
    while not await _lasts(credentials_file, ends):  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(LOOK_SECONDS)


async def _lasts(credentials_file: str, ends: datetime) -> bool:
    with suppress(BadFileError, OSError):  # whoever connects next says what is wrong with it
        identity = (await read_proof(Credentials(credentials_file=credentials_file), "nats")).identity
        return identity is not None and (identity.term.ends is None or identity.term.ends > ends)
    return False
