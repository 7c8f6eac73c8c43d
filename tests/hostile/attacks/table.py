"""All attacks that run against a gateway, by name: first the row of the issue's table where it has one."""

from __future__ import annotations

from hostile.attack import Attack
from hostile.attacks import addresses, connects, frames, heads, pipelining, slow, socketios, websockets, worst
from hostile.form import MIB

_HEAD = {"size": 200 * MIB, "seconds": 20}
_SHORT_HEAD = {"size": 4 * MIB, "seconds": 5}
_FLOOD = {"connections": 30, "seconds": 10}
_SHORT_FLOOD = {"connections": 10, "seconds": 1.0}
_FOR_EVER = 2**30

ATTACKS: dict[str, Attack] = {
    "1 pipelined requests": Attack(
        pipelining.unread,
        {"connections": 1, "size": 31 * MIB, "seconds": 20},
        {"size": 8 * MIB, "seconds": 3},
    ),
    **{
        f"{3 if 'handshake' in what else 2} endless {what}": Attack(
            heads.endless, _HEAD | {"what": [what]}, _SHORT_HEAD
        )
        for what in heads.ENDLESS
    },
    "2, 3 endless heads": Attack(heads.endless, _HEAD | {"what": list(heads.ENDLESS)}, _SHORT_HEAD),
    **{
        f"4 {what} frames": Attack(websockets.flood, _FLOOD | {"what": [what]}, _SHORT_FLOOD)
        for what in websockets.UNITS
    },
    "4 frames of all kinds": Attack(websockets.flood, _FLOOD | {"what": list(websockets.UNITS)}, _SHORT_FLOOD),
    "4 pong frames of one": Attack(websockets.flood, _FLOOD | {"what": ["pong"], "connections": 1}, {"seconds": 1.0}),
    "5 refused events": Attack(
        socketios.flood,
        {"what": ["refused"], "connections": 10, "each": 40_000, "seconds": 20},
        {"connections": 5, "each": 10_000, "seconds": 1.5},
    ),
    "5 refused events with acks": Attack(
        socketios.flood,
        {"what": ["refused with acks"], "connections": 10, "each": 40_000, "seconds": 20},
        {"connections": 5, "each": 10_000, "seconds": 1.5},
    ),
    "5 subscriptions": Attack(
        socketios.flood,
        {"what": ["subscriptions"], "connections": 10, "each": 6_000, "seconds": 20},
        {"connections": 5, "each": 2_000, "seconds": 1.5},
    ),
    "5 needless packets": Attack(
        socketios.flood,
        {"what": ["needless"], "connections": 10, "each": _FOR_EVER, "seconds": 10},
        {"connections": 5, "seconds": 1.0},
    ),
    "5 packets of all kinds": Attack(
        socketios.flood,
        {
            "what": ["refused", "refused with acks", "subscriptions", "needless"],
            "connections": 12,
            "each": 40_000,
            "seconds": 20,
        },
        {"connections": 8, "each": 10_000, "seconds": 1.5},
    ),
    "6 millions of arguments": Attack(
        socketios.many_arguments, {"connections": 5, "arguments": 3_000_000}, {"connections": 2, "arguments": 1_500_000}
    ),
    "7 slow connections": Attack(
        slow.hold, {"beginnings": list(slow.BEGINNINGS), "each": 50, "seconds": 40}, {"each": 5, "seconds": 5}
    ),
    "7 a byte a second": Attack(
        slow.drip,
        {"what": list(slow.DRIPS), "interval": 1.0, "seconds": 150},
        {"interval": 0.05, "seconds": 8},
    ),
    "8 posts of refused events": Attack(
        socketios.posts,
        {"what": "refused", "sessions": 30, "each": 64_000, "patience": 90},
        {"sessions": 5, "patience": 2},
    ),
    "8 posts of connects": Attack(
        socketios.posts,
        {"what": "connects", "sessions": 30, "each": 150_000, "patience": 90},
        {"sessions": 3, "each": 100_000, "patience": 2},
    ),
    "9 handshakes with 1 MB": Attack(heads.kept, {"sessions": 500, "size": 1_000_000}, {"sessions": 80}),
    "9 handshakes with 60 KB": Attack(heads.kept, {"sessions": 2000, "size": 60_000}, {"sessions": 600}),
    "10 sessions without a CONNECT": Attack(socketios.sessions, {"count": 20_000, "connections": 10}, {"count": 3_000}),
    "11 clients that do not read": Attack(
        websockets.unread,
        {"connections": 20, "each": 8 * MIB, "payload": 16 * 1024},
        {"connections": 10, "each": 4 * MIB},
    ),
    "12 posts, then a reset": Attack(
        pipelining.posts_then_reset, {"connections": 100, "posts": 30}, {"connections": 20}
    ),
    "12 requests behind streams": Attack(
        pipelining.behind_streams, {"connections": 50, "seconds": 20}, {"connections": 10, "seconds": 2}
    ),
    "13 requests to a silent responder": Attack(
        socketios.silent_requests, {"connections": 11, "each": 1000, "seconds": 10}, {"seconds": 2.5}
    ),
    "14 names of a pattern": Attack(socketios.names, {"count": 10_000, "seconds": 10}, {"seconds": 4}),
    "16 connect and disconnect": Attack(
        socketios.flood,
        {"what": ["connect and disconnect"], "connections": 20, "each": 20_000, "seconds": 20},
        {"connections": 3, "each": 20_000, "seconds": 2},
    ),
    "19 endless bodies to nothing": Attack(
        heads.to_nothing,
        {"paths": ["/nothing", "/healthz", "/ws/OUT", "/publish/IN", "/docs"], "size": 2 * 1024 * MIB, "seconds": 8},
        {"seconds": 1.5},
    ),
    "resets": Attack(slow.resets, {"rounds": 500}, {"rounds": 20}),
    "connects and disconnects": Attack(slow.connects, {"count": 20_000, "at_once": 20}, {"count": 1_000}),
    "slow handshakes and frames": Attack(
        frames.drip,
        {"what": list(frames.DRIPS), "each": 300, "interval": 1.0, "seconds": 60},
        {"each": 25, "interval": 0.2, "seconds": 3},
    ),
    "messages without an end": Attack(
        frames.hoard, {"connections": 150, "size": MIB, "seconds": 5}, {"connections": 30, "seconds": 0.5}
    ),
    "flood of connects": Attack(
        connects.flood,
        {"count": 20_000, "addresses": 20, "at_once": 500, "spare": 2_500},
        {"count": 1_000, "at_once": 100},
    ),
    "connects of one address": Attack(
        addresses.connects, {"count": 20_000, "at_once": 20, "address": "127.0.0.9"}, {"count": 2_000}
    ),
    "the worst": Attack(worst.mixed, {"connections": 100, "seconds": 15}, {"connections": 40, "seconds": 1.5}),
}
