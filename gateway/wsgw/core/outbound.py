"""Publishing to one NATS subject on behalf of the clients of one transport: the broker's publish, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wsgw.broker.broker import Broker
from wsgw.broker.fences import Outcome
from wsgw.channels.channel import Channel
from wsgw.channels.table import too_large
from wsgw.errors import GatewayError
from wsgw.metrics import Metrics


class Publisher:
    """What is resolved once for a name, so that each message costs little."""

    __slots__ = ("_accepted", "_broker", "_clock", "_errors", "_label", "_seconds", "subject")

    def __init__(
        self,
        channel: Channel,
        subject: str,
        transport: str,
        broker: Broker,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.subject = subject
        self._broker = broker
        self._clock = clock
        self._label = channel.name
        self._accepted = metrics.published_messages.labels(channel.name, transport)
        self._seconds = metrics.publish_seconds.labels(channel.name)
        self._errors = metrics.publish_errors

    def check(self, payload: bytes) -> None:
        """Raises GatewayError (too_large), and counts it, when NATS would not take ``payload``."""
        most = self._broker.max_payload_bytes
        if len(payload) > most:
            error = too_large(len(payload), most)
            self._errors.labels(self._label, error.kind.name).inc()
            raise error

    def publish(self, payloads: Sequence[bytes], outcome: Outcome) -> None:
        """Publish ``payloads`` in order; ``outcome`` is told once for all of them (see ``Broker.publish``)."""
        started = self._clock()

        def settled(error: GatewayError | None) -> None:
            if error is None:
                self._accepted.inc(len(payloads))
                self._seconds.observe(self._clock() - started)
            else:
                self._errors.labels(self._label, error.kind.name).inc(len(payloads))
            outcome(error)

        self._broker.publish(self.subject, payloads, settled)
