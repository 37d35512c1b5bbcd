"""Runs requests: a bounded number at one time, together where that cannot hurt.

What is small does not wait for what is large: see `Batcher`.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from usgland.data.picture_headers import area_of
from usgland.serving.interface.inputs import Arrays, takes_rows
from usgland.serving.interface.status import RequestError, from_tensorflow
from usgland.serving.server.daemon_threads import DaemonThreads
from usgland.serving.server.servable import Servable
from usgland.serving.server.server_options import ServerOptions

# Pixels, or numbers, up to which a run is small: eight frames of an ultrasound machine.
SMALL_COST = 2**22
LARGEST_COST = 2**24  # of one run: the largest image, alone
CLIENTS = 1000  # whose last turn is remembered
HANG_SECONDS = 30.0  # beyond its time, after which a run is thought to have no end


@dataclass(eq=False)
class Job:
    """Checked inputs of one request, and where its outputs go."""

    servable: Servable
    signature: str
    outputs: tuple[str, ...]
    inputs: Arrays
    deadline: float  # in seconds of `time.monotonic`
    client: tuple[str, str] = ("", "")  # its address, and its connection
    rows: int | None = field(init=False)  # None if requests cannot run together
    costs: list[int] = field(init=False)  # of each row
    done: int = field(init=False, default=0)  # rows that have run
    parts: list[Arrays] = field(init=False, default_factory=list)  # their outputs
    arrived: float = field(init=False)  # in seconds of `time.monotonic`
    queued: float = field(init=False, default=0.0)  # seconds until it began
    result: asyncio.Future = field(init=False)  # the outputs, or a `RequestError`

    def __post_init__(self) -> None:
        self.result = asyncio.get_running_loop().create_future()
        self.arrived = time.monotonic()
        self.rows = None
        if takes_rows(self.servable.signatures[self.signature]):
            lengths = {len(array) for array in self.inputs.values()}
            self.rows = lengths.pop() if len(lengths) == 1 else None
        arrays = self.inputs.values()
        files = [array for array in arrays if array.dtype.kind == "O"]
        numbers = sum(a.size for a in arrays if a.dtype.kind != "O")
        self.costs = [
            numbers // (self.rows or 1) + sum(_cost(array[row]) for array in files)
            for row in range(self.rows or 0)
        ]

    @property
    def left(self) -> int:
        """How many rows have not run."""
        return (self.rows or 0) - self.done

    def is_large(self, max_rows: int) -> bool:
        """Whether it may take longer than a request of a few images."""
        return self.rows is None or self.rows > max_rows or sum(self.costs) > SMALL_COST

    def next_rows(self, max_rows: int) -> int:
        """How many rows run next: what costs too much runs alone."""
        cost = rows = 0
        for row in self.costs[self.done : self.done + max_rows]:
            cost += row
            if rows and cost > LARGEST_COST:
                break
            rows += 1
        return rows

    def joins(self, other: "Job") -> bool:
        """Whether both can be rows of one batch."""
        return (
            self.servable is other.servable
            and self.signature == other.signature
            and all(
                array.shape[1:] == other.inputs[name].shape[1:]
                for name, array in self.inputs.items()
            )
        )


def _cost(value: object) -> int:
    """Pixels of a file; 1 of each text where a row has several."""
    return area_of(value) if isinstance(value, bytes) else getattr(value, "size", 1)


class Batcher:
    """A queue, and a few threads that empty it.

    A request waits only while all threads are busy. What has gathered by then runs
    as one batch of at most `max_batch_size` rows; a larger request runs in parts, so
    that memory does not grow with it, and between two parts others have their turn. If
    a batch fails, its requests run one by one, and only those that fail alone get an
    error.

    Large requests leave one thread to small ones. Who has been served longest ago comes
    first, by address and then by connection, then who asks for least.

    `on_batch` hears the model, the number of rows and the seconds of each run.
    """

    def __init__(
        self, options: ServerOptions, on_batch: Callable[[str, int, float], None]
    ):
        self.max_rows = options.max_batch_size
        self.window = options.batch_window_milliseconds / 1000
        self.threads = options.threads
        self.on_batch = on_batch
        self.waiting: list[Job] = []
        self.running = self.running_large = 0
        self._served: OrderedDict[str, float] = OrderedDict()  # client -> its last turn
        self._pool = DaemonThreads(options.threads, "model")
        self._tasks: set[asyncio.Task] = set()
        self._longest = options.timeout_seconds + HANG_SECONDS
        self._began: dict[int, float] = {}  # runs -> since when, of `time.monotonic`

    def hangs(self) -> bool:
        """Whether every thread has a run without end: only a new process helps."""
        late = time.monotonic() - self._longest
        return sum(began < late for began in self._began.values()) >= self.threads

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
        """Runs batch after batch until nothing waits that it may run."""
        try:
            if self.window and self.waiting:
                await asyncio.sleep(self.window)
            while batch := self._next_batch():
                await self._run_batch(batch)
        finally:
            self.running -= 1
            if self._choose() is not None:  # An unforeseen error ended this one early.
                self._start()

    def _choose(self) -> Job | None:
        """Whose turn it is; a large request's if a thread is left to small ones."""
        most_large = max(1, self.threads - 1)
        large: list[Job] = []
        small: list[Job] = []
        for job in self.waiting:
            (large if job.is_large(self.max_rows) else small).append(job)
        if large and self.running_large < most_large:
            return min(large, key=self._turn)
        return min(small, key=self._turn, default=None)

    def _turn(self, job: Job) -> tuple[float, float, int, float]:
        address, connection = job.client
        return (
            self._served.get(address, 0.0),
            self._served.get(connection, 0.0),
            sum(job.costs),
            job.arrived,
        )

    def _next_batch(self) -> list[Job]:
        """The job whose turn it is, and those that can run with it."""
        first = self._choose()
        if first is None:
            return []
        self.waiting.remove(first)
        self._note(first)
        batch = [first]
        if first.is_large(self.max_rows):
            return batch
        rows, cost = first.rows or 0, sum(first.costs)
        for job in sorted(self.waiting, key=self._turn):
            if job.rows is None or rows + job.rows > self.max_rows:
                continue
            if cost + sum(job.costs) <= SMALL_COST and job.joins(first):
                self.waiting.remove(job)
                self._note(job)
                batch.append(job)
                rows, cost = rows + job.rows, cost + sum(job.costs)
        return batch

    def _note(self, job: Job) -> None:
        now = time.monotonic()
        if not job.done:
            job.queued = now - job.arrived
        for name in job.client:
            if name:
                self._served[name] = now
                self._served.move_to_end(name)
        while len(self._served) > CLIENTS:
            self._served.popitem(last=False)

    async def _run_batch(self, batch: list[Job]) -> None:
        servable = batch[0].servable
        is_large = batch[0].is_large(self.max_rows)
        servable.users += 1  # The run goes on when all who asked give up.
        self.running_large += is_large
        failed = RequestError("INTERNAL", "The run ended in an unforeseen error")
        results: Sequence[Arrays | RequestError | None] = [failed] * len(batch)
        self._began[id(batch)] = time.monotonic()
        try:
            loop = asyncio.get_running_loop()
            results = await loop.run_in_executor(self._pool, self._answers, batch)
        finally:
            del self._began[id(batch)]
            servable.users -= 1
            self.running_large -= is_large
            for job, result in zip(batch, results, strict=True):
                if job.result.done():
                    continue
                if result is None:
                    self.waiting.append(job)
                elif isinstance(result, RequestError):
                    job.result.set_exception(result)
                else:
                    job.result.set_result(result)

    def _answers(self, batch: list[Job]) -> Sequence[Arrays | RequestError | None]:
        """In a thread: the outputs or the error of each job; None if rows are left."""
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

    def _together(self, batch: list[Job]) -> Sequence[Arrays | None]:
        first = batch[0]
        if first.rows is None:
            return [self._timed(first, first.inputs, first.outputs, 1, large=True)]
        if len(batch) == 1:
            return [self._part(first)]
        inputs = {
            name: np.concatenate([job.inputs[name] for job in batch])
            for name in first.inputs
        }
        total = sum(job.rows or 0 for job in batch)
        wanted = tuple(sorted({name for job in batch for name in job.outputs}))
        outputs = self._timed(first, inputs, wanted, total, large=False)
        if any(len(array) != total for array in outputs.values()):
            raise ValueError(f"Expected {total} rows in every output of a batch")
        ends = np.cumsum([job.rows for job in batch])[:-1]
        split = {name: np.split(array, ends) for name, array in outputs.items()}
        return [
            {name: split[name][number] for name in job.outputs}
            for number, job in enumerate(batch)
        ]

    def _part(self, job: Job) -> Arrays | None:
        """Runs the next rows of a job, and gives its outputs if they are the last."""
        rows, large = job.next_rows(self.max_rows), job.is_large(self.max_rows)
        inputs = job.inputs
        if rows != job.rows:
            inputs = {
                name: array[job.done : job.done + rows]
                for name, array in inputs.items()
            }
        job.parts.append(self._timed(job, inputs, job.outputs, rows, large=large))
        job.done += rows
        if job.left:
            return None
        if len(job.parts) == 1:
            return job.parts[0]
        return {
            name: np.concatenate([part[name] for part in job.parts])
            for name in job.outputs
        }

    def _timed(
        self,
        job: Job,
        inputs: Arrays,
        outputs: Sequence[str],
        rows: int,
        *,
        large: bool,
    ) -> Arrays:
        start = time.monotonic()
        if job.result.cancelled() or start >= job.deadline:
            raise tf.errors.DeadlineExceededError(None, None, "Nobody waits any more")
        seconds = job.deadline - start
        answer = job.servable.run(job.signature, outputs, inputs, seconds, large)
        self.on_batch(job.servable.name, rows, time.monotonic() - start)
        return answer

    def close(self) -> None:
        """Ends the threads once they are idle."""
        self._pool.shutdown()
