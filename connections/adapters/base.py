"""The adapter: what talks to one source.

The public methods live here and carry the promises: errors are translated and redacted, the deadline holds, rows
come as wire values. A source writes the hooks, and only those.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from connections.adapters.config import Config, Query
from connections.adapters.contract import (
    Category,
    Description,
    Driver,
    Environment,
    Notice,
    Result,
    Server,
    Step,
    StepName,
    Table,
)
from connections.adapters.errors import (
    AdapterError,
    DeadlineError,
    DriverMissingError,
    InternalError,
    InvalidError,
    TransientError,
    UnreachableError,
)
from connections.adapters.gate import Gate
from connections.adapters.limits import Deadline
from connections.adapters.redaction import HIDDEN, bounded, spellings
from connections.adapters.upgrades import Upgrade
from connections.adapters.vouching import vouched

ConfigT = TypeVar("ConfigT", bound=Config)
QueryT = TypeVar("QueryT", bound=Query)


@dataclass(frozen=True, slots=True)
class Check:
    """One step of a status check. ``action`` raises when the step fails, and may return a detail to show."""

    name: StepName
    action: Callable[[Deadline], str | None]


class Adapter(ABC, Generic[ConfigT, QueryT]):
    """One source, configured. Not thread-safe: a worker uses it for one job at a time."""

    id: ClassVar[str]
    label: ClassVar[str]
    category: ClassVar[Category]
    config_class: ClassVar[type[Config]]
    query_class: ClassVar[type[Query]]
    driver: ClassVar[Driver | None] = None
    docs_url: ClassVar[str | None] = None
    needs_network: ClassVar[bool] = True
    tested_against: ClassVar[str] = ""
    takes_parameters: ClassVar[bool] = False
    job_modules: ClassVar[tuple[str, ...]] = ()
    """Modules that jobs import and listing the source does not; workers are forked with them loaded."""
    waits_itself: ClassVar[bool] = False
    """Whether ``read`` enters ``self.gate`` right before it touches the source. For others that was done before."""
    upgrades: ClassVar[Mapping[int, Upgrade]] = {}
    """The way from each earlier ``schema_version`` of the settings to the next: ``{1: Upgrade(…)}``."""

    def __init__(self, config: ConfigT, environment: Environment) -> None:
        self.config = config
        self.environment = environment
        self.gate = Gate()
        self._secrets = sorted(spellings(config), key=len, reverse=True)

    # What callers use ------------------------------------------------------------------------------------------

    @classmethod
    def capabilities(cls) -> list[str]:
        """What this source can do, told by the hooks it has: ``preview``, ``describe``, ``tables``, ``columns``, ..."""
        optional = {"tables": Adapter.list_tables, "columns": Adapter.describe_table}
        found = [name for name, hook in optional.items() if getattr(cls, hook.__name__) is not hook]
        return ["preview", "describe", *found, *(["parameters"] if cls.takes_parameters else [])]

    @classmethod
    def require_capability(cls, capability: str) -> None:
        """Raise ``InvalidError`` where this source cannot do ``tables`` or ``columns``."""
        if capability not in cls.capabilities():
            words = {"tables": "lists no tables", "columns": "tells no columns of tables"}
            raise InvalidError(
                f"The source {cls.label} {words.get(capability, f'has no {capability}')}.",
                hint="Describe or preview a query instead. A source's capabilities say what it can do.",
            )

    def check(self, deadline: Deadline) -> Iterator[Step | AdapterError]:
        """Diagnose the connection: yield each ``Step`` as it finishes, and after a failed one its error.

        Steps after the first failure are yielded with ``ok`` None.
        """
        self._require_driver()
        steps = self.checks()
        for position, step in enumerate(steps):
            started = time.perf_counter()
            try:
                with self.translating(deadline):
                    deadline.require()
                    detail = step.action(deadline)
            except AdapterError as error:
                yield from self._failed(steps[position:], error, _ms(started))
                return
            yield Step(step.name, True, _ms(started), bounded(self.redact(detail)) if detail else None)

    def read(
        self,
        query: QueryT,
        parameters: dict[str, Any],
        *,
        limit: int,
        offset: int,
        count: bool,
        deadline: Deadline,
    ) -> Result:
        """Start ``query``; its rows after ``offset`` come in batches, one more than ``limit`` where there are more."""
        self._require_driver()
        with self.translating(deadline):
            started = time.perf_counter()
            self.connect_with_retries(deadline)
            connected = time.perf_counter()
            waited = self.gate.waited
            result = self.rows(query, parameters, limit=limit, offset=offset, count=count, deadline=deadline)
            result.connect_ms = (connected - started - waited) * 1000
            result.execute_ms = _ms(connected + self.gate.waited - waited)
        result.batches = self._translated(result.batches, deadline)
        return result

    def describe(self, query: QueryT, parameters: dict[str, Any], deadline: Deadline) -> Description:
        """The columns of ``query``, without fetching its rows."""
        self._require_driver()
        with self.translating(deadline):
            self.connect_with_retries(deadline)
            return self.describe_query(query, parameters, deadline)

    def tables(self, search: str, deadline: Deadline) -> Iterator[Table]:
        """What can be read, by path; ``search`` is a part of the path, in any case.

        Raises ``InvalidError`` where the source lists none.
        """
        self.require_capability("tables")
        self._require_driver()
        with self.translating(deadline):
            self.connect_with_retries(deadline)
            wanted = search.casefold()
            for table in self.list_tables(deadline):
                if wanted in ".".join(table.path).casefold():
                    yield table

    def columns(self, path: tuple[str, ...], deadline: Deadline) -> Description:
        """The columns of one table. Raises ``QueryError`` when there is none at ``path``.

        Raises ``InvalidError`` where the source cannot tell them without a query.
        """
        self.require_capability("columns")
        self._require_driver()
        with self.translating(deadline):
            self.connect_with_retries(deadline)
            return self.describe_table(path, deadline)

    # Hooks that every source has -------------------------------------------------------------------------------

    @abstractmethod
    def connect(self, deadline: Deadline) -> None:
        """Open what reading needs, unless it is open. Credentials are used here and nowhere else."""

    @abstractmethod
    def checks(self) -> list[Check]:
        """The steps of a status check, in the order of ``StepName``."""

    @abstractmethod
    def rows(
        self,
        query: QueryT,
        parameters: dict[str, Any],
        *,
        limit: int,
        offset: int,
        count: bool,
        deadline: Deadline,
    ) -> Result:
        """Start the query on the open connection. Limit and offset are pushed to the source where it takes them."""

    @abstractmethod
    def translate(self, exc: Exception) -> AdapterError | None:
        """The vendor's exception as one of ours; None when it is not the vendor's, and so a bug."""

    def close(self) -> None:
        """Close what ``connect`` opened. May be called twice."""

    # Hooks that a source may have ------------------------------------------------------------------------------

    def reset(self) -> bool:
        """Put the open connection back as if new, for the next job. False when it cannot be: it is closed then."""
        return False

    def abandon(self, deadline: Deadline) -> None:
        """Have the source end the running query: nobody waits for it. Then this adapter is not used any more.

        It is called wherever the query was interrupted, and what it raises is ignored. Sources that end a query when
        its connection closes need none.
        """

    def describe_query(self, query: QueryT, parameters: dict[str, Any], deadline: Deadline) -> Description:
        result = self.rows(query, parameters, limit=0, offset=0, count=False, deadline=deadline)
        return Description(result.columns)

    def list_tables(self, deadline: Deadline) -> Iterator[Table]:
        raise NotImplementedError

    def describe_table(self, path: tuple[str, ...], deadline: Deadline) -> Description:
        raise NotImplementedError

    def server(self) -> Server | None:
        """Product and version, known once connected."""
        return None

    def notices(self) -> list[Notice]:
        """Warnings about the open connection: ``role_can_write``, ``tls_off``, …"""
        return []

    # Promises --------------------------------------------------------------------------------------------------

    def connect_with_retries(self, deadline: Deadline) -> None:
        """``connect``, trying again after transient failures as the connection's retry policy says."""
        policy = self.config.retry

        def worth_it(exc: BaseException) -> bool:
            return isinstance(exc, TransientError) and deadline.remaining() > policy.delay

        def note(_state: RetryCallState) -> None:
            self.close()

        for attempt in Retrying(
            stop=stop_after_attempt(policy.attempts),
            wait=wait_exponential(policy.delay, max=10) + wait_random(0, policy.delay),
            retry=retry_if_exception(worth_it),
            before_sleep=note,
            reraise=True,
        ):
            with attempt, self.translating():
                self.connect(deadline)

    @contextmanager
    def translating(self, deadline: Deadline | None = None) -> Iterator[None]:
        """Inside, whatever a driver raises leaves as an ``AdapterError`` without vendor text or secrets.

        A far side that was not there by the ``deadline`` is out of time, whichever of a driver's waits ended first.
        """
        try:
            yield
        except AdapterError as error:
            raise self._redacted(vouched.refusal() or _overdue(error, deadline) or error) from None
        except MemoryError:
            raise  # the job's budget, not the source; the runner tells it so
        except Exception as exc:  # noqa: BLE001  what a driver raises is translated, or told by its type alone
            known = (
                vouched.refusal()
                or self.translate(exc)
                or InternalError(f"The {self.label} adapter failed in a way it does not know ({type(exc).__name__}).")
            )
            raise self._redacted(_overdue(known, deadline) or known) from None

    def redact(self, text: str) -> str:
        """``text`` without this connection's secrets, in any spelling that drivers are known to print."""
        for spelling in self._secrets:
            text = text.replace(spelling, HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> Any:
        raise TypeError("An adapter holds secrets and is not pickled.")

    def _redacted(self, error: AdapterError) -> AdapterError:
        error.message = bounded(self.redact(error.message))
        error.hint = bounded(self.redact(error.hint)) if error.hint else None
        error.args = (error.message,)
        return error

    def _translated(self, batches: Iterator[list[Any]], deadline: Deadline) -> Iterator[list[Any]]:
        with self.translating(deadline):
            yield from batches

    def _failed(self, steps: list[Check], error: AdapterError, ms: float) -> Iterator[Step | AdapterError]:
        """The steps that a failure leaves: those before the error's own step passed, those after were not run."""
        names = [step.name for step in steps]
        at = names.index(StepName(error.step)) if error.step in names else 0
        for name in names[:at]:
            yield Step(name, True)
        yield Step(names[at], False, ms, code=error.code)
        yield error
        for name in names[at + 1 :]:
            yield Step(name)

    def _require_driver(self) -> None:
        if self.driver is not None and not self.driver.available:
            raise DriverMissingError(
                f"{self.driver.module} is not installed. Run: {self.driver.install}", hint=self.driver.install
            )


def _overdue(error: AdapterError, deadline: Deadline | None) -> DeadlineError | None:
    if deadline is None or deadline.remaining() > 0 or not isinstance(error, UnreachableError):
        return None
    return DeadlineError("Time ran out before the source answered.", field=error.field, step=error.step)


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
