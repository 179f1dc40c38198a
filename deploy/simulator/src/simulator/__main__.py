"""`python -m simulator`."""

from simulator.app import main

main()
