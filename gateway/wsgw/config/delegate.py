"""Others who decide: on who a client is (``auth.delegate``), and on what it may do with a channel (``authorize``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from wsgw.channels.authorize import Authorize
from wsgw.channels.subjects import subject_problem
from wsgw.config.values import Model, Seconds, Url, is_token, section

#: Longer ones would hold clients, and what they send, for as long.
MOST_TIMEOUT_SECONDS = 30.0
MAX_HEADERS = 32
#: Those of one connection or its framing, which are not passed on (RFC 9110 section 7.6.1), and what the gateway says
#: itself: the host that is asked, the client's address, and that an answer is to come as it is.
_OWN = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding"),
        *("upgrade", "proxy-connection", "accept-encoding", "x-forwarded-for"),
    }
)


def _subject(value: str) -> str:
    problem = subject_problem(value, wildcards=False)
    if problem is not None:
        raise ValueError(f"{value[:64]!r} {problem}")
    return value


def _header(value: str) -> str:
    if not is_token(value):
        raise ValueError(f"{value[:64]!r} is no name of a header")
    if value.lower() in _OWN:
        raise ValueError(f"{value!r} is said by the gateway itself, and not passed on")
    return value.lower()


Subject = Annotated[str, AfterValidator(_subject)]
Timeout = Annotated[Seconds, Field(le=MOST_TIMEOUT_SECONDS)]


class DelegateSettings(Model):
    """Your own endpoint, or NATS service, that says who a client is."""

    url: Url | None = Field(default=None, description="Where it is, over HTTP: it is asked by GET.")
    subject: Subject | None = Field(default=None, description="Or the NATS subject on which it answers requests.")
    headers: list[Annotated[str, AfterValidator(_header)]] = Field(
        default=["cookie", "authorization"],
        min_length=1,
        max_length=MAX_HEADERS,
        description="Headers of a client that it is shown; who sends none of them is not asked about.",
    )
    timeout: Timeout = Field(default=2.0, description="How long its answer may take.")

    @model_validator(mode="after")
    def _one_way(self) -> DelegateSettings:
        if (self.url is None) == (self.subject is None):
            raise ValueError("one of url, subject is needed")
        return self


class AuthorizeSettings(Model):
    """The NATS service that says which client may use which name of a channel."""

    subject: Subject = Field(description="The subject on which it answers requests.")
    timeout: Timeout = Field(
        default=1.0, description="How long its answer may take; without one the client may not use the name."
    )

    def authorize(self) -> Authorize:
        """As the gateway uses it."""
        return Authorize(self.subject, self.timeout)


Authorizing = Annotated[AuthorizeSettings | None, section("leave it out where nobody is to be asked")]
