"""`usgland ingest`: what scanners and archives have, to pictures and a manifest."""

import re
from pathlib import Path

import click

from usgland.cli import options
from usgland.machine import usable_cores
from usgland.startup import make_console


def _check_frames(_: click.Context, __: click.Parameter, frames: str) -> str:
    if re.fullmatch(r"all|first|sharpest|every:[1-9]\d{0,5}", frames, re.ASCII):
        return frames
    raise click.BadParameter(
        f"expected all, first, every:N or sharpest. Received: {frames}"
    )


@click.command()
@click.argument("source", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option(
    "--key", type=options.PATH, help="Of the pseudonyms; by default in --private."
)
@click.option(
    "--private",
    type=options.PATH,
    help="Folder of all that must stay: key, map of paths, what was skipped, pictures "
    "to look at. By default usgland/ingest in the user's data folder.",
)
@click.option(
    "--frames",
    default="all",
    callback=_check_frames,
    help="Of a cine: all, first, every:N or sharpest.",
)
@click.option(
    "--text",
    type=click.Choice(("flag", "mask", "off")),
    default="flag",
    help="Text within a picture: name it for a look, fill it, or do not look for it.",
)
@click.option(
    "--labels",
    type=options.PATH,
    help="CSV or .xlsx of patient_id or accession_number, and label.",
)
@click.option(
    "--dataset",
    type=click.Choice(("busi", "breast_usg", "bus_bra", "breastmnist")),
    help="SOURCE is the archive or folder of a public set, as its authors have it.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Files that are worked on at a time; by default one a core.",
)
@click.option("--resume", is_flag=True, help="Go on where a run was interrupted.")
def ingest(
    source: Path,
    out: Path,
    key: Path | None,
    private: Path | None,
    frames: str,
    text: str,
    labels: Path | None,
    dataset: str | None,
    jobs: int | None,
    resume: bool,
) -> None:
    """Make de-identified pictures and a manifest of scanners' files.

    SOURCE is a folder of DICOM, PNG and JPEG files; OUT is made, and all of it may be
    given away once the pictures on the review sheet were looked at.
    """
    from usgland.errors import check_installed

    check_installed("`usgland ingest`", "pydicom", "gdcm", "dicomanonymizer", "cv2")
    from usgland.steps import ingestion

    if dataset:
        for line in ingestion.ingest_dataset(dataset, source, out):
            click.echo(line)
        options.show_written([out / "manifest.csv"])
        return
    summary = ingestion.ingest(
        source,
        out,
        key=key,
        private=private,
        frames=frames,
        text=text,
        labels=labels,
        jobs=jobs or usable_cores(),
        resume=resume,
        console=make_console(),
    )
    for reason, count in summary.skipped.most_common():
        click.echo(f"Skipped {count}: {reason}")
    if summary.skipped:
        click.echo(f"Which and why: {summary.private / 'skipped.csv'}")
    if summary.quarantined:
        click.echo(
            f"Kept back {summary.quarantined} pictures in which names, ids or dates of "
            f"the source were seen: {summary.private / 'quarantine'}"
        )
    if summary.shared:
        click.echo(
            f"{summary.shared} ids seem to be of two patients each, whose birth dates, "
            "sexes or hospitals differ: two_patients_of_one_id"
        )
    if summary.unmatched:
        click.echo(summary.unmatched)
    click.echo(
        f"Wrote {out}: {summary.pictures} pictures of {summary.patients} patients, "
        f"from {summary.files} files"
    )
    click.echo(
        f"{summary.review} pictures to look at: {summary.private / 'review.html'}. No "
        "program can tell that a picture is free of text"
    )
