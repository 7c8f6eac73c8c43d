"""Values that several sections have."""

from __future__ import annotations

import pytest

from wsgw.config.values import seconds


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (2, 2.0),
        (0.5, 0.5),
        ("2", 2.0),
        ("2s", 2.0),
        (" 500 ms ", 0.5),
        ("1.5m", 90.0),
        ("24h", 86400.0),
        ("2d", 172800.0),
    ],
)
def test_seconds(value: object, wanted: float) -> None:
    assert seconds(value) == wanted


@pytest.mark.parametrize("value", ["", "s", "-1", "1w", "1e3", "nan", "inf", True, None, [1], "1 000"])
def test_no_seconds(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(value)
