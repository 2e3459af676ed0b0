"""Kernels from source to machine code by Numba: here in this process, or ahead of time as native objects.

Ahead of time, Numba's own optimizer is switched off (NUMBA_OPT=0, in a process of its own), so that the LLVM module
isn't shaped for the machine that builds it; then LLVM optimizes it for the level's CPU: reference counts pruned, O3,
both twice, as Numba does. What comes out calls nothing but mem* functions.
"""

from __future__ import annotations

from importlib import import_module

import llvmlite.binding as llvm
import numba
from numba import cfunc, types

from paconv.kernels.accumulate import ACCUMULATE_SIGNATURE
from paconv.kernels.accumulate_codes import CODES_SIGNATURE
from paconv.kernels.accumulate_tiles import make_accumulate_tiles
from paconv.kernels.formats import FORMATS
from paconv.kernels.levels import Level, levels_of
from paconv.kernels.machine import real_names
from paconv.kernels.products import PRODUCTS
from paconv.kernels.registry import KERNELS
from paconv.kernels.tiling import code_tile

__all__ = ["compile_kernel", "host_level", "native_object"]

_TASK = types.void(types.voidptr, types.uintp)


def host_level() -> Level:
    """The highest CPU level that the CPU which Numba compiles for can run."""
    features = set(numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[2].split(","))
    levels = levels_of("x86_64" if "+sse2" in features else "aarch64")
    if levels[0].architecture == "aarch64":
        return levels[0]
    suited = [level for level in levels if features.issuperset(f"+{name}" for name in level.needs)]
    return [level for level in suited if "amx-int8" not in level.needs][-1]  # it takes the shim to ask for permission


def compile_kernel(name: str, variant: tuple[int, int], level: Level, *, cache: bool = False):
    """Compile a kernel: Numba's cfunc object, whose `.address` is its address in this process.

    variant matters only to kernels that have variants; level to those and to kernels made per level.
    """
    kernel = KERNELS[name]
    function = getattr(import_module(kernel.module), kernel.function)
    signature = _TASK
    if name == "accumulate":
        signature, function = ACCUMULATE_SIGNATURE, function(*variant, level)
    elif name == "accumulate_codes":
        chosen = next(f for f in FORMATS.values() if f.number == variant[0])
        signature, product = CODES_SIGNATURE, level.products[chosen.name]
        if product == "Tiles":
            function = make_accumulate_tiles(chosen.D, soft=False)
        else:
            names = [known.__name__ for known in PRODUCTS]
            function = function(names.index(product), code_tile(level.code_budget, chosen.spans))
    elif kernel.per_level:
        function = function(level)
    return cfunc(signature, error_model="numpy", boundscheck=False, cache=cache)(function)


def native_object(compiled: list[tuple[str, object]], level: Level, triple: str) -> bytes:
    """One object file with the kernels (symbol, cfunc) for `level`; only the symbols are visible."""
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=level.cpu, features=level.features, opt=3, reloc="pic", codemodel="default"
    )
    module = llvm.parse_assembly("")
    for symbol, kernel in compiled:
        # Numba keeps a cfunc's body apart from its C entry: a tile's arguments would be copied twice
        text = real_names(kernel._library.get_llvm_str())
        part = llvm.parse_assembly(text.replace("{ noinline }", "{ alwaysinline }"))
        for function in part.functions:
            if not function.is_declaration:
                named = function.name == kernel._wrapper_name
                function.linkage = "external" if named else "internal"
                if named:  # visible to the shim, not outside: two libraries in a process must not mix
                    function.name, function.visibility = symbol, "hidden"
        for variable in part.global_variables:
            if not variable.is_declaration:
                variable.linkage = "internal"
        part.triple, part.data_layout = triple, str(machine.target_data)
        _optimize(part, machine)
        module.link_in(part)
    module.triple, module.data_layout = triple, str(machine.target_data)
    module.verify()
    return machine.emit_object(module)


def _optimize(module, machine) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    for _ in range(2):
        prune = llvm.create_new_module_pass_manager()
        prune.add_refprune_pass()
        prune.run(module, llvm.create_pass_builder(machine, options))
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
