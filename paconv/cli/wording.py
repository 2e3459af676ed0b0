"""Errors of the Python calls in the words of the command line: options as they are typed.

worst: expected ...                              --keep-worst: expected ...
keep='x' names no layer                          --keep 'x' names no layer
epochs must be a whole number                    --epochs must be a whole number
go on with it (--resume, resume=True)            go on with it (--resume)
give input_shape=(C, H, W) (--input-shape CxHxW) give --input-shape CxHxW
must be 1..8 or None                             must be 1..8 or full
"""

from __future__ import annotations

import re

import click

__all__ = ["as_typed"]


def as_typed(message: str, command: click.Command) -> str:
    """The message of a UsageError that `command` ran into, with its own options in place of Python's arguments."""
    message = re.sub(r"\w+=\(C, H, W\) \((--[^)]+)\)", r"\1", message)
    message = re.sub(r"\(\w+(?:=\w+)?, (--[\w-]+)\)|\((--[\w-]+), \w+(?:=\w+)?\)", r"(\1\2)", message)
    message = message.replace("1..8 or None", "1..8 or full").replace(
        "model and trust_pickle tell", "--model and --trust-pickle tell"
    )
    for argument, option in _options(command).items():
        message = re.sub(rf"^{argument}(?=:| must be )", option, message)
        message = re.sub(rf"(?<![\w-]){argument}=(?=['\d])", f"{option} ", message)
    return message


def _options(command: click.Command) -> dict[str, str]:
    """Argument of the Python call -> option, for options of more than a letter."""
    found: dict[str, str] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            option = next((spelled for spelled in parameter.opts if spelled.startswith("--")), None)
            if option is not None:
                spelled = option.removeprefix("--").replace("-", "_")
                found |= {spelled: option, spelled.replace("_", " "): option, str(parameter.name): option}
    return found
