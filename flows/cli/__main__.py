"""Run the command line as `python -m expunge.flows.cli`."""

from expunge.flows.cli import main

if __name__ == "__main__":
    main()
