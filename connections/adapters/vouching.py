"""What was judged in the running job, for whoever watches this process's connections."""

from __future__ import annotations

from connections.adapters.addresses import Address
from connections.adapters.errors import EgressDeniedError


class Vouched:
    """The places that the running job may connect to: judged addresses, and the near end of its tunnel.

    Kept only where somebody watches, which is in a worker: one job at a time.
    """

    def __init__(self) -> None:
        self.watched = False
        self.refused: str | None = None
        """The first place that was refused in this job."""
        self._places: set[tuple[str, int]] = set()

    def add(self, address: Address | str, port: int) -> None:
        if self.watched:
            self._places.add((str(address), port))

    def __contains__(self, place: tuple[str, int]) -> bool:
        return place in self._places

    def forget(self) -> None:
        """A new job begins: what an earlier one was allowed is not this one's."""
        self._places.clear()
        self.refused = None

    def refusal(self) -> EgressDeniedError | None:
        """What a job is told whose driver went for another place than was judged."""
        if self.refused is None:
            return None
        return EgressDeniedError(
            f"The driver tried to reach {self.refused}, which is not where this connection leads.", step="policy"
        )


vouched = Vouched()
