"""Runs requests: a bounded number at one time, together where that cannot hurt."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from usgland.serving.interface.inputs import Arrays, takes_rows
from usgland.serving.interface.status import RequestError, from_tensorflow
from usgland.serving.server.servable import Servable
from usgland.serving.server.server_options import ServerOptions


@dataclass(eq=False)
class Job:
    """Checked inputs of one request, and where its outputs go."""

    servable: Servable
    signature: str
    outputs: tuple[str, ...]
    inputs: Arrays
    deadline: float  # in seconds of `time.monotonic`
    rows: int | None = field(init=False)  # None if requests cannot run together
    result: asyncio.Future = field(init=False)  # the outputs, or a `RequestError`

    def __post_init__(self) -> None:
        self.result = asyncio.get_running_loop().create_future()
        self.rows = None
        if takes_rows(self.servable.signatures[self.signature]):
            lengths = {len(array) for array in self.inputs.values()}
            self.rows = lengths.pop() if len(lengths) == 1 else None

    def joins(self, other: "Job") -> bool:
        """Whether both can be rows of one batch."""
        return (
            self.servable is other.servable
            and self.signature == other.signature
            and self.outputs == other.outputs
            and all(
                array.shape[1:] == other.inputs[name].shape[1:]
                for name, array in self.inputs.items()
            )
        )


class Batcher:
    """A queue, and a few threads that empty it.

    A request waits only while all threads are busy. What has gathered by then runs
    as one batch of at most `max_batch_size` rows; a larger request runs in parts, so
    that memory does not grow with it. If a batch fails, its requests run one by one,
    and only those that fail alone get an error. `on_batch` hears the model, the number
    of rows and the seconds of each run.
    """

    def __init__(
        self, options: ServerOptions, on_batch: Callable[[str, int, float], None]
    ):
        self.max_rows = options.max_batch_size
        self.window = options.batch_window_milliseconds / 1000
        self.threads = options.threads
        self.on_batch = on_batch
        self.waiting: deque[Job] = deque()
        self.running = 0
        self._pool = ThreadPoolExecutor(options.threads, "model")
        self._tasks: set[asyncio.Task] = set()

    async def run(self, job: Job) -> Arrays:
        """Waits for the outputs of a job.

        Raises:
            RequestError: What the graph raises, or DEADLINE_EXCEEDED.
        """
        job.servable.users += 1
        job.result.add_done_callback(lambda _: self._forget(job))
        self.waiting.append(job)
        if self.running < self.threads:
            self._start()
        try:
            async with asyncio.timeout(max(0.0, job.deadline - time.monotonic())):
                return await job.result
        except TimeoutError as error:
            raise RequestError(
                "DEADLINE_EXCEEDED",
                "Expected to answer in time. Received too many requests, or too "
                "large a one. Try again later, or allow more time",
            ) from error

    def _forget(self, job: Job) -> None:
        """Takes a job back that nobody waits for; a running one holds its model."""
        if job in self.waiting:
            self.waiting.remove(job)
        job.servable.users -= 1

    def _start(self) -> None:
        self.running += 1
        task = asyncio.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        """Runs batch after batch until nothing waits."""
        try:
            if self.window and self.waiting:
                await asyncio.sleep(self.window)
            while self.waiting:
                await self._run_batch(self._next_batch())
        finally:
            self.running -= 1
            if self.waiting:  # An unforeseen error ended this one before its time.
                self._start()

    def _next_batch(self) -> list[Job]:
        """The job that has waited longest, and those that can run with it."""
        first = self.waiting.popleft()
        batch = [first]
        if first.rows is None:
            return batch
        rows = first.rows
        for job in list(self.waiting):
            if job.rows is None or rows + job.rows > self.max_rows:
                continue
            if job.joins(first):
                self.waiting.remove(job)
                batch.append(job)
                rows += job.rows
        return batch

    async def _run_batch(self, batch: list[Job]) -> None:
        servable = batch[0].servable
        servable.users += 1  # The run goes on when all who asked give up.
        failed = RequestError("INTERNAL", "The run ended in an unforeseen error")
        results: Sequence[Arrays | RequestError] = [failed] * len(batch)
        try:
            loop = asyncio.get_running_loop()
            results = await loop.run_in_executor(self._pool, self._answers, batch)
        finally:
            servable.users -= 1
            for job, result in zip(batch, results, strict=True):
                if job.result.done():
                    continue
                if isinstance(result, RequestError):
                    job.result.set_exception(result)
                else:
                    job.result.set_result(result)

    def _answers(self, batch: list[Job]) -> Sequence[Arrays | RequestError]:
        """In a thread: the outputs or the error of each job."""
        try:
            return self._together(batch)
        except tf.errors.OpError as error:
            if len(batch) == 1:
                return [from_tensorflow(error)]
        except (MemoryError, ValueError, TypeError) as error:
            if len(batch) == 1:
                return [
                    RequestError("INTERNAL", f"The run failed: {type(error).__name__}")
                ]
        return [self._answers([job])[0] for job in batch]

    def _together(self, batch: list[Job]) -> list[Arrays]:
        first = batch[0]
        if first.rows is None:
            return [self._timed(first, first.inputs, 1)]
        inputs = first.inputs
        if len(batch) > 1:
            inputs = {
                name: np.concatenate([job.inputs[name] for job in batch])
                for name in first.inputs
            }
        total = sum(job.rows or 0 for job in batch)
        parts = []
        for start in range(0, max(total, 1), self.max_rows):
            part = {
                name: array[start : start + self.max_rows]
                for name, array in inputs.items()
            }
            parts.append(self._timed(first, part, min(self.max_rows, total - start)))
        outputs = {
            name: np.concatenate([part[name] for part in parts]) if parts[1:] else array
            for name, array in parts[0].items()
        }
        if len(batch) == 1:
            return [outputs]
        if any(len(array) != total for array in outputs.values()):
            raise ValueError(f"Expected {total} rows in every output of a batch")
        ends = np.cumsum([job.rows for job in batch])[:-1]
        split = {name: np.split(array, ends) for name, array in outputs.items()}
        return [
            {name: split[name][number] for name in first.outputs}
            for number in range(len(batch))
        ]

    def _timed(self, job: Job, inputs: Arrays, rows: int) -> Arrays:
        start = time.monotonic()
        if job.result.cancelled() or start >= job.deadline:
            raise tf.errors.DeadlineExceededError(None, None, "Nobody waits any more")
        outputs = job.servable.run(
            job.signature, job.outputs, inputs, job.deadline - start
        )
        self.on_batch(job.servable.name, rows, time.monotonic() - start)
        return outputs

    def close(self) -> None:
        """Ends the threads once they are idle."""
        self._pool.shutdown(wait=True)
