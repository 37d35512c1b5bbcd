"""Answers in SQLite: at once, once, as they were."""

import sqlite3

import pytest

from usgland.errors import UserError
from usgland.study.answer_store import AnswerStore


def test_an_answer_is_neither_changed_nor_deleted(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    study.answer("R1")
    for text in ("UPDATE answers SET call = 1", "DELETE FROM answers"):
        with pytest.raises(sqlite3.IntegrityError, match="an answer is never"):
            study.store.run(text)


def test_the_schema_takes_no_second_answer_of_a_case(opened):
    study = opened()
    study.sittings.begin("R1", 1)
    study.answer("R1")
    [answer] = study.store.answers()
    values = {k: v for k, v in answer.items() if k not in ("number", "link")}
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"), study.store.writing():
        study.store.add_answer(**values)
    for column, value in (("call", 2), ("confidence", 101), ("confidence", -1)):
        with pytest.raises(sqlite3.IntegrityError), study.store.writing():
            study.store.add_answer(**{**values, "revision": 1, column: value})
    assert study.store.answers() == [answer]


def test_each_answer_waits_until_it_is_on_the_disk(opened):
    store = opened().store
    assert store.rows("PRAGMA journal_mode") == [{"journal_mode": "wal"}]
    assert store.rows("PRAGMA synchronous") == [{"synchronous": 2}]  # FULL
    assert store.path.stat().st_mode & 0o077 == 0


def test_an_answer_that_was_changed_behind_our_back_is_seen(opened):
    study = opened()
    study.read_session("R1")
    assert study.store.broken_link() is None
    study.store.run("DROP TRIGGER no_change")
    study.store.run("UPDATE answers SET call = 1 - call WHERE number = 2")
    assert study.store.broken_link() == 2
    study.store.run("UPDATE answers SET call = 1 - call WHERE number = 2")
    assert study.store.broken_link() is None
    study.store.run("DROP TRIGGER no_loss")
    study.store.run("DELETE FROM answers WHERE number = 1")
    assert study.store.broken_link() == 1


def test_what_is_written_together_is_there_or_not(opened):
    store = opened().store
    with pytest.raises(KeyError), store.writing():
        store.event(0.0, "R1", "seen")
        raise KeyError
    assert store.rows("SELECT * FROM events") == []


def test_answers_of_another_study_are_refused(opened):
    store = opened().store
    with pytest.raises(UserError, match="answers of study abcd. Received: those of k7"):
        AnswerStore(store.path, "abcd")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "answers.sqlite"
    path.write_text("no database " * 200)
    with pytest.raises(UserError, match="expected the answers of a study. .*backup"):
        AnswerStore(path, "k7mp")
