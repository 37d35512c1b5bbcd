"""Clients share what there is: who has most gives way to who has least."""

import asyncio

import pytest

from usgland.serving.interface.status import RequestError
from usgland.serving.server import places
from usgland.serving.server.places import Messages, Places, Sender, sender_of


class Crowd:
    """Requests that hold places until they must give way."""

    def __init__(self, most):
        self.places = Places(most, "requests")
        self.ended, self.held = [], {}

    async def _hold(self, client, entered):
        try:
            async with self.places.hold(client) as place:
                self.held[client] = place
                entered.set()
                await asyncio.sleep(60)
        except RequestError as error:
            assert error.code == "RESOURCE_EXHAUSTED"
            self.ended.append(client)
        finally:
            entered.set()

    async def come(self, *clients):
        for client in clients:
            entered = asyncio.Event()
            task = asyncio.create_task(self._hold(client, entered))
            self.tasks.append(task)
            await entered.wait()
        await asyncio.sleep(0.01)

    async def __aenter__(self):
        self.tasks = []
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert not self.places.held


def clients(address, connections):
    return [Sender(address, f"{address} {number}") for number in connections]


def test_the_last_of_who_has_most_gives_way_to_another_address():
    async def main():
        async with Crowd(4) as crowd:
            await crowd.come(*clients("a", range(4)), Sender("b", "b 0"))
            assert crowd.ended == [Sender("a", "a 3")]
            await crowd.come(Sender("b", "b 1"))
            assert crowd.ended[1:] == [Sender("a", "a 2")]
            # Both have two now: nobody takes turns in ending the other's.
            await crowd.come(Sender("b", "b 2"), Sender("a", "a 9"))
            assert crowd.ended[2:] == [Sender("b", "b 2"), Sender("a", "a 9")]

    asyncio.run(main())


def test_of_one_address_the_connection_with_most_gives_way():
    async def main():
        async with Crowd(4) as crowd:
            greedy = Sender("a", "a 0")
            await crowd.come(*[greedy] * 4, Sender("a", "a 1"))
            assert crowd.ended == [greedy]
            # Connections with as many each are told apart by nothing.
            await crowd.come(*clients("a", (2, 3, 4)))
            assert crowd.ended[1:] == [greedy, greedy, Sender("a", "a 4")]

    asyncio.run(main())


def test_an_answer_that_nobody_takes_gives_way_first(monkeypatch):
    monkeypatch.setattr(places, "SLOW_ANSWER", 0.0)

    async def main():
        async with Crowd(2) as crowd:
            first, second, third = clients("a", range(3))
            await crowd.come(first, second)
            crowd.held[second].sending = 0.0
            await crowd.come(third)
            assert crowd.ended == [second]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("%5B2001:db8::1%5D", "2001:db8::"),
        ("2001:db8:0:0:9:8:7:6", "2001:db8::"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_a_network(host, address):
    assert sender_of(host, 5) == Sender(
        address, f"{places.unquote(host).strip('[]')} 5"
    )


def test_messages_that_do_not_come_keep_nobody_out(monkeypatch):
    """Eighty that wait, of one client; a message of another is read before them."""
    monkeypatch.setattr(places, "SHORTEST_PATIENCE", 0.2)
    monkeypatch.setattr(places, "LOOK", 0.01)
    loop_time = []

    async def main():
        messages = Messages()
        loop = asyncio.get_running_loop()

        async def stall(number):
            client = Sender("a", f"a {number % 4}")
            with pytest.raises(RequestError, match="the whole message in time"):
                async with messages.place(client, places.time.monotonic() + 60):
                    await asyncio.sleep(60)

        stalled = [asyncio.create_task(stall(number)) for number in range(80)]
        await asyncio.sleep(0.05)
        start = loop.time()
        async with messages.place(Sender("b", "b 0"), places.time.monotonic() + 60):
            loop_time.append(loop.time() - start)
        for task in stalled:
            task.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)
        assert not messages.taken
        assert not messages.readings

    asyncio.run(main())
    assert loop_time[0] < 5  # Eighty one after another take eight seconds.
