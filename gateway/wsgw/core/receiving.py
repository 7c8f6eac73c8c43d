"""The receiving half of a session: the names it is subscribed to, and what that takes."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Iterator, Sequence

from wsgw.access.principal import Principal
from wsgw.bridges.base import Bridge, BridgeState
from wsgw.bridges.durable import DurableBridge
from wsgw.bridges.place import Place
from wsgw.channels.authorize import Authorize
from wsgw.channels.channel import Channel, OnGap, Use
from wsgw.channels.position import mark
from wsgw.channels.start import NOW, Start
from wsgw.channels.table import shown
from wsgw.core.entry import key_for
from wsgw.core.followings import Followings
from wsgw.core.house import House
from wsgw.core.joining import Joining, changed
from wsgw.core.question import Asker
from wsgw.core.sessionclient import SessionClient
from wsgw.core.subscription import Subscription
from wsgw.errors import TOO_MANY_SUBJECTS, UNKNOWN_CHANNEL, GatewayError
from wsgw.fanout.gap import Gap
from wsgw.fanout.publication import Batch
from wsgw.fanout.sender import Sender
from wsgw.shares.slices import one_by_one

log = logging.getLogger("wsgw.session")

#: Who ends with more names leaves them in turn with others' work.
MOST_LEFT_AT_ONCE = 50


class Receiving:
    """``sender`` writes to the client; without one nothing can be subscribed to.

    ``memory.Holder``, of its subscriptions, and ``Addressee``.
    """

    __slots__ = (
        "_asker",
        "_client",
        "_ended",
        "_followings",
        "_held_bytes",
        "_house",
        "_joining",
        "_names",
        "_silent",
        "_slow",
        "_subscriptions",
        "principal",
        "sender",
    )

    def __init__(self, house: House, principal: Principal, client: SessionClient | None, sender: Sender | None) -> None:
        self._house = house
        self._client = client
        self._subscriptions: dict[str, Subscription] = {}
        self._names = 0  # of patterns that it is subscribed to
        self._held_bytes = 0
        self._silent: list[str] = []  # names joined since ``listen``
        self._followings: Followings | None = None  # once it subscribes to a durable channel
        self._joining: Joining | None = None  # once it does to one with ``authorize``
        self._asker: Asker | None = None  # once a service is asked about the client
        self._slow = False
        self._ended = False
        self.principal = principal
        self.sender = sender
        if sender is not None:
            sender.session = self

    @property
    def names(self) -> tuple[str, ...]:
        """What the session is subscribed to."""
        return tuple(self._subscriptions)

    def inbound(self) -> list[str]:
        """What a client that asks for nothing gets: every channel that it may subscribe to, by name."""
        channels = self._house.channels.inbound()
        return [channel.name for channel in channels if self._may(Use.SUBSCRIBE, channel, channel.name)]

    def join(self, name: str, start: Start = NOW) -> asyncio.Future[None] | None:
        """Take NATS' interest in a channel, or a concrete name of a pattern; nothing happens when it is taken already.

        ``start`` is from where on a durable channel is wanted; others have only what comes from now on. What is
        returned, if anything, is to be awaited: then the interest is in effect, or the client was told that it is
        refused. Raises GatewayError.
        """
        if self._ended or name in self._subscriptions:
            return None
        channel = self._house.channels.find(name, Use.SUBSCRIBE)
        key = self._key(Use.SUBSCRIBE, channel, name)
        if channel.authorize is None:
            return self._take(channel, name, key, start)
        if self._joining is None:
            self._joining = Joining(self, self._house.permits, self._as_asker())
        return self._joining.join(name, start, channel.authorize)

    def take(self, name: str, start: Start, authorize: Authorize) -> asyncio.Future[None] | None:
        """As ``join``, where ``authorize`` allows ``name``."""
        channel = self._house.channels.find(name, Use.SUBSCRIBE)
        key = self._key(Use.SUBSCRIBE, channel, name)
        if channel.authorize != authorize:  # the channels are others since it was asked
            raise changed(name)
        return self._take(channel, name, key, start)

    def is_durable(self, name: str) -> bool:
        """Whether ``name`` is one of a durable channel; raises GatewayError where it cannot be subscribed to."""
        return self._house.channels.find(name, Use.SUBSCRIBE).durable is not None

    def has(self, name: str) -> bool:
        """Whether it is subscribed to ``name``."""
        return name in self._subscriptions

    def follow(self) -> list[str]:
        """As ``listen``, for the names of durable channels among those joined, which are returned."""
        silent, self._silent = self._silent, []
        durable: list[str] = []
        for name in silent:
            subscription = self._subscriptions.get(name)
            if subscription is not None:
                (durable if subscription.channel.durable is not None else self._silent).append(name)
        self._listen_to(durable)
        return durable

    def listen(self) -> None:
        """From now on the sender gets what comes for every name joined."""
        silent, self._silent = self._silent, []
        self._listen_to(silent)

    def mark_of(self, name: str, place: Place) -> str:
        """What ``name``, which it is subscribed to, is called in a position of several names."""
        return mark(place.identity, self._subscriptions[name].channel.name, name)

    def unsubscribe(self, name: str) -> bool:
        """Undo ``join`` and ``listen``; False when there is none of that name."""
        found = self._subscriptions.pop(name, None)
        waited = self._joining is not None and self._joining.leave(name)
        if found is None:
            return waited
        self._deafen(found)
        found.bridge.leave(found.key, found)
        if size := found.size_bytes:
            self._names -= 1
            self._keep(-size)
        return True

    def misses_nothing(self, name: str) -> None:
        """Of gaps of ``name`` that there were up to now the client is not to be told, or was."""
        if name in self._subscriptions:
            self._subscriptions[name].told = self._house.hub.gaps

    def refused(self, name: str, error: GatewayError) -> None:
        """NATS, or who is asked, refuses ``name``, which it was subscribed to, or is joining."""
        self.unsubscribe(name)
        if self._client is not None:
            self._client.refused(name, error)

    def revoked(self, name: str, error: GatewayError) -> None:
        """It is subscribed to ``name``, and may be no more."""
        if self.unsubscribe(name) and self._client is not None:
            self._client.removed(name, error)

    def reconfigured(self, doubtful: Collection[Bridge], added: Sequence[str]) -> None:
        """See ``Reconfigured``."""
        if doubtful:
            for subscription in [each for each in self._subscriptions.values() if each.bridge in doubtful]:
                self._check_again(subscription)
        if self._client is not None:
            self._client.reconfigured(added)

    def dropped(self, batch: Batch, count: int) -> None:
        """The client is slow (see ``Addressee``); counted where it was dropped."""
        if not self._slow:
            self._slow = True
            log.debug("%s: a slow client, publications of %s are dropped", self.principal, batch.name)

    def gapped(self, name: str, gap: Gap) -> None:
        """See ``Addressee``. The client is told once of a gap, of all names that have it."""
        here = self._subscriptions.get(name)
        if here is None or here.told >= gap.number or self._client is None:
            return
        told: list[str] = []
        for subscription in self._subscriptions.values():
            ours = subscription.channel.durable is None if gap.keys is None else subscription.key in gap.keys
            if ours and subscription.listening and subscription.told < gap.number:
                subscription.told = gap.number
                told.append(subscription.name)
        if told:  # it may be of a channel now that has no gap
            self._client.gap(told)

    def on_gap(self, name: str) -> OnGap:
        """What is to happen where publications to ``name``, which it is subscribed to, are missing."""
        return self._subscriptions[name].channel.on_gap

    # -- Holder

    def held_bytes(self) -> int:
        return self._held_bytes

    def evict(self) -> None:
        assert self.sender is not None
        self._leave_all(at_once=True)
        self.sender.overflow()

    # -- inside

    def _take(self, channel: Channel, name: str, key: str, start: Start) -> asyncio.Future[None] | None:
        if start is NOW and channel.on_join_last:
            start = Start(last=channel.on_join_last)
        bridge = self._house.bridge_of(channel)
        if channel.has_many_subjects:
            most = self._house.edge.limits.session_names
            if self._names >= most:
                message = f"this client is subscribed to {most} names of patterns, and may be to no more"
                raise GatewayError(TOO_MANY_SUBJECTS, message)
        subscription = Subscription(self, name, key, bridge)
        if bridge.state is BridgeState.SUBSCRIBED:
            subscription.told = self._house.hub.gaps  # those it had before are nothing to who comes now
        ready = bridge.join(key, subscription)
        self._subscriptions[name] = subscription
        if channel.durable is not None:
            if self._followings is None:
                self._followings = Followings(self._placed)
            self._followings.want(name, start)
        self._silent.append(name)
        if size := subscription.size_bytes:
            self._names += 1
            self._keep(size)
        return ready

    def _listen_to(self, names: list[str]) -> None:
        assert self.sender is not None
        for name in names:
            subscription = self._subscriptions.get(name)
            if subscription is not None and not subscription.listening:
                subscription.listening = True
                if self._followings is not None and isinstance(subscription.bridge, DurableBridge):
                    self._followings.begin(subscription.bridge, name, subscription.key, self.sender)
                else:
                    self._house.hub.subscribe(subscription.channel, subscription.key, self.sender)

    def _check_again(self, subscription: Subscription) -> None:
        """End ``subscription`` where its name, or the right to it, is not the client's any more."""
        why = self._why_elsewhere(subscription)
        if why is not None and self._subscriptions.get(subscription.name) is subscription:
            self.unsubscribe(subscription.name)
            if self._client is not None:
                self._client.removed(subscription.name, why)

    def _why_elsewhere(self, subscription: Subscription) -> GatewayError | None:
        """Why its name does not belong to its bridge any more; None where it does."""
        name = subscription.name
        try:
            channel = self._house.channels.find(name, Use.SUBSCRIBE)
            key = self._key(Use.SUBSCRIBE, channel, name)
        except GatewayError as error:
            if error.kind is UNKNOWN_CHANNEL:
                return GatewayError(UNKNOWN_CHANNEL, f"there is no channel {shown(name)} any more")
            return error.with_traceback(None)  # whose frames have this object
        if self._house.bridge_of(channel) is subscription.bridge and key == subscription.key:
            return None
        return changed(name)

    def _keep(self, size: int) -> None:
        before = self._held_bytes
        self._held_bytes += size
        self._house.edge.memory.change(self, before, self._held_bytes)

    def _leave_all(self, *, at_once: bool = False) -> None:
        """What comes is for the sender no more, at once; NATS' interest follows, for many names in turns.

        What was kept of a name counts until then.
        """
        left = list(self._subscriptions.values())  # a list becomes smaller as it is emptied
        self._subscriptions, self._silent, self._names = {}, [], 0
        self._held_bytes = 0
        self._house.edge.memory.discard(self)
        joining, self._joining = self._joining, None  # each has the other
        if joining is not None:
            joining.close()
        if self._followings is not None:
            self._followings.close()
        for subscription in left:
            self._deafen(subscription)
        leaving = one_by_one(_emptied(left), self._leave)
        if len(left) > MOST_LEFT_AT_ONCE and not at_once:
            self._house.edge.slices.queue(leaving)
        else:
            leaving(math.inf)

    def _leave(self, left: Subscription) -> None:
        left.bridge.leave(left.key, left)
        self._house.edge.memory.add(-left.size_bytes)

    def _deafen(self, subscription: Subscription) -> None:
        if subscription.channel.durable is not None:
            if self._followings is not None:
                self._followings.leave(subscription.name)
        elif subscription.listening:
            assert self.sender is not None
            self._house.hub.unsubscribe(subscription.key, self.sender)

    def _placed(self, name: str, place: Place) -> None:
        if self._client is not None:
            self._client.placed(name, place)

    def _as_asker(self) -> Asker:
        if self._asker is None:
            self._asker = Asker(self.principal)
        return self._asker

    def _key(self, use: Use, channel: Channel, name: str) -> str:
        """See ``entry.key_for``; raises GatewayError (token_expired), too: nobody may have told the session yet.

        One that comes alone is not told at all, and its body may have taken long.
        """
        if self.principal.identity is not None:
            self._house.expiries.check(self.principal.identity.expires_at)
        return key_for(self._house.rules, self.principal, use, channel, name)

    def _may(self, use: Use, channel: Channel, name: str) -> bool:
        try:
            self._key(use, channel, name)
        except GatewayError:
            return False
        return True


def _emptied(left: list[Subscription]) -> Iterator[Subscription]:
    """Each of them, which is not kept any longer."""
    while left:
        yield left.pop()
