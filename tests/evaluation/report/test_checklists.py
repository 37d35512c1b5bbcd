from usgland.evaluation.report.checklists import AUTHOR, CLAIM, Item, fill


def test_a_checklist_says_what_the_run_knows_and_what_the_author_must_supply():
    items = (Item("1", "a", "known"), Item("2", "b", "empty"), Item("3", "c"))
    assert fill(items, {"known": "yes", "empty": ""}) == [
        ("1", "a", "yes"),
        ("2", "b", AUTHOR),
        ("3", "c", AUTHOR),
    ]
    numbers = [part for item in CLAIM for part in item.number.split("-")]
    assert numbers[0] == "1" and numbers[-1] == "44"
