"""The protocol of a study: what was decided before anyone read, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

from usgland.study.readings_file import NAMES


def protocol_text(
    made: Mapping[str, Any], manifest: str, labels: Iterable[int], drawn: str
) -> str:
    """Words for a registry, an ethics committee or a methods section.

    It says how many cases are malignant, so that readers shall not see it.

    Args:
        made: Fields of `Design`.
        manifest: Name of the table of images.
        labels: Of the cases, 0 or 1.
        drawn: How the cases were chosen, in words.
    """
    readers, arms = list(made["sessions"]), made["arms"]
    labels = list(labels)
    malignant = sum(labels)
    asked = ", ".join(part.title for part in made["asked"])
    back = (
        "A call may be changed until its session ends; every change is kept"
        if made["way_back"]
        else "A call is final once it is stored"
    )
    orders = [
        f"- {reader}: {', then '.join(session.arm for session in sessions)}"
        for reader, sessions in made["sessions"].items()
    ]
    lines = [
        f"# Protocol of reader study {made['study'].upper()}",
        "",
        "Not for readers: it says how many cases are malignant.",
        "",
        f"Made on {made['made']} from {manifest}"
        + (", whose images are SYNTHETIC phantoms." if made["synthetic"] else "."),
        "",
        "## Cases",
        "",
        f"{len(labels)} cases, {len(labels) - malignant} benign and {malignant} "
        f"malignant. {drawn} Readers see the pixels without metadata, under names that "
        "tell nothing.",
        "",
        "## Readers and sessions",
        "",
        f"{len(readers)} readers, under the pseudonyms {', '.join(readers)}. Each "
        "reads every case once in each session:",
        "",
        *(f"- {arm}: {NAMES[arm]}" for arm in arms),
        "",
        "The sessions are crossed, so that each arm comes first, second, ... equally "
        "often, but for one reader:",
        "",
        *orders,
        "",
        f"The order of the cases is drawn for each reader and session (seed "
        f"{made['seed']}). Between the end of a session and the beginning of the next "
        f"one of a reader at least {made['washout_days']:g} days pass; the page does "
        "not open before.",
        "",
        "## What is asked",
        "",
        "Of each case: benign or malignant, and how sure of that, from 0 (a guess) to "
        "100 (certain)." + (f" Beside it: {asked}." if asked else ""),
        "",
        f"{back}. Readers are shown no label, no file name, no answer of an earlier "
        "session and none of another reader."
        + (
            f" The model's P(malignant) and call are shown at once with the image; its "
            f"operating point is {made['threshold']}."
            if made["threshold"]
            else ""
        ),
        "",
        "Time is counted from when the image is seen to the stored answer, as long as "
        "the page is seen, by the page, and again by the server.",
        "",
        "## To be filled in before the first reader begins",
        "",
        "- Hypothesis and primary measure:",
        "- How the numbers of readers and cases were found (`usgland samplesize`):",
        "- Experience and training of the readers:",
        "- Reference standard:",
        "- Registration and ethics approval:",
        "",
    ]
    return "\n".join(lines)
