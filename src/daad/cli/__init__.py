"""The command line: one file per verb, each no more than argument -> call. Nothing heavy is imported for --help."""

from __future__ import annotations

import io
import sys

from cyclopts import App, CycloptsError

from daad import __version__
from daad.errors import ConfigError, DaadError, how_to_install

RESUMABLE = (["fit"], ["audit"], ["search"], ["boxes", "fit"])
OK, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="daad",
    version=__version__,
    help="Learn what good looks like from your own good images; tell of new ones whether something is wrong, where, "
    "and how sure that is.",
    suppress_keyboard_interrupt=False,  # we say that it stopped, and how it goes on
    help_epilogue="Exit status: 0 ok; 1 failed, or some images could not be judged; 2 bad usage or settings.",
)
app.command("daad.cli.fit:fit", help="Learn a detector from a folder of good images.")
app.command("daad.cli.audit:audit", help="Rank a pool of images: which of my good images are not good?")
app.command("daad.cli.predict:predict", help="Judge new images: score, p-value, decision, regions.")
app.command("daad.cli.search:search", help="One strange spot in a huge scene: rank its tiles, show the strangest.")
app.command("daad.cli.evaluate:evaluate", help="Measure a detector on labelled images and write a report.")
boxes = App(name="boxes", help="With labelled boxes: learn to find boxes, find them, measure; propose boxes to label.")
boxes.command("daad.cli.boxes.fit:fit", help="Learn to find boxes from images with labelled boxes.")
boxes.command("daad.cli.boxes.predict:predict", help="Find boxes in new images.")
boxes.command("daad.cli.boxes.evaluate:evaluate", help="Measure a detector of boxes on labelled images.")
boxes.command("daad.cli.boxes.propose:propose", help="Regions of a detector of anomalies as boxes to check.")
app.command(boxes)
app.command("daad.cli.models:models", help="List the models, or the settings and presets of one.")
app.command("daad.cli.info:info", help="Say what a saved detector is and what it was made from.")
app.command("daad.cli.demo:demo", help="Learn, judge and report on real solar cells, in minutes.")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `daad` command; exits with the status that the help states."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command line and give its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show must not stop a batch
    if arguments[:1] == ["detect"]:
        print("daad: 'daad detect' is called 'daad boxes' now", file=sys.stderr)
        arguments = ["boxes", *arguments[1:]]
    try:
        status = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return BAD_USAGE  # cyclopts has said what is wrong
    except BrokenPipeError:
        sys.stdout = None  # whoever read our output has left; say nothing more
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"daad: {where}{error.strerror or error}; check the place and the space on its disk", file=sys.stderr)
        return FAILED
    except ModuleNotFoundError as error:
        if not (advice := how_to_install(error)):
            raise
        print(f"daad: {advice}", file=sys.stderr)
        return BAD_USAGE
    except DaadError as error:
        print(f"daad: {error}", file=sys.stderr)
        return BAD_USAGE if isinstance(error, ConfigError) else FAILED
    except KeyboardInterrupt:
        goes_on = arguments[:1] in RESUMABLE or arguments[:2] in RESUMABLE
        print(f"daad: stopped{'; the same with --resume goes on where it was' if goes_on else ''}", file=sys.stderr)
        return INTERRUPTED
    return status if isinstance(status, int) else OK
