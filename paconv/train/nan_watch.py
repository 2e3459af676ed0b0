"""Finding out early that training has left the finite numbers, and in which layer it began.

Each step, before the optimizer's: the loss, the norm of the gradient, and what every activation quantizer reads. The
last, for PA(NaN) = 0: a quantizer hides a NaN from everything after it. Only when one of these isn't finite is the step
run again with a look at every layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from paconv.nn.quantizer import ActivationQuantizer

__all__ = ["NanWatch", "first_non_finite"]


class NanWatch:
    """Watches `model` while it is entered."""

    def __init__(self, model: nn.Module):
        self.model = model
        self._seen: list[Tensor] = []
        self._handles: list = []

    def __enter__(self) -> NanWatch:
        for module in self.model.modules():
            if isinstance(module, ActivationQuantizer):
                self._handles.append(module.register_forward_pre_hook(self._see))
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()

    def _see(self, module: nn.Module, args: tuple) -> None:
        self._seen.append(args[0].detach().sum())  # not finite if any element isn't

    @torch.no_grad()
    def finite(self, loss: Tensor) -> bool:
        """Whether all was finite in the step that gave `loss` and the gradients that the parameters have."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        found = torch.stack([loss.detach(), *self._seen, nn.utils.get_total_norm(gradients)])
        self._seen.clear()
        return bool(found.isfinite().all())


def first_non_finite(model: nn.Module, loss: Callable[[], Tensor]) -> str | None:
    """Where numbers first aren't finite while `loss()` runs `model` and is differentiated; None if they all are."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f"{name} holds values that aren't finite"
    events: list[str] = []

    def note(text: str, tensors: Iterable[object]) -> None:
        for tensor in tensors:
            if isinstance(tensor, Tensor) and not tensor.isfinite().all():
                events.append(text)

    with _watched(model, note):
        value = loss()
        note("the loss isn't finite, but every layer's output is", [value])
        if not events:
            value.backward()
    return events[0] if events else None


@contextmanager
def _watched(model: nn.Module, note: Callable[[str, Iterable[object]], None]) -> Iterator[None]:
    """Within it, `note` gets each layer's tensors in the order in which they are computed.

    They are its input, its output, the gradient of its input and the gradients of its parameters.
    """

    def look(name: str, module: nn.Module) -> Iterator:
        layer = f"{name or 'the model'} ({type(module).__name__})"

        def before(_, args: tuple) -> None:
            note(f"what {layer} reads isn't finite", args)
            for x in args:
                if isinstance(x, Tensor) and x.requires_grad:
                    x.register_hook(lambda g: note(f"the gradient of what {layer} reads isn't finite", [g]))

        def after(_, args: tuple, output: object) -> None:
            note(f"the output of {layer} isn't finite", output if isinstance(output, (tuple, list)) else [output])

        yield module.register_forward_pre_hook(before)
        yield module.register_forward_hook(after)
        for key, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                text = f"the gradient of {layer}'s {key} isn't finite"
                yield parameter.register_hook(lambda g, text=text: note(text, [g]))

    with ExitStack() as stack:
        for name, module in model.named_modules():
            for handle in look(name, module):
                stack.callback(handle.remove)
        yield
