"""`python -m paconv`: the command line."""

from paconv.cli.main import main

if __name__ == "__main__":
    main()
