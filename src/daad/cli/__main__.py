"""`python -m daad.cli`."""

from daad.cli import main

main()
