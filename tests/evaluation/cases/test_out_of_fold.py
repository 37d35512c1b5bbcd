import pandas as pd
import pytest

from usgland.evaluation.cases.out_of_fold import Said, gather_out_of_fold

NOBODY = pd.DataFrame({"image": []})


def network(**roles):
    """A network that knows images by their names, each of a patient of its own."""
    images = list(roles)
    splits = pd.DataFrame(
        {
            "image": images,
            "patient_id": [f"P{image}" for image in images],
            "group_id": "",
            "sha256": [f"bytes of {image}" for image in images],
            "role": list(roles.values()),
        }
    )
    said = splits[["image", "patient_id", "role"]]
    return Said(said.assign(label=0, logit=1.0, probability=0.73), splits)


def test_only_what_networks_say_of_their_tests_is_gathered():
    pooled = gather_out_of_fold(
        {
            "0": network(a="test", b="train", c="unused"),
            "1": network(a="train", b="test", c="unused"),
        },
        NOBODY,
    )
    assert pooled["image"].to_list() == ["a", "b"]
    assert pooled["fold"].to_list() == ["0", "1"]
    assert set(pooled["role"]) == {"out_of_fold"}


@pytest.mark.parametrize("tie", ["image", "patient_id", "group_id", "sha256"])
@pytest.mark.parametrize("role", ["train", "val"])
def test_a_network_that_has_learned_from_whom_it_is_asked_about_is_refused(tie, role):
    said = network(a="test", b=role)
    splits = said.splits.copy()
    splits["group_id"] = [f"group {n}" for n in range(2)]
    splits.loc[1, tie] = splits.loc[0, tie]
    if tie == "image":
        splits = pd.concat([said.splits, said.splits.iloc[:1].assign(role=role)])
        splits = splits.drop_duplicates("image", keep="last")
    with pytest.raises(ValueError, match=f"has not learned from. .* a, by its {tie}"):
        gather_out_of_fold({"0": said._replace(splits=splits)}, NOBODY)


def test_whom_a_model_is_tested_on_has_no_say_in_its_choice():
    tested = network(a="test").splits.assign(image="another name")
    message = "on which the model is not tested. .*: a, by its patient_id"
    with pytest.raises(ValueError, match=message):
        gather_out_of_fold({"0": network(a="test")}, tested)


def test_a_network_is_asked_about_images_of_its_own_splits():
    said = network(a="test")
    splits = network(b="train").splits
    with pytest.raises(ValueError, match="the splits of the network 0. Received: a"):
        gather_out_of_fold({"0": said._replace(splits=splits)}, NOBODY)


def test_two_networks_do_not_speak_of_one_image():
    both = {"0": network(a="test"), "1": network(a="test")}
    with pytest.raises(ValueError, match="of one network. Received: a of two"):
        gather_out_of_fold(both, NOBODY)
