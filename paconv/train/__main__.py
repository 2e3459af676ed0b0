"""`torchrun ... -m paconv.train`: `paconv train`, in each of several processes."""

import sys

from paconv.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
