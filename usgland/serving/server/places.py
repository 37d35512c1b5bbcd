"""Places that clients share: who has fewest comes first, and who has most gives way."""

import asyncio
import contextlib
import ipaddress
import itertools
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import unquote

from usgland.serving.interface.status import RequestError

# Messages of gRPC that are read at one time: how long one is, is known once it is here.
MESSAGES = 3
SMALL_MESSAGE = 2**18  # bytes; the last place is for clients whose last was not larger
UNKNOWN_MESSAGE = 2**20  # bytes that are expected of a client that has sent none
STALLED_MESSAGE = 2**31  # bytes that are expected of one whose last did not come
PATIENCE = 10.0  # seconds for which a message may hold its place while another waits
SHORTEST_PATIENCE = 2.0  # while many do
SLOW_ANSWER = 1.0  # seconds after which an answer that nobody takes may be given up
LOOK = 0.1  # seconds after which who waits looks who has held one for too long
CLIENTS = 1000  # whose last message is remembered


class Sender(NamedTuple):
    """Who sends a request, to share what there is: nothing of it is logged."""

    address: str = ""  # of IPv6 the network, as its addresses cost nothing
    connection: str = ""


def sender_of(host: str, port: str | int) -> Sender:
    """The client at an address, as `1.2.3.4`, `::1` or in brackets."""
    host = unquote(host).strip("[]")
    with contextlib.suppress(ValueError):
        if (address := ipaddress.ip_address(host)).version == 6:
            mapped = address.ipv4_mapped
            network = ipaddress.ip_network((address, 64), strict=False)
            return Sender(str(mapped or network.network_address), f"{host} {port}")
    return Sender(host, f"{host} {port}")


class Place:
    """What a request holds until its answer has been sent."""

    def __init__(self, client: Sender, limit: asyncio.Timeout):
        self.client, self.limit = client, limit
        self.ended: RequestError | None = None  # why, if it had to give way
        self.sending: float | None = None  # since when, of `time.monotonic`

    def end(self, reason: RequestError) -> None:
        """Lets the request end."""
        self.ended = reason
        end_now(self.limit)


class Places:
    """So many at one time, which clients share.

    When all are taken, one gives way: an answer that nobody takes, or the last of the
    client that has most, if that has at least two more than the one that comes.
    """

    def __init__(self, most: int, what: str):
        self.most, self.what = most, what
        self.held: dict[Place, None] = {}

    @contextlib.asynccontextmanager
    async def hold(self, client: Sender) -> AsyncIterator[Place]:
        """Holds a place for a client while the block runs.

        Raises:
            RequestError: RESOURCE_EXHAUSTED if there is none, or it had to give way.
        """
        if len(self.held) >= self.most and not self._make_room(client):
            raise full(f"{self.most} {self.what}")
        place = None
        try:
            async with asyncio.timeout(None) as limit:
                place = Place(client, limit)
                self.held[place] = None
                yield place
        except TimeoutError as error:
            if place is None or place.ended is None:
                raise
            raise place.ended from error
        finally:
            if place is not None:
                self.held.pop(place, None)

    def _make_room(self, client: Sender) -> bool:
        late = time.monotonic() - SLOW_ANSWER
        slow = [p for p in self.held if p.sending is not None and p.sending < late]
        chosen = slow[0] if slow else self._of_fullest(client)
        if chosen is not None:
            del self.held[chosen]
            chosen.end(full(f"{self.most} {self.what}"))
        return chosen is not None

    def _of_fullest(self, client: Sender) -> Place | None:
        """The last place of who has most, by address and then by connection."""
        places = list(self.held)
        for level in (0, 1):
            counts = Counter(place.client[level] for place in places)
            fullest, most = counts.most_common(1)[0]
            if most > counts[client[level]] + 1:
                places = [place for place in places if place.client[level] == fullest]
                of = Counter(place.client.connection for place in places)
                return max(places[::-1], key=lambda p: of[p.client.connection])
            places = [p for p in places if p.client[level] == client[level]]
            if not places:
                return None
        return None


class Messages:
    """Places for messages of gRPC while they are read.

    gRPC tells the length of a message only with the whole of it, so any may be as large
    as the largest. Who has fewest places comes first, by address and then by
    connection, then who has sent small messages; and one that does not come loses its
    place to those that wait.
    """

    def __init__(self) -> None:
        # Who holds a place, and since when once it is read.
        self.taken: dict[asyncio.Future, Sender] = {}
        self.readings: dict[asyncio.Timeout, tuple[float, Sender]] = {}
        self._last: OrderedDict[str, int] = OrderedDict()
        self._waiting: dict[asyncio.Future, tuple[Sender, int]] = {}
        self._order = itertools.count()

    @contextlib.asynccontextmanager
    async def place(self, client: Sender, deadline: float) -> AsyncIterator[None]:
        """Holds a place while the block reads a message of a client.

        The deadline is in seconds of `time.monotonic`.

        Raises:
            RequestError: DEADLINE_EXCEEDED if it does not come in time.
        """
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = client, next(self._order)
        self._give()
        limit = None
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())) as limit:
                while not turn.done():
                    await asyncio.wait({turn}, timeout=LOOK)
                    if not turn.done():
                        self._end_oldest()
                self.readings[limit] = time.monotonic(), client
                yield
        except TimeoutError as error:
            raise RequestError(
                "DEADLINE_EXCEEDED", "Expected the whole message in time"
            ) from error
        finally:
            if limit is not None:
                self.readings.pop(limit, None)
            self._waiting.pop(turn, None)
            self.taken.pop(turn, None)
            self._give()

    def note(self, client: Sender, size: int) -> None:
        """Remembers how long a client's message was."""
        self._last[client.connection] = size
        self._last.move_to_end(client.connection)
        if len(self._last) > CLIENTS:
            self._last.popitem(last=False)

    def _give(self) -> None:
        """Gives free places away, the last one only for a small message."""
        while len(self.taken) < MESSAGES:
            is_last = len(self.taken) == MESSAGES - 1
            waiting = [
                turn
                for turn, (client, _) in self._waiting.items()
                if not is_last or self._expected(client) <= SMALL_MESSAGE
            ]
            if not waiting:
                return
            turn = min(waiting, key=self._rank)
            self.taken[turn], _ = self._waiting.pop(turn)
            turn.set_result(None)

    def _expected(self, client: Sender) -> int:
        return self._last.get(client.connection, UNKNOWN_MESSAGE)

    def _rank(self, turn: asyncio.Future) -> tuple[int, int, int, int]:
        client, order = self._waiting[turn]
        taken = self.taken.values()
        return (
            sum(other.address == client.address for other in taken),
            sum(other.connection == client.connection for other in taken),
            self._expected(client),
            order,
        )

    def _end_oldest(self) -> None:
        if not self.readings:
            return
        oldest = min(self.readings, key=lambda limit: self.readings[limit][0])
        since, client = self.readings[oldest]
        patience = max(PATIENCE / (len(self._waiting) or 1), SHORTEST_PATIENCE)
        if time.monotonic() - since >= patience:
            del self.readings[oldest]
            self.note(client, STALLED_MESSAGE)
            end_now(oldest)


def end_now(limit: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # It is ending already.
        limit.reschedule(asyncio.get_running_loop().time())


def full(limit: str) -> RequestError:
    return RequestError(
        "RESOURCE_EXHAUSTED",
        f"Expected at most {limit} at one time. Try again later",
    )
