"""Where a host model is kept between runs: a JSON file per machine, thread count and version of the kernels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from paconv import variables
from paconv.cost.host.model import HostModel
from paconv.errors import ModelError, PaconvError
from paconv.files import write_text

__all__ = ["cache_path", "load", "store"]


def cache_path(identity: Mapping[str, str | int]) -> Path:
    """File for the machine of this identity, in PACONV_CACHE or else the user's cache folder."""
    key = hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()[:16]
    return variables.cache_folder() / "host" / f"{key}.json"


def load(path: Path) -> HostModel | None:
    """The host model in `path`, None if there is no such file. Raises ModelError if the file holds anything else."""
    try:
        return HostModel.from_data(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ModelError, ValueError) as error:
        raise ModelError(f"{path}: no valid host model ({error}); measure again with --refresh") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot read the host model: {error.strerror}; set PACONV_CACHE") from error


def store(path: Path, host: HostModel) -> None:
    """Write `host` to `path`, making its folder. Raises PaconvError if that can't be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PaconvError(f"cannot make the cache folder {path.parent}: {error.strerror}; set PACONV_CACHE") from error
    write_text(path, json.dumps(host.as_data(), indent=2) + "\n")
