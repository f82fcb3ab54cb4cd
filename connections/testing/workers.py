"""The source in a worker process, as the catalogue runs it: confined, and killed when it is to stop."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connections.adapters.contract import Environment
from connections.adapters.errors import AdapterError, CancelledError
from connections.adapters.limits import Budget
from connections.runner.frames import End, Head
from connections.runner.jobs import Job, Operation
from connections.runner.supervisor import LocalRunner
from connections.testing.subject import SECONDS, Settings, Subject, about, until

ORGANISATION = "conformance"


class Workers(Subject):
    @pytest.fixture(scope="class")
    @classmethod
    def workers(cls) -> Iterator[LocalRunner]:
        """A runner of worker processes; each job's connection is a new one."""
        runner = LocalRunner(workers=2, share=2, spares=1)
        try:
            yield runner
        finally:
            runner.close()

    def test_a_confined_worker_checks_and_reads(
        self, workers: LocalRunner, settings: Settings, environment: Environment, ordered_query: Settings
    ) -> None:
        checked = run(workers, self.job(Operation.CHECK, {}, environment), settings)[-1]
        assert isinstance(checked, End)
        assert checked.fields["ok"], checked.fields
        frames = run(workers, self.job(Operation.READ, {"query": ordered_query}, environment), settings)
        head = next(frame for frame in frames if isinstance(frame, Head))
        assert head.columns

    @about("slow_query")
    def test_a_slow_query_in_a_worker_ends_at_its_deadline(
        self, workers: LocalRunner, settings: Settings, environment: Environment, slow_query: Settings
    ) -> None:
        started = time.monotonic()
        with pytest.raises(AdapterError) as caught:
            run(workers, self.job(Operation.READ, {"query": slow_query}, environment, timeout=2.0), settings)
        assert caught.value.code == "deadline"
        assert time.monotonic() - started < 4

    @about("running")
    def test_a_cancelled_query_ends_at_the_server(
        self,
        workers: LocalRunner,
        settings: Settings,
        environment: Environment,
        slow_query: Settings,
        running: Callable[[], int],
    ) -> None:
        job = self.job(Operation.READ, {"query": slow_query}, environment, timeout=60)
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                run(workers, job, settings)
            except AdapterError as error:
                ended.append(error)

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        until(lambda: running() == 1, SECONDS)
        assert workers.cancel(job.id, ORGANISATION)
        waiting.join(SECONDS)
        assert [type(error) for error in ended] == [CancelledError]
        until(lambda: running() == 0)

    def job(
        self, operation: Operation, arguments: dict[str, Any], environment: Environment, timeout: float = 20
    ) -> Job:
        return Job(
            id=uuid.uuid4().hex,
            organisation=ORGANISATION,
            connection=uuid.uuid4().hex,
            access_version=1,
            source=self.source,
            operation=operation,
            arguments=arguments,
            timeout=timeout,
            budget=Budget(),
            egress=environment.egress.as_dict(),
            root=str(environment.root) if environment.root else None,
        )


def run(workers: LocalRunner, job: Job, settings: Settings) -> list[Any]:
    """All frames of one job."""
    with workers.run(job, lambda: settings) as frames:
        return list(frames)
