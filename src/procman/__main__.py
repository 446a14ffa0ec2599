"""`python -m procman`: for programs that start this very procman again, whatever PATH says."""

from procman.cli import main

main()
