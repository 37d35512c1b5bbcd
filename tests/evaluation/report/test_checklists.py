from usgland.evaluation.report.checklists import (
    AUTHOR,
    CHECKLISTS,
    CLAIM,
    NUMBERS,
    STARD_AI,
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


# The numbers of STARD-AI's table 2: 40 items, five of them in parts.
PARTS = {"15": "abcd", "16": "abc", "17": "ab", "26": "ab", "40": "ab"}
STARD_AI_NUMBERS = [
    f"{number}{part}"
    for number in range(1, 41)
    for part in PARTS.get(str(number), [""])
]


def test_every_checklist_says_whether_its_numbers_were_checked():
    assert set(NUMBERS) == set(CHECKLISTS)
    assert all("checked against" in text for text in NUMBERS.values())
    assert [name for name in NUMBERS if "UNCHECKED" in NUMBERS[name]] == ["CLAIM 2024"]
    # Sounderajah et al., 2025: 48 rows, each once.
    assert [item.number for item in STARD_AI] == STARD_AI_NUMBERS
    assert len(STARD_AI_NUMBERS) == 48
    # The 44 of CLAIM and the 27 main ones of TRIPOD+AI (Collins et al., 2024, table 2).
    for items, last in ((CLAIM, 44), (TRIPOD_AI, 27)):
        covered = []
        for item in items:
            ends = [
                int("".join(filter(str.isdigit, x))) for x in item.number.split("-")
            ]
            covered += range(ends[0], ends[-1] + 1)
        assert sorted(set(covered)) == list(range(1, last + 1))
        assert covered == sorted(covered)
