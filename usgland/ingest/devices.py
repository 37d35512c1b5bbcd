"""Makers, models and probes of ultrasound scanners, under our own names for them.

A header's text never goes on: what is recognized in it is written as it stands here,
and what is not as a keyed code. So a name that someone put there cannot get through.
"""

import re
from collections.abc import Sequence

# Our name -> the words that makers write into Manufacturer, (0008,0070).
MANUFACTURERS: dict[str, tuple[str, ...]] = {
    "GE": ("ge", "g e", "gems", "general electric", "kretztechnik", "diasonics"),
    "Philips": ("philips", "atl", "agilent", "hewlett packard"),
    "Siemens": ("siemens", "acuson"),
    "Canon": ("canon", "toshiba"),
    "Samsung": ("samsung", "medison"),
    "Hitachi": ("hitachi", "aloka"),
    "Fujifilm": ("fujifilm", "sonosite"),
    "SuperSonic": ("supersonic", "super sonic", "hologic"),
    "Mindray": ("mindray", "zonare"),
    "Esaote": ("esaote", "biosound"),
    "BK": ("b k medical", "bk medical", "ultrasonix", "analogic"),
    "Alpinion": ("alpinion",),
    "SonoScape": ("sonoscape",),
    "Chison": ("chison",),
    "VINNO": ("vinno",),
    "Edan": ("edan",),
    "SIUI": ("siui",),
    "Landwind": ("landwind",),
    "Konica Minolta": ("konica", "konica minolta"),
    "Shimadzu": ("shimadzu",),
    "Terason": ("terason", "teratech"),
    "Butterfly": ("butterfly",),
    "Clarius": ("clarius",),
    "Telemed": ("telemed",),
    "Verasonics": ("verasonics",),
}
# Series -> its models; "" is the series by itself.
MODELS: dict[str, tuple[str, ...]] = {
    "LOGIQ": (
        *("", "e", "i", "V2", "3", "5", "7", "9", "100", "200", "400", "500", "700"),
        *("C5", "F6", "F8", "P3", "P5", "P6", "P7", "P8", "P9", "P10", "S6", "S7"),
        *("S8", "E6", "E8", "E9", "E10", "E10s", "E11", "E20", "Fortis", "Totus"),
    ),
    "Voluson": (
        *("", "730", "E6", "E8", "E10", "E22", "S6", "S8", "S10", "P6", "P8", "i"),
        *("SWIFT", "Expert"),
    ),
    "Vivid": (
        "",
        "3",
        "4",
        "7",
        "e",
        "i",
        "q",
        "E9",
        "E80",
        "E90",
        "E95",
        "S60",
        "S70",
    ),
    "Venue": ("", "40", "50", "Go", "Fit"),
    "Vscan": ("", "Air", "Extend"),
    "EPIQ": ("", "5", "5G", "5W", "7", "7C", "7G", "7W", "Elite", "CVx"),
    "Affiniti": ("", "30", "50", "50G", "70", "70G", "CVx"),
    "HDI": ("", "1500", "3000", "3500", "4000", "5000"),
    "iU22": ("",),
    "iE33": ("",),
    "HD": ("3", "5", "6", "7", "9", "11", "11 XE", "15"),
    "CX": ("30", "50"),
    "ClearVue": ("", "350", "550", "650", "850"),
    "Lumify": ("",),
    "Sparq": ("",),
    "EnVisor": ("", "C"),
    "SONOS": ("", "1000", "2500", "4500", "5500", "7500"),
    "ACUSON": (
        *("", "S1000", "S2000", "S3000", "X150", "X300", "X500", "X600", "X700"),
        *("Antares", "Sequoia", "Juniper", "Redwood", "Maple", "NX2", "NX3", "P500"),
        *("SC2000", "Freestyle", "Cypress"),
    ),
    "S1000": ("",),
    "S2000": ("",),
    "S3000": ("",),
    "SONOLINE": ("", "Antares", "Elegra", "Adara", "G20", "G40", "G50", "G60"),
    "Antares": ("",),
    "Sequoia": ("", "C256", "C512", "256", "512"),
    "Aplio": (
        *("", "i600", "i700", "i800", "i900", "a450", "a550", "a", "300", "400", "500"),
        *("80", "XG", "XV", "MX", "flex", "go"),
    ),
    "Xario": ("", "100", "100G", "200", "200G", "XG", "g"),
    "Nemio": ("", "XG", "MX", "17", "20", "30", "35"),
    "PowerVision": ("", "6000", "7000", "8000"),
    "Viamo": ("", "sv7", "c100"),
    "RS80A": ("",),
    "RS85": ("", "Prestige"),
    "WS80A": ("",),
    "HS": ("30", "40", "50", "60", "70A"),
    "Hera": ("", "I10", "W9", "W10"),
    "Accuvix": ("", "V10", "V20", "XG", "XQ", "A30"),
    "SonoAce": ("", "R3", "R5", "R7", "X4", "X6", "X8", "8000", "9900"),
    "UGEO": ("", "H60", "HM70A", "WS80A", "PT60A"),
    "EUB": ("405", "420", "450", "525", "5500", "6500", "7500", "8500"),
    "HI VISION": ("", "900", "5500", "Preirus", "Ascendus", "Avius"),
    "Preirus": ("",),
    "Ascendus": ("",),
    "Avius": ("",),
    "ARIETTA": ("", "50", "60", "65", "70", "750", "850", "E70", "S60", "S70", "V60"),
    "Noblus": ("",),
    "ProSound": ("", "6", "Alpha 6", "Alpha 7", "Alpha 10", "F37", "F75", "Alpha7"),
    "SSD": ("500", "1000", "1400", "1700", "2000", "3500", "4000", "5000", "5500"),
    "Turbo": ("",),
    "M-Turbo": ("",),
    "S-Nerve": ("",),
    "Edge": ("", "II"),
    "MicroMaxx": ("",),
    "TITAN": ("",),
    "X-Porte": ("",),
    "Aixplorer": ("", "Ultimate", "MACH 30", "MACH 20"),
    "MACH": ("20", "30", "40"),
    "DC": ("3", "6", "7", "8", "30", "40", "60", "70", "80"),
    "DP": ("10", "20", "30", "50", "6600", "6900"),
    "Resona": ("", "5", "6", "7", "8", "9", "I9", "R9", "A20"),
    "M7": ("",),
    "M9": ("",),
    "TE7": ("",),
    "Z.One": ("", "Ultra", "PRO"),
    "MyLab": (
        *("", "15", "20", "25", "30", "40", "50", "60", "70", "90", "Twice", "Class C"),
        *("Six", "Seven", "Eight", "Nine", "Alpha", "Gamma", "X5", "X7", "X8", "X9"),
    ),
    "Technos": ("", "MP", "MPX"),
    "bk3000": ("",),
    "bk5000": ("",),
    "Pro Focus": ("",),
    "Flex Focus": ("", "400", "500", "800"),
    "SonixTouch": ("",),
    "SonixTablet": ("",),
    "SonixRP": ("",),
    "E-CUBE": ("", "7", "8", "9", "11", "12", "15", "15 Platinum", "i7"),
    "iQ": ("", "3"),
    "Vantage": ("", "64", "128", "256"),
    "VINNO": ("", "6", "8", "10", "70", "E30", "E35", "G55", "G86"),
    "SONIMAGE": ("", "HS1", "MX1"),
}
# Letters for the kind of array, then MHz from and to; as makers name their probes.
PROBES: tuple[str, ...] = (
    *("L12-5", "L12-3", "L15-7io", "L17-5", "L18-5", "L9-3", "L12-4", "L15-4", "L18-4"),
    *("L10-5", "L10-2", "L18-10", "L20-5", "L8-3", "L7-4", "L11-3", "L38", "L38xi"),
    *("L12-50", "eL18-4", "L4-15", "L14-5", "L14-6", "L14-6N", "L14-5W", "L15-4v"),
    *("C5-1", "C5-2", "C6-1", "C6-2", "C1-5", "C1-5-D", "C1-6", "C1-6-D", "C2-9"),
    *("C2-9-D", "C8-5", "C9-2", "C9-4", "C10-3v", "C10-4ec", "C60", "C60x", "CA1-7A"),
    *("ML6-15", "ML6-15-D", "ML4-20", "11L", "11L-D", "12L", "12L-RS", "12L-SC"),
    *("9L", "9L-D", "8L", "7L", "i12L", "L2-9", "L2-9-D", "L3-12", "L3-12-D", "L6-12"),
    *("L6-24", "L6-24-D", "L8-18i", "L8-18i-D", "L10-22", "4C", "4C-D", "4C-RS", "3C"),
    *(
        "S5-1",
        "S4-2",
        "S8-3",
        "S4-1",
        "X5-1",
        "X7-2",
        "X8-2t",
        "V6-2",
        "V9-2",
        "VL13-5",
    ),
    *("RIC5-9-D", "RAB6-D", "RAB4-8-D", "RSP6-16-D", "9L4", "18L6", "18L6 HD", "14L5"),
    *("14L5 SP", "17L5 HD", "10L4", "12L3", "6C1", "6C1 HD", "4C1", "4C1-S", "VF10-5"),
    *("VF13-5", "VFX9-4", "VFX13-5", "VF7-3", "CH4-1", "CH5-2", "PLT-704SBT"),
    *("PLT-805AT", "PLT-1005BT", "PLT-1204BT", "PLT-1204BX", "PLU-1204BT", "PVT-375BT"),
    *("PLI-1205BX", "PLI-2004BX", "PVI-475BX", "EUP-L65", "EUP-L73S", "EUP-L74M"),
    *("EUP-L75", "EUP-C715", "LA2-9A", "LA3-14A", "LA3-16A", "LA4-18B", "L5-13"),
    *("L5-13IS", "L3-12A", "LA523", "LA332", "LA533", "LA435", "SL1543", "SL3323"),
    *("SL10-2", "SL15-4", "SLV16-5", "SL18-5", "SL25-15", "L12-4s", "L14-6s", "7L4A"),
    *("L9-3s", "L14-5s", "L11-3s", "L14-6Ns", "SC5-1", "SC6-1"),
)
# Transducer Type, (0018,6031), as PS3.3 C.8.5.6 and C.8.24 define its terms.
ARRAYS: dict[str, tuple[str, ...]] = {
    "linear": ("linear", "sector linear", "linear array"),
    "curved": ("curved linear", "curvilinear", "convex", "sector convex"),
    "phased": ("sector phased", "phased", "phased array", "sector"),
    "mechanical": ("sector mech", "sector mechanical"),
    "annular": ("sector annular", "annular"),
    "single": ("single crystal", "single crys", "split xtal cwd"),
    "intravascular": ("ivus",),
    "rectangular": ("rect wide array", "rectangular array", "matrix array"),
}


