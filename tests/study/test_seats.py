"""Who gets in, and in how many windows."""

import pytest

from usgland.serving.interface.status import RequestError
from usgland.study.seats import TWO_WINDOWS


def test_a_key_gives_its_reader_a_seat_however_it_is_typed(opened):
    study = opened()
    key = study.keys["R2"]
    for typed in (key, key.upper(), key.replace("-", ""), f" {key.replace('-', ' ')} "):
        entered = study.seats.enter(typed)
        assert entered["reader"] == "R2"
        assert study.seats.reader_of_seat(entered["seat"]) == "R2"


def test_neither_keys_nor_seats_stand_in_the_folder_that_is_served(opened):
    study = opened()
    key = study.keys["R1"]
    seat = study.seats.enter(key)["seat"]
    study.store.run("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in study.study.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (key, key.replace("-", ""), key[5:], seat):
                assert secret.encode() not in content, path.name


@pytest.mark.parametrize("typed", ["", "k7mp", "k7mp-2222-2222-2222-2222", "x" * 200])
def test_a_key_of_nobody_lets_nobody_in(opened, typed):
    with pytest.raises(RequestError) as caught:
        opened().seats.enter(typed)
    assert caught.value.http_status == 401


def test_a_reader_of_another_study_is_told_so(opened):
    other = opened("other", study="qx2d")
    with pytest.raises(RequestError, match="This is study K7MP; the key begins with Q"):
        opened().seats.enter(other.keys["R1"])
    with pytest.raises(RequestError, match="not known here. Look for a typing error"):
        opened("third").seats.enter("k7mp-2222-2222-2222-2222")


def test_of_two_windows_with_a_key_the_later_one_goes_on(opened):
    study = opened()
    first, second = (study.seats.enter(study.keys["R1"])["seat"] for _ in range(2))
    assert study.seats.reader_of_seat(second) == "R1"
    for _ in range(3):
        with pytest.raises(RequestError, match="entered in another window") as caught:
            study.seats.reader_of_seat(first)
        assert caught.value.http_status == 409
    kinds = [row["kind"] for row in study.store.rows("SELECT kind FROM events")]
    assert kinds == ["entered", "entered", TWO_WINDOWS]


def test_a_seat_outlives_the_server_and_ends_when_it_is_left(opened):
    study = opened()
    seat = study.seats.enter(study.keys["R1"])["seat"]
    study.store.close()
    study.open()
    assert study.seats.reader_of_seat(seat) == "R1"
    study.seats.leave(seat)
    with pytest.raises(RequestError, match="Expected your key. Enter it again"):
        study.seats.reader_of_seat(seat)
