"""A NATS service that decides on clients."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from helpers.brokers import Brokers, started
from helpers.nats_server import NatsServer
from wsgw.access.answer import Refusal, Shown, Unanswered
from wsgw.access.service import Service
from wsgw.errors import FORBIDDEN, UNAUTHENTICATED

SHOWN = Shown((("cookie", "sid=1"), ("authorization", "Bearer x")), "10.1.2.3")


class Answering:
    """A service on ``subject`` that answers with ``payload`` and ``headers``."""

    def __init__(self) -> None:
        self.subject = f"auth.{secrets.token_hex(8)}"
        self.asked: list[Any] = []
        self.payload = b'{"user": "alice"}'
        self.headers: dict[str, str] | None = None

    async def answer(self, message: Msg) -> None:
        self.asked.append(json.loads(message.data))
        await message._client.publish(message.reply, self.payload, headers=self.headers)


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    made = await nats.connect(nats_url)
    yield made
    await made.close()


@pytest.fixture
def nats_url(nats: NatsServer) -> str:
    return nats.url


@pytest.fixture
async def answering(client: Client) -> Answering:
    made = Answering()
    await client.subscribe(made.subject, cb=made.answer)
    await client.flush()
    return made


@pytest.fixture
async def service(nats_url: str, answering: Answering) -> AsyncIterator[Service]:
    brokers = Brokers()
    broker, _ = await started(brokers, nats_url)
    yield Service(broker, answering.subject, 5)
    await broker.stop(0.1)


async def test_it_is_asked_with_what_the_client_shows_and_its_address(service: Service, answering: Answering) -> None:
    assert await service.ask(SHOWN) == b'{"user": "alice"}'
    assert answering.asked == [{"headers": {"cookie": "sid=1", "authorization": "Bearer x"}, "client": "10.1.2.3"}]


@pytest.mark.parametrize("payload", [b'{"allow": false}', b'{"error": "who?"}', b'{"error": null, "user": "alice"}'])
async def test_it_refuses_by_what_it_says(service: Service, answering: Answering, payload: bytes) -> None:
    answering.payload = payload
    assert await service.ask(SHOWN) == Refusal(UNAUTHENTICATED, UNAUTHENTICATED.summary)


async def test_it_refuses_by_the_code_of_a_services_error(service: Service, answering: Answering) -> None:
    answering.headers = {"Nats-Service-Error": "no", "Nats-Service-Error-Code": "401"}
    assert await service.ask(SHOWN) == Refusal(UNAUTHENTICATED, UNAUTHENTICATED.summary)
    answering.headers = {"Nats-Service-Error": "no", "Nats-Service-Error-Code": "403"}
    assert await service.ask(SHOWN) == Refusal(FORBIDDEN, FORBIDDEN.summary)
    answering.headers = {"Nats-Service-Error": "db down", "Nats-Service-Error-Code": "500"}
    with pytest.raises(Unanswered, match="an error 500: db down"):
        await service.ask(SHOWN)


async def test_too_much_is_no_answer(service: Service, answering: Answering) -> None:
    answering.payload = b" " * 65_537
    with pytest.raises(Unanswered, match="more than 65536 bytes"):
        await service.ask(SHOWN)


async def test_nobody_there_nobody_in_time_and_no_nats_are_told(nats_url: str, client: Client) -> None:
    brokers = Brokers()
    broker, _ = await started(brokers, nats_url)
    subject = f"auth.{secrets.token_hex(8)}"
    with pytest.raises(Unanswered, match="nobody answers"):
        await Service(broker, subject, 5).ask(SHOWN)

    async def never(_: Msg) -> None:
        pass

    await client.subscribe(subject, cb=never)
    await client.flush()

    async def told() -> str:
        with pytest.raises(Unanswered) as caught:
            await Service(broker, subject, 0.1).ask(SHOWN)
        return str(caught.value)

    said = await told()
    while "nobody answers" in said:  # the subscription came by another connection
        said = await told()
    assert "within 0.1 s" in said
    await broker.stop(0.1)
    with pytest.raises(Unanswered, match="cannot be asked"):
        await Service(broker, subject, 5).ask(SHOWN)