def known_manufacturer(text: str) -> str:
    """Our name of the maker that a header names, "" if it is none that we know."""
    return _first_named(_words(text), _MANUFACTURERS)


def known_model(text: str) -> str:
    """Our name of the model, the longest that is named; "" if none is."""
    return _first_named(_words(text), _MODELS)


def known_probe(texts: Sequence[str]) -> str:
    """Our name of the probe that is named first; "" if none is."""
    for text in texts:
        probe = _first_named(_words(text), _PROBES)
        if probe:
            return probe
    return ""


def known_array(text: str) -> str:
    """Our word for a Transducer Type; "" if it is no term of the standard."""
    return _ARRAYS.get(_words(text), "")


def device_names() -> set[str]:
    """All that the functions above may answer with."""
    return {*MANUFACTURERS, *_MODELS.values(), *PROBES, *ARRAYS}


def _words(text: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())


def _longest_first(names: dict[str, str]) -> dict[str, str]:
    return {words: names[words] for words in sorted(names, key=len, reverse=True)}


def _first_named(words: str, names: dict[str, str]) -> str:
    padded = f" {words} "
    return next((name for key, name in names.items() if f" {key} " in padded), "")


def _spellings(series: str, model: str) -> set[str]:
    """LOGIQ E9 is also written LOGIQE9, and HD 11 XE HD11XE."""
    whole = _words(f"{series} {model}")
    return {whole, whole.replace(" ", "")}


_MANUFACTURERS = _longest_first(
    {word: name for name, words in MANUFACTURERS.items() for word in words}
)
_MODELS = _longest_first(
    {
        words: f"{series} {model}".strip()
        for series, models in MODELS.items()
        for model in models
        for words in _spellings(series, model)
    }
)
_PROBES = _longest_first({_words(name): name for name in PROBES})
_ARRAYS = {word: name for name, words in ARRAYS.items() for word in words}
