"""The command as ``python -m xprep``: where scripts are not on the PATH, as in batch systems."""

from xprep.cli import main

if __name__ == "__main__":
    main()
