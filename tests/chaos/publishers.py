"""Publishers: a program behind NATS, and programs that publish through the gateways, over HTTP."""

from __future__ import annotations

import asyncio
import random
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable

import httpx
import orjson
from nats.aio.client import Client
from nats.errors import Error as NatsError

from chaos.posts import Post

#: A gateway may take 10 s for a word of the stream.
ANSWER_SECONDS = 15.0
#: Before the same message is sent again.
AGAIN_SECONDS = (0.02, 0.2)
#: How often who is told that its message is not stored sends it again; else it goes on with the next one.
PERSISTENCE = 0.5
#: The answers that leave it open whether the message is stored.
UNSURE = frozenset({"maybe_stored", "unconfirmed", "internal"})


class Publisher(ABC):
    """Publishes one message after the other, ``pace_seconds`` apart, each until it has the last word, to ``stop``."""

    def __init__(self, name: str, stream: Callable[[], int], pace_seconds: float) -> None:
        self.pace_seconds = pace_seconds
        #: bytes that are added to each message
        self.padding = 0
        self.posts: list[Post] = []
        #: what was answered that was not an acknowledgement
        self.told: Counter[str] = Counter()
        self._name = name
        self._stream = stream
        self._stopped = False
        self._abandoned = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Returns when the message that is under way is done."""
        self._stopped = True
        task, self._task = self._task, None
        if task is not None:  # not by cancel: nats-py can swallow that
            await task

    async def abandon(self) -> None:
        """The same, without its last word."""
        self._abandoned = True
        await self.stop()

    async def send(self, text: str) -> None:
        """Publish ``text``, until it has the last word."""
        post = Post(text.encode(), self._stream())
        self.posts.append(post)
        await self._publish(post, uuid.uuid4().hex)

    # -- for subclasses

    @abstractmethod
    async def _publish(self, post: Post, id: str) -> None:
        """Have it stored, once, by its id, or told that it is not."""

    # -- inside

    async def _run(self) -> None:
        while not self._stopped:
            number = len(self.posts)
            await self.send(f"{self._name}{number}" + f" {'x' * self.padding}" * bool(self.padding))
            await asyncio.sleep(self.pace_seconds)


class NatsPublisher(Publisher):
    """Behind NATS: it persists. Its messages are numbers."""

    def __init__(self, client: Client, channel: str, stream: Callable[[], int], pace: float) -> None:
        super().__init__("", stream, pace)
        self._client = client
        self._channel = channel

    async def _publish(self, post: Post, id: str) -> None:
        while post.sequence is None and not self._abandoned:
            try:
                answer = await self._client.request(self._channel, post.payload, timeout=1, headers={"Nats-Msg-Id": id})
                post.sequence = orjson.loads(answer.data).get("seq")
            except NatsError:
                pass
            if post.sequence is None:
                await asyncio.sleep(AGAIN_SECONDS[0])


class HttpPublisher(Publisher):
    """``POST /publish/…`` with an id, at any of the gateways; what nobody knows it sends again with the same id."""

    def __init__(
        self, name: str, ports: list[int], channel: str, stream: Callable[[], int], pace: float, chance: random.Random
    ) -> None:
        super().__init__(name, stream, pace)
        self._ports = ports
        self._channel = channel
        self._chance = chance
        self._http = httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS)

    async def stop(self) -> None:
        await super().stop()
        await self._http.aclose()

    async def _publish(self, post: Post, id: str) -> None:
        done = False
        while not done and not self._abandoned:
            done = await self._posted(post, id)
            if not done:
                await asyncio.sleep(self._chance.uniform(*AGAIN_SECONDS))

    async def _posted(self, post: Post, id: str) -> bool:
        """Whether there is a last word, after one more attempt."""
        url = f"http://127.0.0.1:{self._chance.choice(self._ports)}/publish/{self._channel}"
        try:
            answer = await self._http.post(url, content=post.payload, headers={"Nats-Msg-Id": id})
        except httpx.ConnectError:
            return False  # nothing was sent
        except httpx.HTTPError:
            post.unsure = True
            self.told["no answer"] += 1
            return False
        said = answer.json()
        if answer.status_code == 202:
            post.sequence = said["seq"]
            return True
        code = said["error"]["code"]
        self.told[code] += 1
        if code in UNSURE:
            post.unsure = True
        elif not post.unsure and self._chance.random() >= PERSISTENCE:
            post.refused = code
            return True
        return False
