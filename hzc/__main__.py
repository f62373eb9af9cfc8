"""`python -m hzc`."""

from hzc.cli import main

main()
