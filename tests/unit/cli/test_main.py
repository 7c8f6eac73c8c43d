from __future__ import annotations

from typing import Any

from wsgw import __version__


async def test_version_and_help(wsgw: Any) -> None:
    command = await wsgw("--version")
    assert await command.ended() == 0
    assert __version__ in command.output
    command = await wsgw("--help")
    assert await command.ended() == 0
    for name in ("server", "consumer", "producer", "check-config", "Examples:"):
        assert name in command.output


async def test_unknown_command_and_option(wsgw: Any) -> None:
    for argument in ("nonsense", "--nonsense"):
        command = await wsgw(argument)
        assert await command.ended() == 2
        assert "No such" in command.output
