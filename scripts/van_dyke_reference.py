"""Writes the Van Dyke readings and the results that others printed of them.

Five radiologists graded 114 magnetic resonance studies (69 without and 45 with an
aortic dissection) from 1 to 5, once as spin echo and once as cine: Van Dyke et al.,
79th Radiological Society of North America, 1993. The grades are those of the file
`inst/extdata/datasets/VD.lrc` of the R package RJafroc (dataset02). It and MRMCaov,
which distributes the same data, are under GPL-3; only the grades, which are facts,
and numbers that they print are kept here, no code.

    python scripts/van_dyke_reference.py tests/reference/van_dyke.json
"""

import json
import sys
from pathlib import Path

WITHOUT, WITH = 69, 45
# Per reader: spin echo and cine of each study, those without dissection first.
GRADES = (
    """13 23 23 12 52 12 12 12 13 12 11 13 41 12 12 12 12 12 12 11 11 11 31 11 34 12 11
    23 11 42 12 11 14 13 12 33 11 22 13 21 12 12 22 33 33 11 31 11 13 33 33 11 11 13
    14 11 12 24 22 11 12 14 11 34 34 22 11 11 11
    55 53 55 55 45 55 55 55 44 55 55 55 45 34 44 23 43 55 55 55 55 55 55 55 13 55 45
    43 55 45 55 55 34 54 55 55 15 13 55 55 55 45 45 55 11""",
    """23 32 22 22 22 22 22 22 23 32 22 22 52 22 22 21 32 22 22 22 21 22 22 22 43 22 22
    22 22 32 22 21 22 22 21 22 22 22 22 22 23 21 22 22 23 22 22 22 22 22 22 22 22 22
    23 22 22 43 32 22 22 32 22 22 22 22 21 22 22
    55 33 55 55 55 55 55 45 22 55 55 55 43 44 24 22 24 55 54 55 55 55 54 55 22 45 32
    33 55 45 55 53 22 44 22 55 25 22 55 55 55 55 35 55 22""",
    """22 24 22 22 32 52 13 12 22 22 41 21 41 23 22 22 32 22 21 22 11 21 32 21 44 11 11
    35 21 22 11 11 22 21 22 42 12 21 12 42 12 21 11 13 22 21 21 21 22 23 33 21 11 13
    22 12 11 22 23 12 13 54 11 42 24 12 21 12 21
    55 42 55 55 55 55 55 55 55 55 55 55 53 45 24 31 54 55 55 55 55 55 55 55 22 55 23
    23 55 55 55 54 23 55 55 55 25 23 54 55 55 55 55 55 21""",
    """12 12 11 11 11 11 33 11 12 11 11 11 11 12 12 11 11 11 12 11 21 11 11 11 23 12 11
    12 11 22 11 11 11 11 12 12 11 11 12 11 11 11 11 11 12 11 12 11 32 31 12 12 11 11
    11 11 11 12 11 12 11 11 11 33 12 13 12 11 11
    55 54 55 55 55 55 55 55 54 55 55 55 54 55 55 15 55 55 55 55 55 55 55 55 54 55 45
    54 44 45 55 55 35 55 55 55 15 23 55 55 55 55 55 55 55""",
    """32 52 13 21 12 12 12 12 21 22 22 12 21 11 11 12 22 22 11 12 32 22 21 12 13 12 12
    23 12 11 22 11 12 22 32 12 21 21 12 11 12 31 31 33 22 11 12 12 23 13 12 11 12 12
    12 12 11 32 42 12 22 33 11 22 13 23 11 11 31
    55 22 55 24 55 55 55 55 15 54 45 55 43 54 23 23 33 55 55 55 55 55 55 45 12 45 41
    33 23 22 15 53 12 55 14 55 15 13 53 55 55 35 55 55 23""",
)
# Printed by MRMCaov (README of version 0.1 to 0.2; its covariances: jackknife).
MRMCAOV = {
    "error_variance": 0.0008022883,
    "cov1": 0.0003466137,
    "cov2": 0.0003440748,
    "cov3": 0.0002390284,
    "ms_modality": 0.004796171,
    "ms_interaction": 0.0005510306,
    "f": 4.456319,
    "difference": [-0.04380032, 0.02074862, 15.25967, -0.0879594986, 0.0003588544],
    "t": -2.110999,
    "p_value": 0.05166569,
    "means": [
        [0.8970370, 0.03317360, 12.74465, 0.8252236, 0.9688505],
        [0.9408374, 0.02156637, 12.71019, 0.8941378, 0.9875369],
    ],
}
# Printed in Chakraborty's RJafrocBook, chapter "Obuchowski Rockette Applications",
# "Hand calculation": value, standard error, (freedom,) low, high, and P.
RJAFROC = {
    "aucs": [
        [0.9196, 0.8588, 0.9039, 0.9731, 0.8298],
        [0.9478, 0.9053, 0.9217, 0.9994, 0.9300],
    ],
    "ms_reader": 0.003836,
    "readers_fixed": [-0.0438, 0.01872, -0.08049, -0.007115, 0.01928],
    "cases_fixed": [-0.0438, 0.01485, 4, -0.08502, -0.00258, 0.04196],
    "means_readers_fixed": [
        [0.8970, 0.02429, 0.8494, 0.9446],
        [0.9408, 0.01678, 0.9080, 0.9737],
    ],
    "means_cases_fixed": [
        [0.8970, 0.02483, 4, 0.8281, 0.9660],
        [0.9408, 0.01615, 4, 0.8960, 0.9857],
    ],
    "each_reader": [
        [-0.0282, 0.0255, 0.2693, -0.0782, 0.02182],
        [-0.0465, 0.0263, 0.0768, -0.0981, 0.00501],
        [-0.0179, 0.0312, 0.5668, -0.0790, 0.04330],
        [-0.0262, 0.0173, 0.1290, -0.0601, 0.00764],
        [-0.1002, 0.0441, 0.0230, -0.1865, -0.01381],
    ],
}


def main() -> None:
    readings = [block.split() for block in GRADES]
    if any(len(pairs) != WITHOUT + WITH for pairs in readings):
        raise SystemExit(f"expected 114 pairs. Received: {[len(p) for p in readings]}")
    grades = [
        [[int(pair[modality]) for pair in pairs] for pairs in readings]
        for modality in range(2)
    ]
    reference = {
        "source": "Van Dyke et al., RSNA 1993; see scripts/van_dyke_reference.py",
        "labels": [0] * WITHOUT + [1] * WITH,
        "grades": grades,
        "mrmcaov": MRMCAOV,
        "rjafroc": RJAFROC,
    }
    Path(sys.argv[1]).write_text(json.dumps(reference) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
