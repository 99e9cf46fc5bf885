"""Write the pages and figures of docs/ that hold numbers, from the committed JSON, and nothing by hand.

python -m benchmarks.pages            write
python -m benchmarks.pages --check    fail where a page or figure is not what the JSON says
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.pages.build import stale, write


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        write()
    elif found := stale():
        sys.exit(f"stale, run python -m benchmarks.pages: {', '.join(map(str, found))}")


if __name__ == "__main__":
    main()
