"""`python -m daad`."""

from daad.cli import main

main()
