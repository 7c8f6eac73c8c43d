"""When something is good, and why it is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from wsgw.config.term import Term


def test_when_it_is_good() -> None:
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert Term().untimely() is None
    assert Term(now - hour, now + hour).untimely() is None
    assert Term(None, datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)).untimely() == "expired on 2020-01-02 03:04:05 UTC"
    late = Term(now + hour, None).untimely()
    assert late is not None
    assert late.startswith("is good from ")
