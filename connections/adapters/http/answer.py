"""One answer: status, headers, and a body that is bounded while it arrives."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterator

import httpx

from connections.adapters.errors import ProtocolError, TooLargeError

PIECE = 64 * 1024


class Answer:
    """A status, headers, and a body that arrives as it is read: decompressed, and never more than ``most`` bytes."""

    def __init__(self, response: httpx.Response, url: httpx.URL, most: int) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.links = response.links
        self.content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.url = url
        self.tls: ssl.SSLSocket | None = _socket(response)
        self._response = response
        self._most = most

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection. A body that is not read to its end ends it."""
        self._response.close()

    def body(self) -> bytes:
        """The whole body. Raises ``TooLargeError``, ``ProtocolError``."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. Raises ``TooLargeError`` as soon as it is too long, ``ProtocolError``."""
        left = self._most
        for chunk in self._decoded():
            left -= len(chunk)
            if left < 0:
                raise self._too_large()
            yield chunk

    def lines(self) -> Iterator[bytes]:
        """The lines of the body as they arrive, each of at most ``most`` bytes; there is no limit to their number."""
        begun = b""
        for chunk in self._decoded():
            first, *others = chunk.split(b"\n")
            begun += first
            if len(begun) > self._most:
                raise self._too_large()
            for line in others:
                yield begun
                begun = line
        yield begun

    def _decoded(self) -> Iterator[bytes]:
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        raw = iter(self._response.stream)  # type: ignore[arg-type]  # a sync transport's stream is sync
        if coding in ("", "identity"):
            return raw
        if coding in ("gzip", "x-gzip"):
            return _gunzipped(raw)
        raise ProtocolError("The source compressed its answer in a way that was not asked for.")

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The source's answer has more than {self._most // 2**20} MB.",
            field="/query",
            hint="Ask for less at a time: a smaller page size, a filter; or raise the connection's largest answer.",
        )


def _gunzipped(raw: Iterator[bytes]) -> Iterator[bytes]:
    """``raw`` decompressed, in pieces of at most ``PIECE`` bytes, so that a bomb is noticed before it is in memory."""
    arrived = False
    try:
        member = zlib.decompressobj(wbits=31)
        for chunk in raw:
            arrived = arrived or bool(chunk)
            while chunk:
                if member.eof:  # gzip allows several members, one after the other
                    member = zlib.decompressobj(wbits=31)
                yield member.decompress(chunk, PIECE)
                chunk = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof and (rest := member.decompress(member.unconsumed_tail, PIECE)):
            yield rest
    except zlib.error:
        raise ProtocolError("The source's answer says that it is gzip, and is not.") from None
    if arrived and not member.eof:
        raise ProtocolError("The source's answer ended in the middle of its gzip data.")


def _socket(response: httpx.Response) -> ssl.SSLSocket | None:
    stream = response.extensions.get("network_stream")
    return stream.get_extra_info("ssl_object") if stream is not None else None
