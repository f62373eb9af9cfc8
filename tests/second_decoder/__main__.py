"""Print the shape and hash of a file's symbols: python -m tests.second_decoder FILE WEIGHTS."""

import sys
from pathlib import Path

from .decode import decode_file, sha256
from .errors import FileError, ModelError
from .prior import Prior
from .weights import read_weights


def main(arguments: list[str]) -> int:
    """Decode the file of the command line; return the exit code of section 11."""
    if len(arguments) != 2:
        print("usage: python -m tests.second_decoder FILE WEIGHTS", file=sys.stderr)
        return 2
    file, weights = (Path(argument).read_bytes() for argument in arguments)
    try:
        symbols = decode_file(file, Prior(read_weights(weights)), form=True)
    except (FileError, ModelError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 5 if type(error).__name__ in ("UnknownModel", "Desync", "ModelError") else 4
    shape = [len(symbols), len(symbols[0]), len(symbols[0][0])]
    print("shape", *shape)
    print("sha256", sha256(symbols))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
