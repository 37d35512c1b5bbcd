"""Requests run together, in parts, in time, and one bad one hurts itself alone."""

import asyncio
import time
from types import SimpleNamespace

import numpy as np
import pytest

from usgland.serving.interface.status import RequestError
from usgland.serving.server.batching import Batcher, Job
from usgland.serving.server.limits import Admission
from usgland.serving.server.places import Sender
from usgland.serving.server.servable import Servable
from usgland.serving.server.server_options import ServerOptions


@pytest.fixture(scope="module")
def servable(tiny_versions):
    loaded = Servable(tiny_versions[1], "tiny", 1)
    yield loaded
    assert loaded.users == 0  # Whatever happened: it can be dropped.
    loaded.close()


def run(jobs_of, tmp_path, **changes):
    """Runs all jobs at once: their outputs or errors, and the rows of each run."""
    runs = []

    async def main():
        options = ServerOptions(tmp_path, **{"threads": 1, **changes})
        batcher = Batcher(options, lambda name, rows, seconds: runs.append(rows))
        jobs = jobs_of()
        results = await asyncio.gather(
            *(batcher.run(job) for job in jobs), return_exceptions=True
        )
        while any(job.servable.users for job in jobs):
            await asyncio.sleep(0.01)
        batcher.close()
        return results

    return asyncio.run(main()), runs


def job_of(servable, *contents, seconds=30.0):
    inputs = {"image_bytes": np.array(contents, object)}
    end = time.monotonic() + seconds
    return Job(servable, "image_only", ("probability",), inputs, end)


def sigmoid(grey):
    return 1 / (1 + np.exp(-(np.asarray(grey) - 128) / 64))


def test_requests_that_wait_run_together_and_get_their_own_rows(
    servable, serving, tmp_path
):
    greys = [[10], [20, 30], [40], [50, 60, 70], [80]]
    results, runs = run(
        lambda: [job_of(servable, *map(serving.png, part)) for part in greys], tmp_path
    )
    for result, part in zip(results, greys, strict=True):
        assert result["probability"] == pytest.approx(sigmoid(part))
    assert runs == [8]


def test_a_large_request_runs_in_parts(servable, serving, tmp_path):
    greys = np.arange(21)
    results, runs = run(
        lambda: [job_of(servable, *map(serving.png, greys.astype(np.uint8)))], tmp_path
    )
    assert results[0]["probability"] == pytest.approx(sigmoid(greys))
    assert runs == [8, 8, 5]


def test_only_the_bad_request_of_a_batch_fails(servable, serving, tmp_path):
    def jobs():
        contents = [serving.png(5), b"no image", serving.png(9)]
        return [job_of(servable, content) for content in contents]

    results, runs = run(jobs, tmp_path)
    assert results[0]["probability"] == pytest.approx(sigmoid([5]))
    assert results[1].code == "INVALID_ARGUMENT"
    assert "Unknown image file format" in results[1].message
    assert results[2]["probability"] == pytest.approx(sigmoid([9]))
    assert runs == [1, 1]


def test_nothing_is_joined_where_batches_have_one_row(servable, serving, tmp_path):
    results, runs = run(
        lambda: [job_of(servable, serving.png(5)) for _ in range(3)],
        tmp_path,
        max_batch_size=1,
    )
    assert [len(result["probability"]) for result in results] == [1, 1, 1]
    assert runs == [1, 1, 1]


def test_a_window_waits_for_company(servable, serving, tmp_path):
    async def main():
        runs = []
        options = ServerOptions(tmp_path, threads=2, batch_window_milliseconds=200)
        batcher = Batcher(options, lambda name, rows, seconds: runs.append(rows))
        first = asyncio.create_task(batcher.run(job_of(servable, serving.png(1))))
        await asyncio.sleep(0)
        await batcher.run(job_of(servable, serving.png(2)))
        await first
        batcher.close()
        return runs

    assert asyncio.run(main()) == [2]


def test_an_empty_request_is_answered_by_an_empty_answer(servable, tmp_path):
    results, _ = run(lambda: [job_of(servable)], tmp_path)
    assert len(results[0]["probability"]) == 0


def test_a_run_that_takes_too_long_is_ended(servable, tmp_path):
    def jobs():
        end = time.monotonic() + 0.3
        inputs = {"to": np.array(2**31 - 1, np.int32)}
        return [Job(servable, "count", ("number",), inputs, end)]

    start = time.monotonic()
    (error,), _ = run(jobs, tmp_path)
    assert isinstance(error, RequestError)
    assert error.code == "DEADLINE_EXCEEDED"
    # `run` has waited for the thread: two thousand million rounds take minutes.
    assert time.monotonic() - start < 20


def test_a_request_that_waits_too_long_gives_its_place_up(servable, serving, tmp_path):
    def jobs():
        slow = Job(
            servable,
            "count",
            ("number",),
            {"to": np.array(2**31 - 1, np.int32)},
            time.monotonic() + 0.5,
        )
        return [slow, job_of(servable, serving.png(1), seconds=0.1)]

    (_, late), runs = run(jobs, tmp_path)
    assert late.code == "DEADLINE_EXCEEDED"
    assert runs == []


def test_an_error_nobody_foresaw_ends_one_request_and_not_the_queue(
    servable, serving, tmp_path, caplog
):
    class Broken:
        name, users = "broken", 0
        signatures = servable.signatures

        def run(self, *arguments):
            raise ZeroDivisionError("secret of a patient")

    def jobs():
        inputs = {"image_bytes": np.array([b""], object)}
        end = time.monotonic() + 30
        broken = Job(Broken(), "image_only", ("probability",), inputs, end)
        return [broken, job_of(servable, serving.png(77))]

    results, _ = run(jobs, tmp_path)
    assert results[0].code == "INTERNAL"
    assert "secret" not in results[0].message
    assert results[1]["probability"] == pytest.approx(sigmoid([77]))


def test_places_and_bytes_are_bounded_and_given_back():
    admission = Admission(max_requests=2, max_bytes=100)

    async def main():
        async with admission.admit(60, Sender()):
            with pytest.raises(RequestError, match="at most 100 bytes of"):
                await admission.admit(60, Sender()).__aenter__()
            async with admission.admit(40, Sender()):
                with pytest.raises(RequestError, match="at most 2 requests") as error:
                    await admission.admit(0, Sender()).__aenter__()
        assert error.value.http_status == 429
        assert error.value.code == "RESOURCE_EXHAUSTED"
        assert (admission.requests, admission.bytes) == (0, 0)
        # One alone is bounded by the size of a body.
        async with admission.admit(1000, Sender()):
            assert admission.requests == 1

    asyncio.run(main())


def test_jobs_of_other_shapes_do_not_join(servable):
    async def main():
        end = time.monotonic() + 1
        signature = SimpleNamespace(**vars(servable))
        first, second = (
            Job(signature, "from_pixels", ("mean",), {"pixels": np.zeros(shape)}, end)
            for shape in ((1, 4, 4), (1, 4, 5))
        )
        return first.joins(first), first.joins(second)

    assert asyncio.run(main()) == (True, False)
