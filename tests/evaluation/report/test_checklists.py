from usgland.evaluation.report.checklists import (
    AUTHOR,
    CHECKLISTS,
    CLAIM,
    NUMBERS,
    TRIPOD_AI,
    Item,
    fill,
)


def test_a_checklist_says_what_the_run_knows_and_what_the_author_must_supply():
    items = (Item("1", "a", "known"), Item("2", "b", "empty"), Item("3", "c"))
    assert fill(items, {"known": "yes", "empty": ""}) == [
        ("1", "a", "yes"),
        ("2", "b", AUTHOR),
        ("3", "c", AUTHOR),
    ]
    numbers = [part for item in CLAIM for part in item.number.split("-")]
    assert numbers[0] == "1" and numbers[-1] == "44"


def test_every_checklist_says_whether_its_numbers_were_checked():
    assert set(NUMBERS) == set(CHECKLISTS)
    assert [name for name in NUMBERS if "UNCHECKED" in NUMBERS[name]] == [
        "STARD-AI",
        "CLAIM 2024",
    ]
    # The main items of TRIPOD+AI, each once: Collins et al., 2024, table 2.
    covered = set()
    for item in TRIPOD_AI:
        ends = [int("".join(filter(str.isdigit, x))) for x in item.number.split("-")]
        covered |= set(range(ends[0], ends[-1] + 1))
    assert covered == set(range(1, 28))
